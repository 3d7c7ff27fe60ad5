"""What the machines of one session tell each other; nobody else hears it."""

from dataclasses import dataclass
from datetime import timedelta

from perene.core.causes import Cause
from perene.core.ids import Epoch
from perene.core.machines.verdict import Verdict
from perene.core.outages import OutageEnd

# --- to and from ownership ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A fresh epoch is needed before what comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The session is ours under this epoch; whatever an older one still writes is refused."""

    epoch: Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Somebody else owns the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disown:
    """The connection has found that somebody else owns the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Nobody needs the claim any more."""


# --- to and from pairing --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """The credentials are of no use now: archive them."""

    reason: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """A person has logged the session out: destroy its credentials.

    `unlinked` says that WhatsApp knows of it; otherwise the phone may still list the device.
    """

    unlinked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """There are no credentials any more."""


# --- of the connection, to the outage that is kept ------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The connection of a linked device ended, and nobody wanted it to."""

    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Trying:
    """An attempt begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stable:
    """A connection has been open long enough to be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp:
    """Nobody wants the connection any more."""

    end: OutageEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What follows from the end of a connection.

    `wait` is the time to the next attempt, None if none is planned; with `attention` a person has
    to act; an `exhausted` limit was the reason.
    """

    verdict: Verdict
    attempt: int
    wait: timedelta | None
    attention: bool = False
    exhausted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """The next attempt is so far away, for something is looked for before it."""

    wait: timedelta


Signal = (
    Claim
    | Granted
    | Denied
    | Disown
    | Withdraw
    | SetAside
    | Forget
    | Emptied
    | Lost
    | Trying
    | Stable
    | GaveUp
    | Decided
    | PutOff
)
