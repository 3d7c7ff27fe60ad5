"""What people want of a connection: that it starts, starts anew, rests, or ends for good."""

from dataclasses import replace
from datetime import datetime, timedelta

from perene.core.causes import Cause, Ending, Local, classify
from perene.core.clock import Instant
from perene.core.machines.effects import Drain, Stopped
from perene.core.machines.inputs import Ended, LogOut, Restart, Start, Stop
from perene.core.machines.signals import Claim, Decided, Forget, GaveUp, Withdraw
from perene.core.machines.state import (
    Chances,
    Claiming,
    Connecting,
    Down,
    Draining,
    FindingVersion,
    Held,
    Linking,
    LoggingOut,
    Moved,
    Open,
    SessionState,
    SettingAside,
    Then,
    Waiting,
)
from perene.core.machines.verdict import Verdict
from perene.core.outages import OutageEnd
from perene.core.policy import Count
from perene.core.standing import Standing

_ASKED_FOR = {Then.RESTART: Local.RESTARTED, Then.LEAVE: Local.SERVICE_ENDED}


def step(
    state: SessionState, want: Start | Restart | Stop | LogOut, now: Instant, chances: Chances
) -> Moved:
    """Return what the connection makes of a person's wish, or of the service's end."""
    match want:
        case Start(by_person=by_person):
            return _start(state, by_person, now)
        case Restart() if state.standing.ban is not None:
            return Moved(state=state)  # no person can end a ban, and an attempt would lengthen it
        case Restart():
            return _turn(_forgiven(state), Then.RESTART)
        case Stop(by_person=True) if isinstance(state.connection, Down):
            return _settle(state, chances)
        case Stop(by_person=by_person):
            return _turn(state, Then.STOP if by_person else Then.LEAVE)
        case LogOut():
            return _log_out(state)


def claim(state: SessionState, *, parting: bool = False) -> Moved:
    """Ask for the session; the connection follows."""
    return Moved(state=replace(state, connection=Claiming(parting=parting)), out=(Claim(),))


def drain(state: SessionState, then: Then) -> Moved:
    """Close an open connection in order."""
    parting = then is Then.LOG_OUT
    draining = replace(state, connection=Draining(then=then, parting=parting))
    return Moved(state=draining, out=(Drain(log_out=parting),))


def drained(state: SessionState, draining: Draining, ended: Ended, chances: Chances) -> Moved:
    """Go on after a connection that ended because somebody wanted it to."""
    then = draining.then
    local = _ASKED_FOR.get(then, Local.STOPPED)
    told = Decided(verdict=Verdict.of_local(local, chances.policies), attempt=0, wait=None)
    # It was closing already when the logout came, or a phone linked it only then.
    untold = not draining.parting or isinstance(state.pairing, Linking)
    if then is Then.LOG_OUT and untold and state.paired:
        moved = claim(state, parting=True)
    else:
        moved = follow(state, then, ended=ended)
    return Moved(state=moved.state, out=(told, *moved.out))


def follow(state: SessionState, then: Then, *, ended: Ended | None = None) -> Moved:
    """Go where a person wants to, now that there is no connection; `ended` is how the last did."""
    match then:
        case Then.LEAVE:
            return Moved(state=replace(state, connection=Down()), out=(Withdraw(),))
        case Then.STOP:
            out = (Withdraw(), GaveUp(end=OutageEnd.STOPPED), Stopped())
            return Moved(state=replace(state, connection=Down()), out=out)
        case Then.RESTART:
            return claim(state)
        case Then.LOG_OUT:
            unlinked = ended is not None and _tells_of_unlinking(ended.ending)
            forget = Forget(unlinked=unlinked)
            return Moved(state=replace(state, connection=LoggingOut()), out=(forget,))


def _tells_of_unlinking(ending: Ending) -> bool:
    """Tell whether WhatsApp forgot the device: it said so, or refused to know it any more."""
    return ending.code == Local.LOGGED_OUT or classify(ending) is Cause.UNLINKED


def emptied(state: SessionState) -> SessionState:
    """Return the state without what was remembered about credentials that are gone."""
    return replace(state, standing=state.standing.emptied())


def logged_out(state: SessionState) -> Moved:
    """The credentials are gone, as a person wanted."""
    return Moved(state=replace(emptied(state), connection=Down()))


