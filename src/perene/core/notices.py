"""What a connection tells its owner while it lives. Notices are not stored; events are."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from perene.core.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginStarted:
    """The handshake is done, and the server has been told who we are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QrShown:
    """A QR code to draw; it replaces the one before, and is good until `expires_at`."""

    text: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeShown:
    """A code to type on a phone; it replaces the one before, and is good until `expires_at`."""

    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneLinked:
    """The phone's answer verified, and is committed; a restart of the stream follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Logged in; stanzas flow. The addresses are the account's, as far as they are known."""

    at: datetime
    pn: str | None = None
    lid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTold:
    """What the server said of the time at a login, which was `at` by our clocks."""

    said: datetime
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionExpires:
    """From when on WhatsApp refuses the client version of a connection; None takes that back."""

    at: datetime | None
    version: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The server has just proved to be there."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSeen:
    """The account's phone has been online at this time, which may lie some days back."""

    at: datetime


class DeafOutcome(StrEnum):
    """What came of a suspicion that the connection is deaf."""

    CONFIRMED = "confirmed"
    FALSE_ALARM = "false_alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingDoubted:
    """The connection seems to deliver nothing and is reopened; later, what came of that."""

    outcome: DeafOutcome | None = None


Notice = (
    LoginStarted
    | QrShown
    | CodeShown
    | PhoneLinked
    | Opened
    | TimeTold
    | VersionExpires
    | Alive
    | PhoneSeen
    | HearingDoubted
)


class Observer(Protocol):
    """Takes notices; returns at once and raises nothing."""

    def notice(self, notice: Notice) -> None: ...
