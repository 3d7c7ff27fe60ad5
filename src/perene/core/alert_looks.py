"""Looks at the numbers: they stay bad for long enough, are told once, and again when they are good.

A rule watches one number of every subject. `evaluate` is the whole engine, as a pure step: what
was known before, the numbers of now, and the time make what is known after, and what changed.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from perene.core.alerts import SERVICE, Alert, Key, Rule, Scope, Signals, ranked
from perene.core.clock import Instant

RESTORED_GRACE_S = 900.0
"""How long what an earlier run left waits for its subject to be seen at all.

A service that starts does not know its sessions at once; when the database comes late it takes
minutes. Alerts that resolved meanwhile would only fire again.
"""


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
