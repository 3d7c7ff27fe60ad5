"""The outage that is kept for people: from a connection's loss to the next stable one."""

from dataclasses import replace

from perene.core.clock import Instant
from perene.core.machines.effects import Disconnected, OutageOver
from perene.core.machines.inputs import Input
from perene.core.machines.signals import (
    Decided,
    Emptied,
    GaveUp,
    Lost,
    PutOff,
    Signal,
    Stable,
    Trying,
)
from perene.core.machines.state import Chances, Moved, SessionState
from perene.core.machines.verdict import Verdict
from perene.core.masking import masked
from perene.core.outages import Loss, Outage, OutageEnd


def step(state: SessionState, heard: Input | Signal, now: Instant, chances: Chances) -> Moved:
    """Return what is kept of what was heard."""
    outage = state.standing.outage
    match heard:
        case Lost(verdict=verdict):
            begun = outage or _begun(state, verdict, now, chances)
            return Moved(state=_with(state, begun.lost(_loss(verdict, now))))
        case Trying() if outage is not None:
            attempts = outage.attempts + 1
            tried = replace(outage, attempts=attempts, last_attempt_at=now.wall, retry_at=None)
            return Moved(state=_with(state, tried))
        case Decided(wait=wait):
            if outage is not None:
                retry_at = None if wait is None else now.wall + wait
                outage = replace(outage, retry_at=retry_at)
            told = Disconnected(decided=heard, outage=outage)
            return Moved(state=_with(state, outage), out=(told,))
        case PutOff(wait=wait) if outage is not None:
            return Moved(state=_with(state, replace(outage, retry_at=now.wall + wait)))
        case Stable():
            return _over(state, OutageEnd.RECOVERED, now)
        case Emptied():
            return _over(state, OutageEnd.LOGGED_OUT, now)
        case GaveUp(end=end):
            return _over(state, end, now)
        case _:
            return Moved(state=state)


def _begun(state: SessionState, verdict: Verdict, now: Instant, chances: Chances) -> Outage:
    return Outage(
        id=chances.outage_id,
        session=state.session,
        began_at=now.wall,
        cause=verdict.cause,
        kind=verdict.ending.kind,
        code=verdict.ending.code,
        sentence=verdict.policy.sentence,
        attributes=masked(verdict.ending.attributes),
        last_cause=verdict.cause,
        last_code=verdict.ending.code,
    )


def _loss(verdict: Verdict, now: Instant) -> Loss:
    return Loss(
        cause=verdict.cause,
        kind=verdict.ending.kind,
        code=verdict.ending.code,
        attributes=masked(verdict.ending.attributes),
        first_at=now.wall,
        last_at=now.wall,
    )


def _over(state: SessionState, end: OutageEnd, now: Instant) -> Moved:
    outage = state.standing.outage
    if outage is None:
        return Moved(state=state)
    # A wall clock that was set back must not end it before it began.
    ended_at = max(now.wall, outage.began_at, outage.last_attempt_at or outage.began_at)
    over = replace(outage, ended_at=ended_at, end=end, retry_at=None)
    return Moved(state=_with(state, None), out=(OutageOver(outage=over),))


def _with(state: SessionState, outage: Outage | None) -> SessionState:
    return replace(state, standing=replace(state.standing, outage=outage))
