"""The words of a session's life: its states, the events that move it, the effects that follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from perene.core.causes import Cause, Ending
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.outages import Outage, OutageId
from perene.core.policy import POLICIES, Policy
from perene.core.standing import Standing


class Then(StrEnum):
    """What follows when a connection has drained."""

    STOP = "stop"
    LEAVE = "leave"
    """The service is ending; the session is wanted all the same."""
    RESTART = "restart"
    LOG_OUT = "log_out"


# --- states ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """Not wanted, or not begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquiring:
    """Becoming the owner; with `until`, waiting for a database that did not answer."""

    failures: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """From dialling to login or pairing."""

    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Logged in. `stable` once it has been open long enough for counts to start anew."""

    epoch: Epoch
    since: Instant
    stable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Down until a monotonic second; then the next attempt."""

    until: float
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingVersion:
    """Down until the client version that WhatsApp accepts is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archiving:
    """Down until the credentials are set aside; `again` says whether an attempt follows."""

    cause: Cause
    ending: Ending
    policy: Policy
    again: bool
    exhausted: bool
    failures: int
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroying:
    """Logged out by a person; down until the credentials are gone."""

    failures: int
    until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Closing in order."""

    epoch: Epoch
    then: Then


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Down; no attempt before a person acts."""

    cause: Cause


ConnectionState = (
    Down
    | Acquiring
    | Connecting
    | Open
    | Waiting
    | FindingVersion
    | Archiving
    | Destroying
    | Draining
    | Held
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """All that decides about a session. `epoch` is the last one that was taken."""

    session: SessionId
    connection: ConnectionState = field(default_factory=Down)
    epoch: Epoch | None = None
    paired: bool = False
    just_linked: bool = False
    afterwards: Then | None = None
    standing: Standing = field(default_factory=Standing)


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The session is wanted: by a person just now, or since before this service began."""

    by_person: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A person wants another connection, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The session is to rest: a person wants it so, or the service is ending."""

    by_person: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOut:
    """A person wants the device unlinked and its credentials destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquired:
    """The session is ours under this epoch."""

    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAcquired:
    """Another owner has it (`taken`), or the database did not answer."""

    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A phone has accepted the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The login was complete at that moment."""

    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The connection is gone."""

    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """The credentials are set aside, or could not be."""

    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroyed:
    """The credentials are gone, or could not be deleted."""

    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFound:
    """There is (`found`) a newer client version than the one that was refused."""

    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The deadline has come."""


Event = (
    Start
    | Restart
    | Stop
    | LogOut
    | Acquired
    | NotAcquired
    | Linked
    | Opened
    | Ended
    | Archived
    | Destroyed
    | VersionFound
    | Due
)


# --- effects --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Which attempt in a row this is, and how many there may be."""

    number: int
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire:
    """Become the owner; with `held`, only while that is still the epoch."""

    held: Epoch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Make one connection under the epoch of the state."""

    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Close the connection in order; `log_out` asks WhatsApp to forget the device first."""

    log_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Set the credentials aside."""

    reason: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Delete the credentials; the explicit logout is the only occasion."""

    held: Epoch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindVersion:
    """Find out which client version WhatsApp accepts now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Store the standing, and the outage if there is one."""

    standing: Standing
    outage: Outage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Store and tell that an outage is over."""

    outage: Outage
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """Store, log and tell that a connection ended, and what follows.

    `wait` is the time to the next attempt, None if a person has to act.
    """

    ending: Ending
    cause: Cause
    policy: Policy
    attempt: int
    wait: timedelta | None
    attention: bool
    archived: bool
    exhausted: bool
    outage: Outage | None
    standing: Standing


Effect = (
    Acquire | Connect | Drain | Archive | Destroy | FindVersion | Record | Recovered | Disconnected
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A state, and what has to be done for it, in this order."""

    state: SessionState
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """What `step` may not find by itself: a random number from 0 to 1, a fresh id, the policies."""

    jitter: float
    outage_id: OutageId
    policies: Mapping[Cause, Policy] = field(default_factory=lambda: POLICIES)
