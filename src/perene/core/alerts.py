"""Alerts and rules: what is told to a person, and when. `alert_looks` decides about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from string import Formatter

SERVICE = ""
"""The subject of what concerns the service as a whole."""

Signals = Mapping[str, Mapping[str, float]]
"""Numbers by name, for each subject: a session's id, or SERVICE."""

Key = tuple[str, str]
"""Rule and subject: at most one alert is open for each."""

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
