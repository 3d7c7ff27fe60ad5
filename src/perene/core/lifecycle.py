"""The life of a session's connection: every state, every event, and what follows.

`step` is the whole of it: no clock, no I/O, no chance but the jitter that is passed in. The shell
performs the effects in their order and tells their outcome as events. A late or double event finds
a state that it does not concern, and changes nothing. `next_deadline` is the one timer.
"""

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from perene.core.causes import Cause, Ending, Kind, Local, banned_until, classify
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.masking import masked
from perene.core.outages import Outage, OutageEnd, OutageId
from perene.core.policy import (
    POLICIES,
    SLOWLY,
    STABLE_AFTER,
    STORE_RETRY,
    Count,
    Exhausted,
    Policy,
    Reaction,
)
from perene.core.transitions import (
    Acquire,
    Acquired,
    Acquiring,
    Archive,
    Archived,
    Archiving,
    Attempt,
    Chances,
    Connect,
    Connecting,
    ConnectionState,
    Destroy,
    Destroyed,
    Destroying,
    Disconnected,
    Down,
    Drain,
    Draining,
    Due,
    Effect,
    Ended,
    Event,
    FindingVersion,
    FindVersion,
    Held,
    Linked,
    LogOut,
    NotAcquired,
    Open,
    Opened,
    Record,
    Recovered,
    Restart,
    SessionState,
    Start,
    Step,
    Stop,
    Then,
    VersionFound,
    Waiting,
)

_ROUNDING_S = 0.001
"""Clocks count in microseconds and deadlines in floats: what is so near has come."""


def step(state: SessionState, event: Event, now: Instant, chances: Chances) -> Step:
    """Return the next state and what has to be done for it."""
    match event:
        case Start() | Restart() | Stop() | LogOut():
            return _wanted(state, event, now)
        case Acquired() | NotAcquired():
            return _ownership(state, event, now, chances)
        case Opened() | Linked() | Ended():
            return _connection(state, event, now, chances)
        case Archived() | Destroyed() | VersionFound():
            return _done(state, event, now, chances)
        case Due():
            return _due(state, now)
        case _:
            assert_never(event)


def next_deadline(state: SessionState) -> float | None:
    """Return the monotonic second at which `Due` is to come, None for never."""
    match state.connection:
        case Waiting(until=until):
            return until
        case Open(stable=False, since=since):
            return since.monotonic + STABLE_AFTER.total_seconds()
        case Acquiring(until=until) | Archiving(until=until) | Destroying(until=until):
            return until
        case _:
            return None


# --- what a person wants --------------------------------------------------------------------------


def _wanted(state: SessionState, event: Start | Restart | Stop | LogOut, now: Instant) -> Step:
    match event:
        case Start():
            match state.connection:
                case Down() | Held():
                    return _begin(_forgiven(state, event.by_person), now)
                case Draining(then=Then.STOP, epoch=epoch):
                    return Step(state=_in(state, Draining(epoch=epoch, then=Then.RESTART)))
                case Waiting() if event.by_person and state.standing.ban_code is None:
                    return _begin(_forgiven(state, True), now)
                case _:
                    return Step(state=state)
        case Restart():
            if state.standing.ban_code is not None and state.standing.not_before is not None:
                # A person cannot end a ban, and an attempt would lengthen it.
                return Step(state=state)
            return _turn(_forgiven(state, True), Then.RESTART, now)
        case Stop():
            return _turn(state, Then.STOP if event.by_person else Then.LEAVE, now)
        case LogOut():
            return _turn(state, Then.LOG_OUT, now)


def _forgiven(state: SessionState, by_person: bool) -> SessionState:
    """Return the state without the counts and the stop that a person's word ends; a ban stays."""
    if not by_person:
        return state
    standing = state.standing
    if standing.ban_code is not None:
        return replace(state, standing=replace(standing, counts={}, held=None))
    return replace(state, standing=replace(standing, counts={}, held=None, not_before=None))


def _begin(state: SessionState, now: Instant) -> Step:
    """Take the session up: at once, or when what bars it is over."""
    standing = state.standing
    if standing.held is not None:
        return Step(state=_in(state, Held(cause=standing.held)))
    if standing.not_before is not None and standing.not_before > now.wall:
        wait = (standing.not_before - now.wall).total_seconds()
        cause = standing.outage.last_cause if standing.outage else Cause.TEMPORARY_BAN
        return Step(state=_in(state, Waiting(until=now.monotonic + wait, cause=cause)))
    return _acquire(state)


