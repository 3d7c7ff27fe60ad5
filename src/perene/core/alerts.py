"""Alerts: numbers that stay bad for long enough, told once, and told again when they are good.

A rule watches one number of every subject. `evaluate` is the whole engine, as a pure step: what
was known before, the numbers of now, and the time make what is known after, and what changed.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from string import Formatter

from perene.core.clock import Instant

SERVICE = ""
"""The subject of what concerns the service as a whole."""

Signals = Mapping[str, Mapping[str, float]]
"""Numbers by name, for each subject: a session's id, or SERVICE."""

Key = tuple[str, str]
"""Rule and subject: at most one alert is open for each."""

RESTORED_GRACE_S = 900.0
"""How long what an earlier run left waits for its subject to be seen at all.

A service that starts does not know its sessions at once; when the database comes late it takes
minutes. Alerts that resolved meanwhile would only fire again.
"""

_LONGEST_S = 366 * 86400


class Severity(StrEnum):
    """How much an alert asks of its reader."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def weight(self) -> int:
        """A number that is larger the more is asked."""
        return list(Severity).index(self)


class Scope(StrEnum):
    """What a rule is about."""

    SESSION = "session"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One attempt to tell of an alert; `detail` says why it failed, without secrets."""

    at: datetime
    ok: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something is wrong, or was. `subject` is a session's id, SERVICE for the service itself.

    `began_at` is when the condition became true, `fired_at` when it had been so for long enough.
    An alert is open until `resolved_at`. `value` is the number that the rule compared when the
    alert fired, if any.
    """

    id: str
    rule: str
    subject: str
    severity: Severity
    sentence: str
    value: float | None
    began_at: datetime
    fired_at: datetime
    resolved_at: datetime | None = None
    notified: tuple[Notification, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When an alert fires: a number is beyond a threshold, without a break, for `for_s` seconds.

    Exactly one of `above` and `below` is given; the threshold itself is still good. The alert
    resolves when the number has been good for `resolve_after_s` seconds, or its subject is gone;
    a number that is not known makes it neither fire nor resolve.

    `held_back_by` names more specific rules of the same scope, which tell of the same condition and
    say more. While one of them that is at least as severe holds for the same subject, this one does
    not fire; it does once none holds any more, if its own number is still bad then. An alert that
    is open stays so: who was told that it fired is told when it is over.
    `sentence` is a format string with `value`, `minutes` (of a value in seconds), `percent` (of a
    share) and `gigabytes` (of bytes).
    """

    name: str
    scope: Scope
    signal: str
    above: float | None = None
    below: float | None = None
    for_s: float
    resolve_after_s: float
    severity: Severity
    sentence: str
    remedy: str
    held_back_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise ValueError("needs exactly one of above and below")
        if not (0 <= self.for_s <= _LONGEST_S and 0 <= self.resolve_after_s <= _LONGEST_S):
            raise ValueError(f"for_s and resolve_after_s must be from 0 to {_LONGEST_S}")
        self.sentence_for(0.0)
        # What is tried here with one number must hold for every other one.
        if any("{" in (spec or "") for _, _, spec, _ in Formatter().parse(self.sentence)):
            raise ValueError("the sentence holds a field within a field")

    def holds(self, value: float | None) -> bool:
        """Return whether a number is bad; one that is not known is not."""
        if value is None:
            return False
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below

    def sentence_for(self, value: float) -> str:
        """Return what a person reads. Raises ValueError for a format string that cannot be used."""
        try:
            return self.sentence.format(
                value=value, minutes=value / 60, percent=value * 100, gigabytes=value / 1024**3
            )
        except (LookupError, AttributeError, TypeError) as error:
            raise ValueError(f"the sentence uses something unknown: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The rule holds, not yet for long enough, or is held back.

    `since` when, of which the wall clock's half is of the service's earlier runs, too: that is what
    people are told. The monotonic half is of this run, and by it `for_s` is measured: a service
    that starts sees sessions that have had no time to connect.
    """

    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """The alert is open; `good_since` is the monotonic second since which the number is good."""

    alert: Alert
    good_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What an earlier run left: an open alert, or the moment since which the rule holds.

    Its subject has been missed since a monotonic second.
    """

    left: Alert | datetime
    missed_since: float | None = None


State = Pending | Firing | Restored
"""What is known of one rule and subject, as long as anything is."""

States = Mapping[Key, State]

Conditions = Mapping[Key, datetime]
"""Since when rules hold of which no alert is open."""


def restored(alerts: Iterable[Alert], conditions: Conditions) -> dict[Key, State]:
    """Return the states of a service that starts, from what was so when it ended."""
    left = {**conditions, **{(alert.rule, alert.subject): alert for alert in alerts}}
    return {key: Restored(left=what) for key, what in left.items()}


def conditions(states: States) -> dict[Key, datetime]:
    """Return what the next run has to know of states, besides the alerts that are open."""
    found: dict[Key, datetime] = {}
    for key, state in states.items():
        match state:
            case Pending(since=since):
                found[key] = since.wall
            case Restored(left=datetime() as since):
                found[key] = since
            case Firing() | Restored():
                pass
    return found


def evaluate(
    rules: Sequence[Rule], states: States, signals: Signals, now: Instant
) -> tuple[dict[Key, State], tuple[Alert, ...]]:
    """Take one look. Return the states after it, and every alert that fired or resolved.

    An alert that fired has no `resolved_at`. Nothing changes twice: the same numbers again change
    nothing. How long a number was bad or good is measured by the monotonic clock; times never run
    backwards in an alert, whatever the wall clock does.

    Raises ValueError for rules that hold back each other.
    """
    after: dict[Key, State] = {}
    changes: list[Alert] = []
    by_name = {rule.name: rule for rule in rules}
    ranks = ranked(rules)
    keys = {**dict.fromkeys(states), **dict.fromkeys(_bad(rules, signals))}
    # What a specific rule comes to in this look decides about the general one.
    for key in sorted(keys, key=lambda key: ranks.get(key[0], 0)):
        rule = by_name.get(key[0])
        before = states.get(key)
        if rule is None:  # the rule was taken away or switched off
            state, change = _gone(before, now)
        elif key[1] not in signals:
            state, change = _vanished(before, now)
        else:
            held_back = any(
                (name, key[1]) in after and by_name[name].severity.weight >= rule.severity.weight
                for name in rule.held_back_by
                if name in by_name
            )
            value = signals[key[1]].get(rule.signal)
            state, change = _step(rule, key[1], before, value, now, held_back=held_back)
        if state is not None:
            after[key] = state
        if change is not None:
            changes.append(change)
    return after, tuple(changes)


def ranked(rules: Sequence[Rule]) -> Mapping[str, int]:
    """Return the rank of each rule by its name, above that of all rules that hold it back.

    Raises ValueError, which names them, for rules that hold back each other.
    """
    known = {rule.name: set(rule.held_back_by) for rule in rules}
    specific = {name: by & known.keys() for name, by in known.items()}
    ranks: dict[str, int] = {}
    try:
        for name in TopologicalSorter(specific).static_order():
            ranks[name] = max((ranks[other] + 1 for other in specific[name]), default=0)
    except CycleError as error:
        names = " and ".join(dict.fromkeys(error.args[1]))
        raise ValueError(f"{names} hold back each other") from None
    return ranks


def _bad(rules: Sequence[Rule], signals: Signals) -> Iterator[Key]:
    """Yield what holds now. All else matters only where something is known of it."""
    of_scope = {scope: [rule for rule in rules if rule.scope is scope] for scope in Scope}
    for subject, numbers in signals.items():
        for rule in of_scope[Scope.SERVICE if subject == SERVICE else Scope.SESSION]:
            if rule.holds(numbers.get(rule.signal)):
                yield rule.name, subject


_Outcome = tuple[State | None, Alert | None]


def _step(
    rule: Rule,
    subject: str,
    before: State | None,
    value: float | None,
    now: Instant,
    *,
    held_back: bool,
) -> _Outcome:
    match before:
        case Firing(alert=alert, good_since=good_since):
            return _firing(rule, alert, good_since, value, now)
        case Restored(left=left):
            if isinstance(left, Alert):
                return _firing(rule, left, None, value, now)
            if value is None:  # not every number is known at once
                return _vanished(before, now)
            since = Instant(wall=left, monotonic=now.monotonic)
            return _pending(rule, subject, since, value, now, held_back=held_back)
        case Pending(since=since):
            return _pending(rule, subject, since, value, now, held_back=held_back)
        case None:
            return _pending(rule, subject, now, value, now, held_back=held_back)


def _pending(
    rule: Rule,
    subject: str,
    since: Instant,
    value: float | None,
    now: Instant,
    *,
    held_back: bool,
) -> _Outcome:
    if value is None or not rule.holds(value):
        return None, None
    # A wall clock that was set back must not make an alert fire before it began.
    since = replace(since, wall=min(since.wall, now.wall))
    if held_back or now.monotonic - since.monotonic < rule.for_s:
        return Pending(since=since), None
    alert = Alert(
        id=_alert_id(rule.name, subject, now.wall),
        rule=rule.name,
        subject=subject,
        severity=rule.severity,
        sentence=rule.sentence_for(value),
        value=value,
        began_at=since.wall,
        fired_at=now.wall,
    )
    return Firing(alert=alert), alert


def _firing(
    rule: Rule, alert: Alert, good_since: float | None, value: float | None, now: Instant
) -> _Outcome:
    # While nobody can tell, nobody may say that it is over.
    if value is None or rule.holds(value):
        return Firing(alert=alert), None
    good_since = now.monotonic if good_since is None else good_since
    if now.monotonic - good_since < rule.resolve_after_s:
        return Firing(alert=alert, good_since=good_since), None
    return None, _resolved(alert, now)


def _vanished(before: State | None, now: Instant) -> _Outcome:
    if isinstance(before, Restored):
        missed_since = now.monotonic if before.missed_since is None else before.missed_since
        if now.monotonic - missed_since < RESTORED_GRACE_S:
            return replace(before, missed_since=missed_since), None
    return _gone(before, now)


def _gone(before: State | None, now: Instant) -> _Outcome:
    match before:
        case Firing(alert=alert) | Restored(left=Alert() as alert):
            return None, _resolved(alert, now)
        case Pending() | Restored() | None:
            return None, None


def _resolved(alert: Alert, now: Instant) -> Alert:
    return replace(alert, resolved_at=max(now.wall, alert.fired_at))


def _alert_id(rule: str, subject: str, now: datetime) -> str:
    """Return an id of 32 hex digits, the same for the same firing."""
    text = "\0".join((rule, subject, now.isoformat()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
