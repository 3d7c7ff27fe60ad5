"""The states of a session: one of each machine, and what outlives a restart of the service."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from perene.core.causes import Cause, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Effect
from perene.core.machines.signals import Signal
from perene.core.machines.verdict import Verdict
from perene.core.outages import OutageId
from perene.core.policy import POLICIES, Policy
from perene.core.standing import Standing

# --- connection -----------------------------------------------------------------------------------


class Then(StrEnum):
    """What follows when a connection has drained."""

    STOP = "stop"
    LEAVE = "leave"
    """The service is ending; the session is wanted all the same."""
    RESTART = "restart"
    LOG_OUT = "log_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """Not wanted, or not begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claiming:
    """Down until the session is ours; `parting`: only to tell WhatsApp goodbye."""

    parting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """From dialling to login or pairing; `parting`: only to tell WhatsApp goodbye."""

    parting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Logged in. `stable` once it has been open long enough for counts to start anew."""

    since: Instant
    stable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Down until a monotonic second; then the next attempt. `at` is that moment for people."""

    until: float
    at: datetime
    cause: Cause

    @classmethod
    def after(cls, wait: timedelta, cause: Cause, now: Instant) -> "Waiting":
        """Wait so long from now."""
        return cls(until=now.later(wait), at=now.wall + wait, cause=cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingVersion:
    """Down until the client version that WhatsApp accepts is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingAside:
    """Down until the credentials are archived.

    An attempt follows if `again`, and after an `exhausted` limit at once; what a person wants
    meanwhile (`then`) comes before both.
    """

    verdict: Verdict
    again: bool
    exhausted: bool
    then: Then | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingOut:
    """Down until the credentials are gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Closing in order; `parting`: after it has told WhatsApp goodbye."""

    then: Then
    parting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Down; no attempt before a person acts."""

    cause: Cause


Connection = (
    Down
    | Claiming
    | Connecting
    | Open
    | Waiting
    | FindingVersion
    | SettingAside
    | LoggingOut
    | Draining
    | Held
)

# --- ownership ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """Nothing is asked of the session; `last` is the epoch that was ours, if it is known."""

    last: Epoch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The database was asked for an epoch; with `until`, it will be asked again then."""

    held: Epoch | None
    failures: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """The session is ours."""

    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Somebody else owns the session; the next claim is a person's, and takes it back."""


Ownership = Free | Asking | Owned | Taken

# --- pairing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaired:
    """There are no credentials; a connection offers a QR code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linking:
    """A phone has accepted the device, and the connection on which it did lives still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The device is linked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiving:
    """The credentials are being set aside; `until` when the database is to be asked again."""

    reason: Cause
    failures: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroying:
    """The credentials are being deleted; `until` when the database is to be asked again.

    `still_linked` if WhatsApp has not said that it forgot the device.
    """

    still_linked: bool = False
    failures: int = 0
    until: float | None = None


Pairing = Unpaired | Linking | Paired | Archiving | Destroying

# --- phone ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwatched:
    """There is no connection on which the phone could be heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The phone is waited for; `until` is when its absence is looked at next.

    Before `settled_at` what has waited at the server may still arrive.
    """

    until: float
    settled_at: float


PhoneWatch = Unwatched | Watched

# --- a life that ended ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Nobody drove the session `since` then, because of `local`: the service or the task had ended.

    An outage that is kept for people once it is known how it goes on. `attempts` are those made
    since.
    """

    since: datetime
    local: Local
    attempts: int = 0
    last_attempt_at: datetime | None = None


# --- all of them ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """All that decides about a session.

    Each machine reads all of it and changes its own part. Of `standing`, the connection has the
    counts, the ban and the stop; the outage has what is up, and it and the phone have the fields of
    their names. `absence` is the outage's, and so is `untold`: how a connection ended of which
    people were told no end yet.
    """

    session: SessionId
    connection: Connection = field(default_factory=Down)
    ownership: Ownership = field(default_factory=Free)
    pairing: Pairing = field(default_factory=Unpaired)
    phone: PhoneWatch = field(default_factory=Unwatched)
    absence: Absence | None = None
    untold: Local | None = None
    standing: Standing = field(default_factory=Standing)

    @property
    def epoch(self) -> Epoch | None:
        """The last epoch that was ours, None if none is known."""
        match self.ownership:
            case Owned(epoch=epoch):
                return epoch
            case Free(last=last):
                return last
            case Asking(held=held):
                return held
            case Taken():
                return None

    @property
    def paired(self) -> bool:
        """Whether there are credentials of a linked device."""
        return not isinstance(self.pairing, Unpaired)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What a step may not find by itself: a random number from 0 to 1, a fresh id, the policies."""

    jitter: float
    outage_id: OutageId
    policies: Mapping[Cause, Policy] = field(default_factory=lambda: POLICIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What one machine made of what it heard: the state after, and what it says, in order."""

    state: SessionState
    out: tuple[Signal | Effect, ...] = ()


def is_asking(state: SessionState) -> bool:
    """Tell whether the database was asked for an epoch, and has not answered yet."""
    return isinstance(state.ownership, Asking) and state.ownership.until is None


def has_come(until: float | None, now: Instant) -> bool:
    """Tell whether a deadline has come."""
    return until is not None and now.monotonic >= until