def _acquire(state: SessionState, failures: int = 0) -> Step:
    connection = Acquiring(failures=failures)
    return Step(state=_in(state, connection), effects=(Acquire(held=state.epoch),))


def _turn(state: SessionState, then: Then, now: Instant) -> Step:
    """Go where a person wants to, draining an open connection first."""
    match state.connection:
        case Connecting(epoch=epoch) | Open(epoch=epoch):
            drain = Drain(log_out=then is Then.LOG_OUT)
            return Step(state=_in(state, Draining(epoch=epoch, then=then)), effects=(drain,))
        case Draining(epoch=epoch, then=before):
            if before is Then.LOG_OUT and then is not Then.LEAVE:
                return Step(state=state)
            return Step(state=_in(state, Draining(epoch=epoch, then=then)))
        case Down() if then in (Then.STOP, Then.LEAVE):
            return Step(state=state)
        case Destroying():
            return Step(state=state)
        case Archiving() if then is not Then.LEAVE:
            # What was begun is finished first; the credentials are of no use in any case.
            return Step(state=replace(state, afterwards=then))
        case _:
            return _drained(state, then, now)


def _drained(state: SessionState, then: Then, now: Instant) -> Step:
    match then:
        case Then.LEAVE:
            return Step(state=_in(state, Down()))
        case Then.STOP:
            stopped = _outage_over(state, OutageEnd.STOPPED, now)
            record = Record(standing=stopped.state.standing)
            return Step(state=_in(stopped.state, Down()), effects=(*stopped.effects, record))
        case Then.RESTART:
            return _acquire(state)
        case Then.LOG_OUT:
            return Step(
                state=_in(state, Destroying(failures=0)), effects=(Destroy(held=state.epoch),)
            )


def _closed(state: SessionState, then: Then) -> tuple[Effect, ...]:
    """Return what is told of a connection that ended because somebody wanted it to."""
    cause = Cause.RESTARTED if then is Then.RESTART else Cause.STOPPED
    code = Local.RESTARTED if then is Then.RESTART else Local.STOPPED
    ending = Ending(kind=Kind.LOCAL, code=code)
    return _told(state, ending, cause, POLICIES[cause], wait=None)


# --- whom the session belongs to ------------------------------------------------------------------


def _ownership(
    state: SessionState, event: Acquired | NotAcquired, now: Instant, chances: Chances
) -> Step:
    acquiring = state.connection
    if not isinstance(acquiring, Acquiring):
        # Stopped meanwhile. The epoch was taken all the same, and is what a later start holds.
        return Step(
            state=replace(state, epoch=event.epoch) if isinstance(event, Acquired) else state
        )
    match event:
        case Acquired(epoch=epoch):
            standing = replace(state.standing, not_before=None)
            outage = standing.outage
            if outage is not None:
                outage = replace(
                    outage,
                    attempts=outage.attempts + 1,
                    last_attempt_at=now.wall,
                    retry_at=None,
                )
                standing = replace(standing, outage=outage)
            state = replace(state, epoch=epoch, standing=standing)
            attempt = _attempt_of(state, chances)
            return Step(
                state=_in(state, Connecting(epoch=epoch)),
                effects=(Record(outage=outage, standing=standing), Connect(attempt=attempt)),
            )
        case NotAcquired(taken=True):
            held = Held(cause=Cause.OWNERSHIP_LOST)
            return Step(state=_in(replace(state, epoch=None), held))
        case NotAcquired():
            # It may have been taken all the same: what was held is no longer known.
            failures = acquiring.failures + 1
            wait = STORE_RETRY.wait(acquiring.failures, chances.jitter).total_seconds()
            again = Acquiring(failures=failures, until=now.monotonic + wait)
            return Step(state=_in(replace(state, epoch=None), again))


def _attempt_of(state: SessionState, chances: Chances) -> Attempt:
    outage = state.standing.outage
    if outage is None:
        return Attempt(number=1)
    policy = chances.policies[outage.last_cause]
    return Attempt(number=max(1, state.standing.counted(policy.count)), limit=policy.limit)


