"""Alerts: numbers that stay bad for long enough, told once, and told again when they are good.

A rule watches one number of every subject. `evaluate` is the whole engine, as a pure step: what
was known before, the numbers of now, and the time make what is known after, and what changed.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from string import Formatter

from perene.core.clock import Instant

SERVICE = ""
"""The subject of what concerns the service as a whole."""

Signals = Mapping[str, Mapping[str, float]]
"""Numbers by name, for each subject: a session's id, or SERVICE."""

Key = tuple[str, str]
"""Rule and subject: at most one alert is open for each."""

RESTORED_GRACE_S = 900.0
"""How long an alert of an earlier run waits for its subject to be seen at all.

A service that starts does not know its sessions at once; when the database comes late it takes
minutes. Alerts that resolved meanwhile would only fire again.
"""

_LONGEST_S = 366 * 86400


class Severity(StrEnum):
    """How much an alert asks of its reader."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


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
class Watch:
    """What is known of one rule and subject, as long as anything is.

    Pending: `alert` is None, and the rule has held since `since`. Firing: `alert` is open, and
    `good_since` is the monotonic second since which the number has been good, None while it is
    not. `restored` marks the alert of an earlier run whose subject was not seen yet.
    """

    since: Instant | None = None
    alert: Alert | None = None
    good_since: float | None = None
    restored: bool = False


States = Mapping[Key, Watch]


def restored(alerts: Iterable[Alert]) -> dict[Key, Watch]:
    """Return the states of a service that starts, from the alerts that were open when it ended."""
    return {(alert.rule, alert.subject): Watch(alert=alert, restored=True) for alert in alerts}


def evaluate(
    rules: Sequence[Rule], states: States, signals: Signals, now: Instant
) -> tuple[dict[Key, Watch], tuple[Alert, ...]]:
    """Take one look. Return the states after it, and every alert that fired or resolved.

    An alert that fired has no `resolved_at`. Nothing changes twice: the same numbers again change
    nothing. How long a number was bad or good is measured by the monotonic clock; times never run
    backwards in an alert, whatever the wall clock does.
    """
    after: dict[Key, Watch] = {}
    changes: list[Alert] = []
    by_name = {rule.name: rule for rule in rules}
    for key in {**dict.fromkeys(states), **dict.fromkeys(_bad(rules, signals))}:
        rule = by_name.get(key[0])
        before = states.get(key)
        if rule is None:  # the rule was taken away or switched off
            watch, change = _gone(before, now)
        elif key[1] not in signals:
            watch, change = _vanished(before, now)
        else:
            watch, change = _step(rule, key[1], before, signals[key[1]].get(rule.signal), now)
        if watch is not None:
            after[key] = watch
        if change is not None:
            changes.append(change)
    return after, tuple(changes)


def _bad(rules: Sequence[Rule], signals: Signals) -> Iterator[Key]:
    """Yield what holds now. All else matters only where something is known of it."""
    of_scope = {scope: [rule for rule in rules if rule.scope is scope] for scope in Scope}
    for subject, numbers in signals.items():
        for rule in of_scope[Scope.SERVICE if subject == SERVICE else Scope.SESSION]:
            if rule.holds(numbers.get(rule.signal)):
                yield rule.name, subject


_Outcome = tuple[Watch | None, Alert | None]


def _step(
    rule: Rule, subject: str, before: Watch | None, value: float | None, now: Instant
) -> _Outcome:
    if before is not None and before.alert is not None:
        if value is None:  # nobody can tell, so nobody may say that it is over
            return replace(before, good_since=None, restored=False), None
        return _firing(rule, before, before.alert, holds=rule.holds(value), now=now)
    if value is None or not rule.holds(value):
        return None, None
    since = now if before is None or before.since is None else before.since
    # A wall clock that was set back must not make an alert fire before it began.
    since = replace(since, wall=min(since.wall, now.wall))
    if now.monotonic - since.monotonic < rule.for_s:
        return Watch(since=since), None
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
    return Watch(alert=alert), alert


def _firing(rule: Rule, before: Watch, alert: Alert, *, holds: bool, now: Instant) -> _Outcome:
    if holds:
        return replace(before, good_since=None, restored=False), None
    good_since = now.monotonic if before.good_since is None else before.good_since
    if now.monotonic - good_since < rule.resolve_after_s:
        return replace(before, good_since=good_since, restored=False), None
    return None, _resolved(alert, now)


def _vanished(before: Watch | None, now: Instant) -> _Outcome:
    if before is None or before.alert is None or not before.restored:
        return _gone(before, now)
    unseen_since = now.monotonic if before.good_since is None else before.good_since
    if now.monotonic - unseen_since < RESTORED_GRACE_S:
        return replace(before, good_since=unseen_since), None
    return _gone(before, now)


def _gone(before: Watch | None, now: Instant) -> _Outcome:
    if before is None or before.alert is None:
        return None, None
    return None, _resolved(before.alert, now)


def _resolved(alert: Alert, now: Instant) -> Alert:
    return replace(alert, resolved_at=max(now.wall, alert.fired_at))


def _alert_id(rule: str, subject: str, now: datetime) -> str:
    """Return an id of 32 hex digits, the same for the same firing."""
    text = "\0".join((rule, subject, now.isoformat()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
