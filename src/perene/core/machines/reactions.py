"""What follows from the loss of a connection: the one reaction to the one cause, by its policy."""

from dataclasses import replace
from datetime import timedelta

from perene.core.causes import Cause, banned_until
from perene.core.clock import Instant
from perene.core.machines.effects import FindVersion
from perene.core.machines.signals import Decided, Disown, SetAside
from perene.core.machines.state import (
    Chances,
    FindingVersion,
    Held,
    Moved,
    SessionState,
    SettingAside,
    Waiting,
)
from perene.core.machines.verdict import Verdict
from perene.core.machines.wants import emptied, follow
from perene.core.policy import SLOWLY, Exhausted, Reaction

_REST_OF_A_SECOND = timedelta(seconds=1)
"""A ban is told in whole seconds; an attempt in the last one of it would still be banned."""

_STILL_BANNED = timedelta(minutes=1)
"""At least, when a ban was not over after its time: one that is told anew with a second to go must
not be asked after every second."""


def react(state: SessionState, verdict: Verdict, now: Instant, chances: Chances) -> Moved:
    """Follow the table."""
    policy = verdict.policy
    match policy.reaction:
        case Reaction.RETRY | Reaction.NEW_CODE | Reaction.NONE:
            # NONE does not get here: an end that was asked for is `wants`' own, and one that only
            # says so is a mistake of ours to `connection`.
            return _retry(state, verdict, now, chances)
        case Reaction.WAIT_UNTIL:
            return _banned(state, verdict, now, chances)
        case Reaction.REPAIR:
            return _archive(_counted(state, verdict), verdict, again=True)
        case Reaction.NEW_VERSION:
            return _outdated(state, verdict)
        case Reaction.STOP if policy.archive:
            return _archive(state, verdict, again=False)
        case Reaction.STOP:
            return hold(state, verdict)


def hold(state: SessionState, verdict: Verdict) -> Moved:
    """Make no attempt before a person acts."""
    out = (_decided(state, verdict, wait=None, attention=True),)
    if verdict.cause is Cause.OWNERSHIP_LOST:
        out = (*out, Disown())
    return Moved(state=_held(state, verdict), out=out)


def set_aside(state: SessionState, aside: SettingAside, now: Instant, chances: Chances) -> Moved:
    """Go on without credentials. It is told only now: a failing database must not make us lie."""
    verdict = aside.verdict
    earlier = state.standing.counted(verdict.policy.count)
    state = emptied(state)
    told = _decided(state, verdict, wait=None, exhausted=aside.exhausted)
    if aside.then is not None:
        moved = follow(state, aside.then)
        return Moved(state=moved.state, out=(told, *moved.out))
    if not aside.again:
        return Moved(state=_held(state, verdict), out=(replace(told, attention=True),))
    wait = timedelta()
    if not aside.exhausted:
        # Not always at once: a server that refuses fresh credentials too must not be stormed.
        schedule = verdict.policy.schedule
        if schedule is not None:
            wait = schedule.wait(earlier - 1, chances.jitter)
        counts = {verdict.policy.count: earlier}
        state = replace(state, standing=replace(state.standing, counts=counts))
    waiting = Waiting.after(wait, verdict.cause, now)
    return Moved(state=replace(state, connection=waiting), out=(replace(told, wait=wait),))


def _held(state: SessionState, verdict: Verdict) -> SessionState:
    if verdict.policy.holds:
        state = replace(state, standing=replace(state.standing, held=verdict.cause))
    return replace(state, connection=Held(cause=verdict.cause))


def _retry(state: SessionState, verdict: Verdict, now: Instant, chances: Chances) -> Moved:
    policy = verdict.policy
    earlier = state.standing.counted(policy.count)
    if verdict.cause is Cause.PAIRING_EXPIRED:
        # Codes were shown for minutes: a connection that was as good as any that logged in.
        state = replace(state, standing=replace(state.standing, counts={policy.count: earlier}))
    state = _counted(state, verdict)
    exhausted = policy.limit is not None and earlier >= policy.limit
    if exhausted and policy.then is Exhausted.STOP:
        return hold(state, verdict)
    if exhausted and policy.then is Exhausted.REPAIR:
        return _archive(state, verdict, again=True, exhausted=True)
    wait = (policy.schedule or SLOWLY).wait(earlier, chances.jitter)
    if exhausted:
        wait = max(wait, SLOWLY.wait(earlier, chances.jitter))
    # Not by the number: causes that are counted together may have limits of their own.
    attention = exhausted and policy.count not in state.standing.told
    if attention:
        told = state.standing.told | {policy.count}
        state = replace(state, standing=replace(state.standing, told=told))
    return _wait(state, verdict, wait, now, attention=attention)


def _banned(state: SessionState, verdict: Verdict, now: Instant, chances: Chances) -> Moved:
    attributes = verdict.ending.attributes
    until = banned_until(attributes, now.wall)
    if until is not None:
        wait = until - now.wall + _REST_OF_A_SECOND
        if state.standing.ban_code is not None:
            wait = max(wait, _STILL_BANNED)
    else:
        wait = (verdict.policy.schedule or SLOWLY).wait(0, chances.jitter)
    standing = replace(
        state.standing, ban_code=attributes.get("code", ""), ban_end_told=until is not None
    )
    return _wait(replace(state, standing=standing), verdict, wait, now)


def _outdated(state: SessionState, verdict: Verdict) -> Moved:
    limit = verdict.policy.limit
    if limit is not None and state.standing.counted(verdict.policy.count) >= limit:
        return hold(state, verdict)
    state = _counted(state, verdict)
    told = _decided(state, verdict, wait=timedelta())
    return Moved(state=replace(state, connection=FindingVersion()), out=(told, FindVersion()))


def _wait(
    state: SessionState,
    verdict: Verdict,
    wait: timedelta,
    now: Instant,
    *,
    attention: bool = False,
) -> Moved:
    not_before = now.wall + wait if verdict.policy.holds else None
    waiting = Waiting.after(wait, verdict.cause, now)
    standing = state.standing.unbarred()
    if not_before is not None:
        standing = replace(standing, not_before=not_before, barred_by=verdict.cause)
        if verdict.cause is not Cause.TEMPORARY_BAN:
            # The ban is over: this wait is another, which a person's word ends.
            standing = standing.without_ban()
    state = replace(state, connection=waiting, standing=standing)
    return Moved(state=state, out=(_decided(state, verdict, wait=wait, attention=attention),))


def _archive(
    state: SessionState, verdict: Verdict, *, again: bool, exhausted: bool = False
) -> Moved:
    aside = SettingAside(verdict=verdict, again=again, exhausted=exhausted)
    return Moved(state=replace(state, connection=aside), out=(SetAside(reason=verdict.cause),))


def _counted(state: SessionState, verdict: Verdict) -> SessionState:
    standing = state.standing.with_one_more(verdict.policy.count)
    return replace(state, standing=standing)


def _decided(
    state: SessionState,
    verdict: Verdict,
    *,
    wait: timedelta | None,
    attention: bool = False,
    exhausted: bool = False,
) -> Decided:
    return Decided(
        verdict=verdict,
        attempt=state.standing.counted(verdict.policy.count),
        wait=wait,
        attention=attention,
        exhausted=exhausted,
    )
