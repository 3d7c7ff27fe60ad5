"""What the machine that notices deaf connections is told, and what it asks for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class StanzaKind(StrEnum):
    """What the server delivered by itself. Anything proves hearing; not all is expected."""

    MESSAGE = "message"
    NOTIFICATION = "notification"
    CALL = "call"
    RECEIPT = "receipt"
    """Follows from what we send, so its rate says nothing about the next hour."""
    PHONE = "phone"
    """A message of our own phone to this device alone: it comes when it is asked."""
    OTHER = "other"


COUNTED = frozenset((StanzaKind.MESSAGE, StanzaKind.NOTIFICATION, StanzaKind.CALL))
"""What makes up the habit of a session."""


class Reason(StrEnum):
    """Why a connection is suspected."""

    SILENCE = "silence"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Logged in; stanzas flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Stanzas of a kind came, or one that was kept while the session was away (`queued`).

    `queued_at` is the server's time of the latter, None if it bears none.
    """

    kind: StanzaKind
    count: int = 1
    queued: bool = False
    queued_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message of ours went out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The server answered for a message of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswered:
    """The probe's ping was answered. `phone_asked`: a question to the phone left as well."""

    phone_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFailed:
    """The probe's ping was not answered: the connection is dead, not deaf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time has passed; owed at `next_deadline`, harmless at any other time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The connection ended, for whatever reason."""


HearingEvent = Opened | Heard | Sent | Answered | ProbeAnswered | ProbeFailed | Ticked | Closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Ping, ask the phone if so told, and step ProbeAnswered or ProbeFailed."""

    ask_phone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen:
    """Give the connection up and log in again. `expected` messages were due in the `silence`.

    `doubt` is what speaks against chance, in nats.
    """

    reason: Reason
    silence: timedelta
    expected: float
    doubt: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The connection was deaf; it was given up `delay` after the first proof was queued."""

    delay: timedelta
    silence: timedelta
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarm:
    """Nothing had been kept from the session; the next suspicion is `paused_for` away."""

    paused_for: timedelta
    silence: timedelta
    expected: float


HearingEffect = Probe | Reopen | Confirmed | FalseAlarm
