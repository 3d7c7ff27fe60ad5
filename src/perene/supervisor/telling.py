"""A session's life in words: log lines, events, and what the live state shows."""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

import structlog

from perene.core.causes import Cause
from perene.core.events import Event, EventType, Json
from perene.core.outages import Outage, OutageEnd
from perene.core.policy import Policy
from perene.core.sessions import Connection
from perene.core.transitions import (
    Acquiring,
    Archiving,
    Connecting,
    Destroying,
    Disconnected,
    Down,
    Draining,
    FindingVersion,
    Held,
    Open,
    SessionState,
    Waiting,
)
from perene.supervisor.live import LiveState

log = structlog.stdlib.get_logger()

_OF_CAUSE: Mapping[Cause, EventType] = {
    Cause.RESTART_REQUIRED: EventType.SESSION_ERROR_515,
    Cause.TEMPORARY_BAN: EventType.SESSION_BANNED,
    Cause.BANNED: EventType.SESSION_BANNED,
    Cause.LOCKED: EventType.SESSION_LOCKED,
    Cause.REPLACED: EventType.SESSION_REPLACED,
    Cause.OUTDATED: EventType.SESSION_OUTDATED,
    Cause.RATE_LIMITED: EventType.SESSION_RATE_LIMITED,
    Cause.STOPPED: EventType.SESSION_STOPPED,
}
"""Causes that have an event of their own, besides `session.disconnected`."""


def log_disconnected(told: Disconnected) -> None:
    """Write the one line of a lost connection: attempt, limit and delay among the rest (D11)."""
    log.info(
        "disconnected",
        cause=told.cause.value,
        kind=told.ending.kind.value,
        code=told.ending.code,
        detail=told.ending.sentence,
        attempt=told.attempt,
        limit=told.policy.limit,
        retry_in_s=_seconds(told),
    )


def told_of_disconnection(told: Disconnected, now: datetime) -> tuple[Event, ...]:
    """Return the events of a lost connection."""
    payload: dict[str, Json] = {
        "cause": told.cause.value,
        "code": told.ending.code,
        "sentence": told.policy.sentence,
        "attempt": told.attempt,
        "limit": told.policy.limit,
        "retry_in_s": _seconds(told),
    }
    if told.outage is not None:
        payload["outage"] = told.outage.id
    if told.cause is Cause.TEMPORARY_BAN and told.wait is not None:
        payload["until"] = (now + told.wait).isoformat()
        payload["ban_code"] = told.standing.ban_code
    kinds = [EventType.SESSION_DISCONNECTED]
    own = _OF_CAUSE.get(told.cause)
    if told.exhausted and told.cause is Cause.RESTART_REQUIRED:
        kinds.append(EventType.SESSION_ERROR_515_MAX_ATTEMPTS)
    elif own is not None:
        kinds.append(own)
    if told.archived:
        kinds.append(EventType.SESSION_NEEDS_PAIRING)
    if told.attention:
        kinds.append(EventType.SESSION_NEEDS_ATTENTION)
    return tuple(Event(type=kind, at=now, payload={**payload}) for kind in kinds)


def told_of_recovery(outage: Outage, now: datetime) -> tuple[Event, ...]:
    """Return the events of an outage that is over."""
    if outage.end is not OutageEnd.RECOVERED:
        return ()
    payload: dict[str, Json] = {
        "outage": outage.id,
        "cause": outage.cause.value,
        "attempts": outage.attempts,
        "lasted_s": (now - outage.began_at).total_seconds(),
    }
    return (Event(type=EventType.SESSION_RECOVERED, at=now, payload=payload),)


def show(live: LiveState, state: SessionState, policies: Mapping[Cause, Policy]) -> None:
    """Let the live state show a session's state; what the connection itself tells is left."""
    standing = state.standing
    outage = standing.outage
    live.outage_began_at = None if outage is None else outage.began_at
    live.ban_code = standing.ban_code
    live.ban_until = standing.not_before if standing.ban_code is not None else None
    live.retry_at = standing.not_before or (None if outage is None else outage.retry_at)
    cause = _cause(state)
    live.cause = cause
    policy = None if cause is None else policies[cause]
    live.attempt = 0 if policy is None else standing.counted(policy.count)
    live.limit = None if policy is None else policy.limit
    sentence = None if policy is None else policy.sentence
    match state.connection:
        case Down():
            live.moved(Connection.STOPPED)
        case Acquiring(until=None):
            live.moved(Connection.CONNECTING)
        case Connecting():
            live.moved(Connection.CONNECTING)
        case Acquiring():
            live.moved(Connection.WAITING)  # what the database said is shown already
        case Waiting() | FindingVersion() | Archiving() | Destroying():
            live.moved(Connection.WAITING, error=sentence)
        case Held():
            live.moved(Connection.NEEDS_ATTENTION, error=sentence)
        case Open() | Draining():
            pass  # the connection has said so itself
        case _:
            assert_never(state.connection)


def _cause(state: SessionState) -> Cause | None:
    match state.connection:
        case Held(cause=cause) | Waiting(cause=cause) | Archiving(cause=cause):
            return cause
        case FindingVersion():
            return Cause.OUTDATED
        case Open() | Down():
            return None
        case _:
            outage = state.standing.outage
            return None if outage is None else outage.last_cause


def _seconds(told: Disconnected) -> float | None:
    return None if told.wait is None else told.wait.total_seconds()
