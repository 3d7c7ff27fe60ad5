"""Alerts: that something needs a person, from when to when, and whom it was told."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How much an alert asks of its reader."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One attempt to tell of an alert; `detail` says why it failed, without secrets."""

    at: datetime
    ok: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. `subject` is a session's id, "" for the service itself.

    `began_at` is when the condition became true, `fired_at` when it had been so for long enough.
    An alert is open until `resolved_at`. `value` is the number that the rule compared, if any.
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