def _start(state: SessionState, by_person: bool, now: Instant) -> Moved:
    match state.connection:
        case Down() | Held():
            return _begin(_forgiven(state) if by_person else _renewed(state), now)
        case Draining(then=Then.STOP):
            return Moved(state=replace(state, connection=Draining(then=Then.RESTART)))
        case SettingAside(then=Then.STOP) as aside:
            return Moved(state=replace(state, connection=replace(aside, then=Then.RESTART)))
        case Waiting() if by_person and state.standing.ban is None:
            return claim(_forgiven(state))
        case _:
            return Moved(state=state)


def _begin(state: SessionState, now: Instant) -> Moved:
    """Take the session up: at once, or when what bars it is over."""
    standing = state.standing
    if standing.held is not None:
        return Moved(state=replace(state, connection=Held(cause=standing.held)))
    if standing.not_before is not None and standing.not_before > now.wall:
        # A standing of an earlier Perene says only whether it is a ban.
        likely = Cause.RATE_LIMITED if standing.ban is None else Cause.TEMPORARY_BAN
        cause = standing.barred_by or likely
        waiting = Waiting.after(_rest_of_wait(standing, standing.not_before, now), cause, now)
        standing = replace(standing, not_before=waiting.at)
        return Moved(state=replace(state, connection=waiting, standing=standing))
    return claim(state)


def _rest_of_wait(standing: Standing, until: datetime, now: Instant) -> timedelta:
    """Return how long to wait still; never longer than it was to be when it was told.

    A clock that was ahead by a year when a ban was told, and is right now, would prolong it.
    """
    losses = standing.outage.losses if standing.outage is not None else ()
    told_at = max((loss.last_at for loss in losses), default=now.wall)
    return until - max(told_at, now.wall)


def _forgiven(state: SessionState) -> SessionState:
    """Return the state without the counts and the stop that a person's word ends; a ban stays."""
    standing = replace(state.standing, counts={}, held=None)
    if state.standing.ban is None:
        standing = standing.unbarred()
    return replace(state, standing=standing)


def _renewed(state: SessionState) -> SessionState:
    """Return the state of a session that begins in another run: it may present another version.

    What an earlier one tried with its own must not keep this one from looking for a newer.
    """
    counts = {
        count: number
        for count, number in state.standing.counts.items()
        if count is not Count.VERSIONS
    }
    return replace(state, standing=replace(state.standing, counts=counts))


def _turn(state: SessionState, then: Then) -> Moved:
    """Go where a person wants to, draining a connection first."""
    match state.connection:
        case Claiming(parting=True) | Connecting(parting=True) | LoggingOut() if (
            then is not Then.LEAVE
        ):
            return Moved(state=state)  # a logout is finished, whatever is wanted meanwhile
        case Connecting() | Open():
            return drain(state, then)
        case Draining(then=Then.LOG_OUT) if then is not Then.LEAVE:
            return Moved(state=state)
        case Draining() as draining:
            return Moved(state=replace(state, connection=replace(draining, then=then)))
        case Down() if then is not Then.RESTART:
            return Moved(state=state)
        case SettingAside() as aside if then is not Then.LEAVE:
            # What was begun is finished first; the credentials are of no use in any case.
            return Moved(state=replace(state, connection=replace(aside, then=then)))
        case _:
            return follow(state, then)


def _settle(state: SessionState, chances: Chances) -> Moved:
    """End what a run before did not come to tell the end of."""
    if state.untold is None and state.standing.outage is None:
        return Moved(state=state)
    moved = follow(state, Then.STOP)
    if state.untold is None:
        return moved
    verdict = Verdict.of_local(Local.STOPPED, chances.policies)
    told = Decided(verdict=verdict, attempt=0, wait=None)
    return Moved(state=moved.state, out=(told, *moved.out))


def _log_out(state: SessionState) -> Moved:
    """Tell WhatsApp first, on a connection made for it if there is none."""
    match state.connection:
        case Connecting() if state.paired:
            return Moved(state=replace(state, connection=Connecting(parting=True)))
        case Down() | Held() | Waiting() | FindingVersion() | Claiming() if (
            state.paired and state.standing.ban is None
        ):
            return claim(state, parting=True)
        case Down():
            return follow(state, Then.LOG_OUT)
        case _:
            return _turn(state, Then.LOG_OUT)