# --- how a connection goes ------------------------------------------------------------------------


def _connection(
    state: SessionState, event: Opened | Linked | Ended, now: Instant, chances: Chances
) -> Step:
    match state.connection, event:
        case Connecting(), Linked():
            return Step(state=replace(state, paired=True, just_linked=True))
        case Connecting(epoch=epoch), Opened(at=at):
            standing = replace(state.standing, held=None, ban_code=None)
            return Step(
                state=_in(
                    replace(state, standing=standing, just_linked=False),
                    Open(epoch=epoch, since=at),
                )
            )
        case Draining(then=then), Ended():
            told = _closed(state, then)
            drained = _drained(state, then, now)
            return Step(state=drained.state, effects=(*told, *drained.effects))
        case ((Connecting() | Open()), Ended(ending=ending)):
            return _ended(state, ending, now, chances)
        case _:
            return Step(state=state)


def _due(state: SessionState, now: Instant) -> Step:
    match state.connection:
        case Waiting(until=until, cause=cause) if _passed(until, now):
            if cause is Cause.OUTDATED:
                return Step(state=_in(state, FindingVersion()), effects=(FindVersion(),))
            return _acquire(replace(state, standing=replace(state.standing, not_before=None)))
        case Open(stable=False) as connection if _passed(next_deadline(state), now):
            calm = replace(state.standing, counts={})
            over = _outage_over(replace(state, standing=calm), OutageEnd.RECOVERED, now)
            record = Record(standing=over.state.standing)
            return Step(
                state=_in(over.state, replace(connection, stable=True)),
                effects=(*over.effects, record),
            )
        case Acquiring(until=until, failures=failures) if _passed(until, now):
            return _acquire(state, failures)
        case Archiving(until=until) as archiving if _passed(until, now):
            again = replace(archiving, until=None)
            return Step(state=_in(state, again), effects=(Archive(reason=archiving.cause),))
        case Destroying(until=until) as destroying if _passed(until, now):
            again = replace(destroying, until=None)
            return Step(state=_in(state, again), effects=(Destroy(held=state.epoch),))
        case _:
            return Step(state=state)


def _passed(until: float | None, now: Instant) -> bool:
    return until is not None and now.monotonic >= until - _ROUNDING_S


def _ended(state: SessionState, ending: Ending, now: Instant, chances: Chances) -> Step:
    """Follow the table: the one reaction to the one cause."""
    cause = classify(ending)
    policy = chances.policies[cause]
    linking = state.just_linked and cause is Cause.RESTART_REQUIRED
    state = replace(state, just_linked=False)
    if linking:
        # A linking is a new beginning: its restart comes at once, whatever was before it.
        state = replace(state, standing=replace(state.standing, counts={}))
    if state.paired and not linking and policy.reaction is not Reaction.NONE:
        state = _outage_goes_on(state, ending, cause, policy, now, chances.outage_id)
    match policy.reaction:
        case Reaction.RETRY | Reaction.NEW_CODE | Reaction.CHECK:
            return _retry(state, ending, cause, policy, now, chances)
        case Reaction.WAIT_UNTIL:
            return _banned(state, ending, cause, policy, now, chances)
        case Reaction.REPAIR:
            state = replace(state, standing=state.standing.with_one_more(policy.count))
            return _archive(state, ending, cause, policy, now, again=True)
        case Reaction.NEW_VERSION:
            return _outdated(state, ending, cause, policy, now)
        case Reaction.WAIT_FOR_STORE:
            wait = STORE_RETRY.wait(0, chances.jitter)
            told = _told(state, ending, cause, policy, wait=wait)
            until = now.monotonic + wait.total_seconds()
            return Step(state=_in(state, Acquiring(failures=1, until=until)), effects=told)
        case Reaction.STOP if policy.archive:
            return _archive(state, ending, cause, policy, now, again=False)
        case Reaction.STOP:
            return _hold(state, ending, cause, policy, now)
        case Reaction.NONE:
            return Step(
                state=_in(state, Down()), effects=_told(state, ending, cause, policy, wait=None)
            )


