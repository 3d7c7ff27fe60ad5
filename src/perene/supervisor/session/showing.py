"""What the live state of a session shows of its machines; what a connection tells is left."""

from collections.abc import Mapping
from typing import assert_never

from perene.core.causes import Cause
from perene.core.machines.state import (
    Asking,
    Claiming,
    Connecting,
    Down,
    Draining,
    FindingVersion,
    Held,
    LoggingOut,
    Open,
    SessionState,
    SettingAside,
    Then,
    Waiting,
)
from perene.core.policy import Policy
from perene.core.sessions import Connection
from perene.supervisor.session.live import LiveState


def show_gone(live: LiveState, state: SessionState) -> None:
    """Let the live state show that a session has no connection any more.

    This is so whatever becomes of the step that follows from it, and so it is shown before that is
    saved. What the step decides (cause, attempts, whether a person has to act) is told by `show`,
    afterwards. The wish to stop is stored before it gets here.
    """
    match state.connection:
        case Draining(then=Then.STOP | Then.LEAVE):
            live.moved(Connection.STOPPED)
        case _:
            live.moved(Connection.WAITING)


def show(
    live: LiveState,
    before: SessionState,
    state: SessionState,
    policies: Mapping[Cause, Policy],
) -> None:
    """Let the live state show what a session has become, once that is saved."""
    standing = state.standing
    cause = _cause(state)
    policy = None if cause is None else policies[cause]
    live.paired = state.paired
    live.outage_began_at = None if standing.outage is None else standing.outage.began_at
    # Of a ban whose time is over nobody knows more until the next login.
    banned = standing.ban_code is not None and standing.not_before is not None
    live.ban_code = standing.ban_code if banned else None
    live.ban_until = standing.not_before if banned else None
    live.phone_absent_days = standing.phone_absent_days
    if standing.phone_seen_at is not None:
        live.phone_seen_at = max(
            standing.phone_seen_at, live.phone_seen_at or standing.phone_seen_at
        )
    live.cause = cause
    live.attempt = 0 if policy is None else standing.counted(policy.count)
    live.limit = None if policy is None else policy.limit
    if isinstance(state.connection, Held) and live.limit is not None:
        live.attempt = min(live.attempt, live.limit)  # the last one that was made; none comes next
    if (before.connection, before.ownership) != (state.connection, state.ownership):
        _show_connection(live, state, None if policy is None else policy.sentence)
    live.retry_at = state.connection.at if isinstance(state.connection, Waiting) else None


def _show_connection(live: LiveState, state: SessionState, sentence: str | None) -> None:
    match state.connection:
        case Down():
            live.moved(Connection.STOPPED)
        case Claiming() if isinstance(state.ownership, Asking) and state.ownership.failures:
            live.moved(Connection.WAITING)  # what the database said is shown already
        case Claiming() | Connecting():
            live.moved(Connection.CONNECTING)
        case Waiting() | FindingVersion() | SettingAside() | LoggingOut():
            live.moved(Connection.WAITING, error=sentence)
        case Held():
            live.moved(Connection.NEEDS_ATTENTION, error=sentence)
        case Open() | Draining():
            pass  # the connection has said so itself
        case _:
            assert_never(state.connection)


def _cause(state: SessionState) -> Cause | None:
    match state.connection:
        case Held(cause=cause) | Waiting(cause=cause):
            return cause
        case SettingAside(verdict=verdict):
            return verdict.cause
        case FindingVersion():
            return Cause.OUTDATED
        case Open() | Down():
            return None
        case _:
            outage = state.standing.outage
            return None if outage is None else outage.last_cause
