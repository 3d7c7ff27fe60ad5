"""Whom a session belongs to: a fresh epoch for each connection, and for each end of credentials.

A transaction of the connection before may still hang in the database. Under a new epoch it can no
longer land beneath what comes next, whether that is a connection or an empty session.
"""

from dataclasses import replace

from perene.core.clock import Instant
from perene.core.machines.effects import Acquire, Effect
from perene.core.machines.inputs import Acquired, Due, Input, NotAcquired
from perene.core.machines.signals import Claim, Denied, Disown, Granted, Signal, Withdraw
from perene.core.machines.state import (
    Asking,
    Chances,
    Down,
    Free,
    Moved,
    Owned,
    Ownership,
    SessionState,
    Taken,
    has_come,
)
from perene.core.policy import STORE_RETRY


def step(state: SessionState, heard: Input | Signal, now: Instant, chances: Chances) -> Moved:
    """Return what ownership makes of what it heard."""
    match state.ownership, heard:
        case Asking(until=None), Claim():
            return Moved(state=state)  # the answer to the one question serves all who wait
        case ((Free() | Owned() | Taken() | Asking()), Claim()):
            return _ask(state, Asking(held=state.epoch))
        case Asking() as asking, Due() if has_come(asking.until, now):
            return _ask(state, replace(asking, until=None))
        case Asking(), Acquired(epoch=epoch):
            return _to(state, Owned(epoch=epoch), Granted(epoch=epoch))
        case Free(), Acquired(epoch=epoch):
            return _to(state, Free(last=epoch))  # not needed any more; taken all the same
        case _, NotAcquired(taken=True):
            return _to(state, Taken(), Denied())
        case Asking(), NotAcquired() if isinstance(state.connection, Down):
            return _to(state, Free())  # nobody needs it any more
        case Asking(failures=failures), NotAcquired():
            # It may have been taken all the same: what was held is no longer known.
            until = now.later(STORE_RETRY.wait(failures, chances.jitter))
            return _to(state, Asking(held=None, failures=failures + 1, until=until))
        case _, Disown():
            return _to(state, Taken())
        case Asking(until=float(), held=held), Withdraw():
            return _to(state, Free(last=held))
        case _:
            return Moved(state=state)


def _ask(state: SessionState, asking: Asking) -> Moved:
    return _to(state, asking, Acquire(held=asking.held))


def _to(state: SessionState, ownership: Ownership, *out: Signal | Effect) -> Moved:
    return Moved(state=replace(state, ownership=ownership), out=out)
