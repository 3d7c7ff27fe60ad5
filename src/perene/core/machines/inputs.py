"""What the shell tells a session: what people want, what has happened, that time has passed."""

from dataclasses import dataclass
from datetime import datetime

from perene.core.causes import Ending
from perene.core.clock import Instant
from perene.core.ids import Epoch
from perene.core.policy import Relief


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
class PhoneAccepted:
    """A phone has accepted the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """The login was complete at that moment, with these addresses of the account."""

    at: Instant
    pn: str | None = None
    lid: str | None = None


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
class PhoneSeen:
    """Something arrived that only the phone itself can have sent, at that moment."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Relieved:
    """What many may have waited for has come."""

    by: Relief


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The deadline has come."""


Input = (
    Start
    | Restart
    | Stop
    | LogOut
    | Acquired
    | NotAcquired
    | PhoneAccepted
    | LoggedIn
    | Ended
    | Archived
    | Destroyed
    | VersionFound
    | PhoneSeen
    | Relieved
    | Due
)
