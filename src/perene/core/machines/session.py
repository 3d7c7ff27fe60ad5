"""A session: its machines together. `step` is the whole of it.

No clock, no I/O, no chance but what is passed in. The shell performs the effects in their order
and tells their outcome as inputs. A late or double input finds states that it does not concern,
and changes nothing. `next_deadline` is the one timer.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from perene.core.causes import Local
from perene.core.clock import Instant
from perene.core.ids import SessionId
from perene.core.machines import connection, outage, ownership, pairing, phone
from perene.core.machines.effects import Effect
from perene.core.machines.inputs import Input
from perene.core.machines.signals import Signal
from perene.core.machines.state import (
    Absence,
    Archiving,
    Asking,
    Chances,
    Destroying,
    Moved,
    Open,
    Paired,
    SessionState,
    Unpaired,
    Waiting,
    Watched,
)
from perene.core.standing import Standing

Machine = Callable[[SessionState, Input | Signal, Instant, Chances], Moved]

MACHINES: Mapping[str, Machine] = {
    "connection": connection.step,
    "pairing": pairing.step,
    "ownership": ownership.step,
    "outage": outage.step,
    "phone": phone.step,
}
"""The connection hears first: it has to know what the others were before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A state, and what has to be done for it, in this order."""

    state: SessionState
    effects: tuple[Effect, ...] = ()


def new_session(
    session: SessionId,
    *,
    paired: bool,
    standing: Standing | None = None,
    absence: Absence | None = None,
) -> SessionState:
    """Return a session that nobody has started yet.

    `absence` says since when nobody has driven it, None if nobody should have. It counts only for a
    session that was up till then.
    """
    standing = standing or Standing()
    untold = None
    if standing.shown_up:
        # Without an absence it was to rest: a person wanted it so.
        untold = Local.STOPPED if absence is None else absence.local
    if not standing.up or standing.outage is not None:
        absence = None
    elif absence is not None and standing.left_at is not None:
        absence = replace(absence, since=standing.left_at)
    if absence is None:
        standing = replace(standing, up=False, left_at=None)
    return SessionState(
        session=session,
        pairing=Paired() if paired else Unpaired(),
        absence=absence,
        untold=untold,
        standing=standing,
    )


def step(
    state: SessionState,
    given: Input,
    now: Instant,
    chances: Chances,
    machines: Mapping[str, Machine] = MACHINES,
) -> Step:
    """Return the next state and what has to be done for it.

    Other `machines` are for who wants to look over their shoulders.
    """
    to_come: deque[Input | Signal | Effect] = deque((given,))
    effects: list[Effect] = []
    while to_come:
        heard = to_come.popleft()
        if isinstance(heard, Effect):
            effects.append(heard)
            continue
        said: list[Signal | Effect] = []
        for machine in machines.values():
            moved = machine(state, heard, now, chances)
            state = moved.state
            said += moved.out
        # What follows from one thing comes before the next thing: effects keep their order.
        to_come.extendleft(reversed(said))
    return Step(state=state, effects=tuple(effects))


def next_deadline(state: SessionState) -> float | None:
    """Return the monotonic second at which `Due` is to come, None for never."""
    deadlines = [
        deadline for deadline in (_of_connection(state), *_of_others(state)) if deadline is not None
    ]
    return min(deadlines, default=None)


def _of_connection(state: SessionState) -> float | None:
    match state.connection:
        case Waiting(until=until):
            return until
        case Open() as opened:
            return connection.stable_at(opened)
        case _:
            return None


def _of_others(state: SessionState) -> tuple[float | None, ...]:
    asking = state.ownership.until if isinstance(state.ownership, Asking) else None
    ending = state.pairing.until if isinstance(state.pairing, Archiving | Destroying) else None
    watched = state.phone.until if isinstance(state.phone, Watched) else None
    return (asking, ending, watched)
