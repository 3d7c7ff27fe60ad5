"""Whether there are credentials: from the phone's consent to their archive, or their end.

Nothing but an explicit logout destroys them; everything else sets them aside.
"""

from dataclasses import replace

from perene.core.clock import Instant
from perene.core.machines.effects import Archive, Destroy, Effect
from perene.core.machines.inputs import (
    Archived,
    Destroyed,
    Due,
    Ended,
    Input,
    LoggedIn,
    PhoneAccepted,
)
from perene.core.machines.signals import (
    Claim,
    Denied,
    Emptied,
    Forget,
    Granted,
    SetAside,
    Signal,
)
from perene.core.machines.state import (
    Archiving,
    Chances,
    Connecting,
    Destroying,
    Draining,
    Linking,
    Moved,
    Owned,
    Paired,
    Pairing,
    SessionState,
    Unpaired,
    has_come,
)
from perene.core.policy import STORE_RETRY


def step(state: SessionState, heard: Input | Signal, now: Instant, chances: Chances) -> Moved:
    """Return what pairing makes of what it heard."""
    match state.pairing, heard:
        case Unpaired(), PhoneAccepted():
            under_way = isinstance(state.connection, Connecting | Draining)
            return _to(state, Linking() if under_way else Paired())
        case Linking(), LoggedIn() | Ended():
            return _to(state, Paired())
        case Unpaired(), LoggedIn():
            # What a phone accepted was stored after this session was read.
            return _to(state, Paired())
        case ((Unpaired() | Linking() | Paired()), SetAside(reason=reason)):
            return _to(state, Archiving(reason=reason), Claim())
        case ((Unpaired() | Linking() | Paired() | Archiving()), Forget(unlinked=unlinked)):
            linked = isinstance(state.pairing, Linking | Paired)
            return _to(state, Destroying(still_linked=linked and not unlinked), Claim())
        case Archiving() | Destroying(), _:
            return _ending(state, state.pairing, heard, now, chances)
        case _:
            return Moved(state=state)


def _ending(
    state: SessionState,
    ending: Archiving | Destroying,
    heard: Input | Signal,
    now: Instant,
    chances: Chances,
) -> Moved:
    """Set aside or destroy once the session is ours, until the database has done it."""
    match ending, heard:
        case _, Granted():
            return _do(state, ending)
        case Destroying(), Denied():
            return Moved(state=state, out=(Claim(),))  # a person's word takes the session back
        case _, Denied():
            return _to(state, Paired())  # the other owner's to decide
        case _ if not isinstance(state.ownership, Owned):
            return Moved(state=state)
        case _, Due() if has_come(ending.until, now):
            return _do(state, replace(ending, until=None))
        case (Archiving(), Archived(ok=ok)) | (Destroying(), Destroyed(ok=ok)):
            if ok:
                return _to(state, Unpaired(), Emptied())
            until = now.later(STORE_RETRY.wait(ending.failures, chances.jitter))
            return _to(state, replace(ending, failures=ending.failures + 1, until=until))
        case _:
            return Moved(state=state)


def _do(state: SessionState, ending: Archiving | Destroying) -> Moved:
    assert isinstance(state.ownership, Owned)  # granted, and nobody claims meanwhile
    epoch = state.ownership.epoch
    match ending:
        case Archiving(reason=reason):
            return _to(state, ending, Archive(epoch=epoch, reason=reason))
        case Destroying(still_linked=still_linked):
            return _to(state, ending, Destroy(epoch=epoch, still_linked=still_linked))


def _to(state: SessionState, pairing: Pairing, *out: Signal | Effect) -> Moved:
    return Moved(state=replace(state, pairing=pairing), out=out)
