"""Whether the phone is still there: WhatsApp drops the devices of one that is away too long.

A linked device is dropped about 14 days after its phone was last online
(docs/reference/protocol.md §6.1); other clients ask the phone for something after 10 days, once a
day, and warn after 12. It can only be heard of on an open connection, so only that is watched.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from perene.core.clock import Instant
from perene.core.machines.effects import Effect, PhoneAbsent, PhoneBack, PingPhone
from perene.core.machines.inputs import Due, Ended, Input, LoggedIn, PhoneAccepted, PhoneSeen
from perene.core.machines.signals import Signal
from perene.core.machines.state import (
    Chances,
    Moved,
    SessionState,
    Unwatched,
    Watched,
    has_come,
)

PING_AFTER_DAYS = 10
WARN_ON_DAYS = (12, 14)
"""Days of absence that people are told of, as they come."""

GRAIN = timedelta(hours=6)
"""How exactly the last sign is kept: finer would write to the database for nothing."""

_DAY = timedelta(days=1)
_AFTER_LOGIN = timedelta(minutes=10)
"""Time for what has waited at the server to arrive, before an absence is believed."""


def step(state: SessionState, heard: Input | Signal, now: Instant, chances: Chances) -> Moved:
    """Return what the phone's watch makes of what it heard."""
    del chances
    match state.phone, heard:
        case _, PhoneAccepted():
            return Moved(state=_heard_of(state, now.wall))
        case Unwatched(), LoggedIn():
            if _last_seen(state, now) is None:
                state = _heard_of(state, now.wall)
            return _watch(state, now, settled_at=now.later(_AFTER_LOGIN))
        case Watched(), Ended():
            return Moved(state=replace(state, phone=Unwatched()))
        case Watched() as watched, PhoneSeen(at=at):
            return _seen(state, watched, at, now)
        case Watched() as watched, Due() if has_come(watched.until, now):
            return _look(state, watched, now)
        case _:
            return Moved(state=state)


def _seen(state: SessionState, watched: Watched, at: datetime, now: Instant) -> Moved:
    last, told = _last_seen(state, now), state.standing.phone_absent_days
    if last is not None and at - last < GRAIN:
        return Moved(state=state)
    # A sign that has waited at the server may be old: one of an absence that goes on ends none.
    still = min(told, _warned_on((now.wall - at) // _DAY))
    back = (PhoneBack(),) if told and not still else ()
    return _watch(_heard_of(state, at, told=still), now, *back, settled_at=watched.settled_at)


def _look(state: SessionState, watched: Watched, now: Instant) -> Moved:
    """Ask the phone for a sign, and warn when its time has come."""
    days, settled_at = _days_absent(state, now), watched.settled_at
    if days < PING_AFTER_DAYS:
        return _watch(state, now, settled_at=settled_at)
    reached = _warned_on(days)
    if reached <= state.standing.phone_absent_days:
        return _watch(state, now, PingPhone(), day=days + 1, settled_at=settled_at)
    told = replace(state, standing=replace(state.standing, phone_absent_days=reached))
    out = (PingPhone(), PhoneAbsent(days=days))
    return _watch(told, now, *out, day=days + 1, settled_at=settled_at)


def _warned_on(days: int) -> int:
    """Return the last day of so long an absence that people are told of, 0 for none yet."""
    return max((day for day in WARN_ON_DAYS if day <= days), default=0)


def _watch(
    state: SessionState,
    now: Instant,
    *out: Effect,
    settled_at: float,
    day: int = PING_AFTER_DAYS,
) -> Moved:
    """Look (again) when an absence reaches that day, and can be believed."""
    seen_at = state.standing.phone_seen_at or now.wall
    until = max(now.later(seen_at + day * _DAY - now.wall), settled_at)
    watched = Watched(until=until, settled_at=settled_at)
    return Moved(state=replace(state, phone=watched), out=out)


def _days_absent(state: SessionState, now: Instant) -> int:
    seen_at = state.standing.phone_seen_at
    return 0 if seen_at is None else (now.wall - seen_at) // _DAY


def _last_seen(state: SessionState, now: Instant) -> datetime | None:
    """Return the last sign; one of the future came by a clock that has been set right since."""
    seen_at = state.standing.phone_seen_at
    return None if seen_at is None or seen_at > now.wall else seen_at


def _heard_of(state: SessionState, at: datetime, *, told: int = 0) -> SessionState:
    standing = replace(state.standing, phone_seen_at=at, phone_absent_days=told)
    return replace(state, standing=standing)
