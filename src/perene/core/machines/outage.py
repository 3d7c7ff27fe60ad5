"""The outage that is kept for people: from a connection's loss to the next stable one."""

from dataclasses import replace
from datetime import datetime, timedelta

from perene.core.causes import Cause, Local
from perene.core.clock import EARLIEST, Instant
from perene.core.machines.effects import Connected, Disconnected, OutageOver
from perene.core.machines.inputs import Input, LoggedIn, LogOut, Start
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
from perene.core.machines.state import Chances, Moved, Open, SessionState
from perene.core.machines.verdict import Verdict
from perene.core.masking import masked
from perene.core.outages import Loss, Outage, OutageEnd


def step(state: SessionState, heard: Input | Signal, now: Instant, chances: Chances) -> Moved:
    """Return what is kept of what was heard."""
    outage = state.standing.outage
    match heard:
        case Start() | LogOut() if state.untold is not None:
            return _found_gone(state, state.untold, now, chances)
        case Lost(verdict=verdict):
            begun = outage or _of_absence(state, now, chances)
            begun = begun or _begun(state, verdict, now, chances)
            return Moved(state=_with(state, begun.lost(_loss(verdict, now))))
        case Trying():
            return Moved(state=_tried(state, now))
        case LoggedIn(pn=pn, lid=lid):
            # Before it is stable: a service that is killed until then takes it down all the same.
            begun = outage is None and isinstance(state.connection, Open)
            standing = replace(state.standing, shown_up=True, up=state.standing.up or begun)
            return Moved(state=replace(state, standing=standing), out=(Connected(pn=pn, lid=lid),))
        case Decided():
            return _decided(state, heard, now, chances)
        case PutOff(wait=wait) if outage is not None:
            return Moved(state=_with(state, replace(outage, retry_at=now.wall + wait)))
        case Stable():
            over = _over(state, OutageEnd.RECOVERED, now, chances)
            standing = replace(over.state.standing, up=True)
            return replace(over, state=replace(over.state, standing=standing))
        case Emptied():
            return _over(state, OutageEnd.LOGGED_OUT, now, chances)
        case GaveUp(end=end):
            return _over(state, end, now, chances)
        case _:
            return Moved(state=state)


def _decided(state: SessionState, decided: Decided, now: Instant, chances: Chances) -> Moved:
    ended = decided.verdict.cause is Cause.SERVICE_ENDED
    state = _shown_down(state)
    outage = state.standing.outage
    if outage is None and ended:
        # Gone again before it was stable: what was tried meanwhile is of the same outage.
        outage = _of_absence(state, now, chances)
    if outage is not None:
        retry_at = None if decided.wait is None else now.wall + decided.wait
        outage = replace(outage, retry_at=retry_at)
        state = _with(state, outage)
    elif ended and state.standing.up:
        state = _left(state, state.standing.left_at or now.wall)
    return Moved(state=state, out=(Disconnected(decided=decided, outage=outage),))


def _tried(state: SessionState, now: Instant) -> SessionState:
    absence, outage = state.absence, state.standing.outage
    if absence is not None:
        attempts = absence.attempts + 1
        absence = replace(absence, attempts=attempts, last_attempt_at=now.wall)
        return replace(state, absence=absence)
    if outage is not None:
        attempts = outage.attempts + 1
        tried = replace(outage, attempts=attempts, last_attempt_at=now.wall, retry_at=None)
        return _with(state, tried)
    return state


def _found_gone(state: SessionState, untold: Local, now: Instant, chances: Chances) -> Moved:
    """Tell of the end of a connection that nobody could tell of: who drove it was gone."""
    verdict = Verdict.of_local(untold, chances.policies)
    decided = Decided(verdict=verdict, attempt=0, wait=timedelta())
    found, outage = _shown_down(state), state.standing.outage
    if outage is not None and untold is Local.INTERNAL:
        # It was no end that anybody wanted: the connection was lost once more.
        outage = outage.lost(_loss(verdict, now))
        found = _with(found, outage)
    elif state.absence is not None:
        found = _left(found, state.absence.since)
    return Moved(state=found, out=(Disconnected(decided=decided, outage=outage),))


def _shown_down(state: SessionState) -> SessionState:
    return replace(state, untold=None, standing=replace(state.standing, shown_up=False))


def _of_absence(state: SessionState, now: Instant, chances: Chances) -> Outage | None:
    """Return the outage that began when nobody drove the session any more."""
    absence = state.absence
    if absence is None:
        return None
    # A clock that was set back must not have it begin later; one that lost the time knows nothing.
    wall = absence.since if now.wall < EARLIEST else min(absence.since, now.wall)
    since = replace(now, wall=wall)
    verdict = Verdict.of_local(absence.local, chances.policies)
    return replace(
        _begun(state, verdict, since, chances).lost(_loss(verdict, since)),
        attempts=absence.attempts,
        last_attempt_at=absence.last_attempt_at,
    )


def _left(state: SessionState, left_at: datetime) -> SessionState:
    return replace(state, standing=replace(state.standing, left_at=left_at))


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


def _over(state: SessionState, end: OutageEnd, now: Instant, chances: Chances) -> Moved:
    outage = state.standing.outage or _of_absence(state, now, chances)
    if outage is None:
        return Moved(state=_with(state, None))
    # A wall clock that was set back must not end it before it began.
    ended_at = max(now.wall, outage.began_at, outage.last_attempt_at or outage.began_at)
    over = replace(outage, ended_at=ended_at, end=end, retry_at=None)
    return Moved(state=_with(state, None), out=(OutageOver(outage=over),))


def _with(state: SessionState, outage: Outage | None) -> SessionState:
    """Return the state with an outage, or without: what is known of an absence is in it."""
    standing = replace(state.standing, outage=outage, up=False, left_at=None)
    return replace(state, absence=None, standing=standing)
