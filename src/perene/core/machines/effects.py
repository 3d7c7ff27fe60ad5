"""What the shell has to do for a session, and what it has to keep and tell."""

from dataclasses import dataclass

from perene.core.causes import Cause
from perene.core.ids import Epoch
from perene.core.machines.signals import Decided
from perene.core.outages import Outage

# --- to be done -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire:
    """Become the owner; with `held`, only while that is still the epoch."""

    held: Epoch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Make one connection: the `attempt`th in a row, of `limit`."""

    epoch: Epoch
    attempt: int
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Close the connection in order; `log_out` asks WhatsApp to forget the device first."""

    log_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Set the credentials aside, and tell of it."""

    epoch: Epoch
    reason: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroy:
    """Delete the credentials, and tell of it; the explicit logout is the only occasion.

    `still_linked` if WhatsApp has not said that it forgot the device.
    """

    epoch: Epoch
    still_linked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FindVersion:
    """Find out which client version WhatsApp accepts now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PingPhone:
    """Ask the phone for something that it answers by itself."""


Deed = Acquire | Connect | Drain | Archive | Destroy | FindVersion | PingPhone

# --- to be kept and told --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The session is logged in, with these addresses of its account."""

    pn: str | None
    lid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """A connection ended, and this was decided; `outage` is the one that goes on, if any."""

    decided: Decided
    outage: Outage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageOver:
    """An outage has ended; `outage` says how."""

    outage: Outage


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingStreamEnded:
    """The stream on which a device was linked ended as it should; the login comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A person stopped the session, and it has come to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneAbsent:
    """The phone has not been heard of for so many days."""

    days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneBack:
    """A phone that was absent has been heard of again."""


Telling = (
    Connected | Disconnected | OutageOver | PairingStreamEnded | Stopped | PhoneAbsent | PhoneBack
)

Effect = Deed | Telling