def _retry(
    state: SessionState,
    ending: Ending,
    cause: Cause,
    policy: Policy,
    now: Instant,
    chances: Chances,
) -> Step:
    earlier = state.standing.counted(policy.count)
    state = replace(state, standing=state.standing.with_one_more(policy.count))
    exhausted = policy.limit is not None and earlier >= policy.limit
    if exhausted and policy.then is Exhausted.STOP:
        return _hold(state, ending, cause, policy, now)
    if exhausted and policy.then is Exhausted.REPAIR:
        return _archive(state, ending, cause, policy, now, again=True, exhausted=True)
    schedule = SLOWLY if exhausted or policy.schedule is None else policy.schedule
    wait = schedule.wait(earlier, chances.jitter)
    first_time = exhausted and earlier == policy.limit
    return _wait(state, ending, cause, policy, wait, now, attention=first_time)


def _banned(
    state: SessionState,
    ending: Ending,
    cause: Cause,
    policy: Policy,
    now: Instant,
    chances: Chances,
) -> Step:
    until = banned_until(ending.attributes, now.wall)
    if until is not None:
        wait = max(until - now.wall, timedelta())
    else:
        wait = (policy.schedule or SLOWLY).wait(0, chances.jitter)
    code = ending.attributes.get("code", "")
    standing = replace(state.standing, ban_code=code)
    return _wait(replace(state, standing=standing), ending, cause, policy, wait, now)


def _outdated(
    state: SessionState, ending: Ending, cause: Cause, policy: Policy, now: Instant
) -> Step:
    earlier = state.standing.counted(policy.count)
    if policy.limit is not None and earlier >= policy.limit:
        return _hold(state, ending, cause, policy, now)
    state = replace(state, standing=state.standing.with_one_more(policy.count))
    told = _told(state, ending, cause, policy, wait=timedelta())
    return Step(state=_in(state, FindingVersion()), effects=(*told, FindVersion()))


def _wait(
    state: SessionState,
    ending: Ending,
    cause: Cause,
    policy: Policy,
    wait: timedelta,
    now: Instant,
    *,
    attention: bool = False,
) -> Step:
    retry_at = now.wall + wait
    standing = replace(state.standing, not_before=retry_at if policy.holds else None)
    if standing.outage is not None:
        standing = replace(standing, outage=replace(standing.outage, retry_at=retry_at))
    state = replace(state, standing=standing)
    told = _told(state, ending, cause, policy, wait=wait, attention=attention)
    waiting = Waiting(until=now.monotonic + wait.total_seconds(), cause=cause)
    return Step(state=_in(state, waiting), effects=told)


def _hold(state: SessionState, ending: Ending, cause: Cause, policy: Policy, now: Instant) -> Step:
    del now
    if policy.holds:
        state = replace(state, standing=replace(state.standing, held=cause))
    told = _told(state, ending, cause, policy, wait=None, attention=True)
    return Step(state=_in(state, Held(cause=cause)), effects=told)


def _archive(
    state: SessionState,
    ending: Ending,
    cause: Cause,
    policy: Policy,
    now: Instant,
    *,
    again: bool,
    exhausted: bool = False,
) -> Step:
    """Set the credentials aside. It is told when it is done: a failing database must not lie."""
    del now
    archiving = Archiving(
        cause=cause,
        ending=ending,
        policy=policy,
        again=again,
        exhausted=exhausted,
        failures=0,
    )
    return Step(state=_in(state, archiving), effects=(Archive(reason=cause),))


# --- what was to be done is done ------------------------------------------------------------------


def _done(
    state: SessionState,
    event: Archived | Destroyed | VersionFound,
    now: Instant,
    chances: Chances,
) -> Step:
    match state.connection, event:
        case Archiving() as archiving, Archived(ok=False):
            wait = STORE_RETRY.wait(archiving.failures, chances.jitter).total_seconds()
            later = replace(archiving, failures=archiving.failures + 1, until=now.monotonic + wait)
            return Step(state=_in(state, later))
        case Archiving() as archiving, Archived():
            return _archived(state, archiving, now, chances)
        case Destroying() as destroying, Destroyed(ok=False):
            wait = STORE_RETRY.wait(destroying.failures, chances.jitter).total_seconds()
            later = replace(
                destroying, failures=destroying.failures + 1, until=now.monotonic + wait
            )
            return Step(state=_in(state, later))
        case Destroying(), Destroyed():
            return Step(state=_in(replace(_emptied(state, now).state, epoch=None), Down()))
        case FindingVersion(), VersionFound(found=True):
            return _acquire(state)
        case FindingVersion(), VersionFound():
            policy = chances.policies[Cause.OUTDATED]
            wait = (policy.schedule or SLOWLY).wait(0, chances.jitter).total_seconds()
            waiting = Waiting(until=now.monotonic + wait, cause=Cause.OUTDATED)
            return Step(state=_in(state, waiting))
        case _:
            return Step(state=state)


def _archived(state: SessionState, archiving: Archiving, now: Instant, chances: Chances) -> Step:
    earlier = state.standing.counted(archiving.policy.count)
    emptied = _emptied(state, now)
    state = emptied.state
    if state.afterwards is not None:
        turned = _drained(replace(state, afterwards=None), state.afterwards, now)
        return Step(state=turned.state, effects=(*emptied.effects, *turned.effects))
    wait: timedelta | None = None
    if archiving.again:
        # Not always at once: a server that refuses fresh credentials too must not be stormed.
        schedule = archiving.policy.schedule
        wait = timedelta()
        if schedule is not None and not archiving.exhausted:
            wait = schedule.wait(max(0, earlier - 1), chances.jitter)
        counts = {} if archiving.exhausted else {archiving.policy.count: earlier}
        state = replace(state, standing=replace(state.standing, counts=counts))
    told = _told(
        state,
        archiving.ending,
        archiving.cause,
        archiving.policy,
        wait=wait,
        attention=not archiving.again,
        archived=True,
        exhausted=archiving.exhausted,
    )
    effects = (*emptied.effects, *told)
    if wait is None:
        return Step(state=_in(state, Held(cause=archiving.cause)), effects=effects)
    waiting = Waiting(until=now.monotonic + wait.total_seconds(), cause=archiving.cause)
    return Step(state=_in(state, waiting), effects=effects)


def _emptied(state: SessionState, now: Instant) -> Step:
    """Return the state of a session that has no credentials any more."""
    over = _outage_over(state, OutageEnd.LOGGED_OUT, now)
    standing = replace(over.state.standing, counts={}, not_before=None, held=None, ban_code=None)
    emptied = replace(over.state, paired=False, standing=standing)
    return Step(state=emptied, effects=over.effects)


# --- what is kept for people ----------------------------------------------------------------------


def _outage_goes_on(
    state: SessionState,
    ending: Ending,
    cause: Cause,
    policy: Policy,
    now: Instant,
    new_id: OutageId,
) -> SessionState:
    outage = state.standing.outage
    if outage is None:
        outage = Outage(
            id=new_id,
            session=state.session,
            began_at=now.wall,
            cause=cause,
            kind=ending.kind,
            code=ending.code,
            sentence=policy.sentence,
            attributes=masked(ending.attributes),
            last_cause=cause,
            last_code=ending.code,
        )
    else:
        outage = replace(outage, last_cause=cause, last_code=ending.code)
    return replace(state, standing=replace(state.standing, outage=outage))


def _outage_over(state: SessionState, end: OutageEnd, now: Instant) -> Step:
    outage = state.standing.outage
    if outage is None:
        return Step(state=state)
    over = replace(outage, ended_at=now.wall, end=end, retry_at=None)
    state = replace(state, standing=replace(state.standing, outage=None))
    return Step(state=state, effects=(Recovered(outage=over, standing=state.standing),))


def _told(
    state: SessionState,
    ending: Ending,
    cause: Cause,
    policy: Policy,
    *,
    wait: timedelta | None,
    attention: bool = False,
    archived: bool = False,
    exhausted: bool = False,
) -> tuple[Effect, ...]:
    return (
        Disconnected(
            ending=ending,
            cause=cause,
            policy=policy,
            attempt=state.standing.counted(policy.count),
            wait=wait,
            attention=attention,
            archived=archived,
            exhausted=exhausted,
            outage=state.standing.outage,
            standing=state.standing,
        ),
    )


def _in(state: SessionState, connection: ConnectionState) -> SessionState:
    return replace(state, connection=connection)


def new_session(session: SessionId, *, paired: bool, epoch: Epoch | None = None) -> SessionState:
    """Return a session that nobody has started yet."""
    return SessionState(session=session, paired=paired, epoch=epoch)


__all__ = ["Count", "new_session", "next_deadline", "step"]
