"""A session's life in words: log lines and events."""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

import structlog

from perene.core.causes import Cause, banned_until
from perene.core.events import Event, EventType, Json
from perene.core.machines.effects import (
    Connected,
    Disconnected,
    OutageOver,
    PairingStreamEnded,
    PhoneAbsent,
    PhoneBack,
    Stopped,
    Telling,
)
from perene.core.machines.signals import Decided
from perene.core.outages import Outage, OutageEnd

log = structlog.stdlib.get_logger()

_OF_CAUSE: Mapping[Cause, EventType] = {
    Cause.RESTART_REQUIRED: EventType.SESSION_ERROR_515,
    Cause.TEMPORARY_BAN: EventType.SESSION_BANNED,
    Cause.BANNED: EventType.SESSION_BANNED,
    Cause.LOCKED: EventType.SESSION_LOCKED,
    Cause.REPLACED: EventType.SESSION_REPLACED,
    Cause.OUTDATED: EventType.SESSION_OUTDATED,
    Cause.RATE_LIMITED: EventType.SESSION_RATE_LIMITED,
}
"""Causes that have an event of their own, besides `session.disconnected`."""


def log_line(telling: Telling) -> None:
    """Write the one log line of what happened."""
    match telling:
        case Connected():
            log.info("connected")
        case Disconnected(decided=decided):
            _log_disconnected(decided)
        case OutageOver(outage=outage):
            log.info("outage_over", end=outage.end, attempts=outage.attempts)
        case PairingStreamEnded():
            log.info("pairing_stream_ended")
        case Stopped():
            log.info("stopped")
        case PhoneAbsent(days=days):
            log.warning("phone_absent", days=days)
        case PhoneBack():
            log.info("phone_back")
        case _:
            assert_never(telling)


def events_of(telling: Telling, now: datetime) -> tuple[Event, ...]:
    """Return the events that tell of it."""
    match telling:
        case Connected(pn=pn, lid=lid):
            own: dict[str, Json] = {"pn": pn, "lid": lid}
            return (Event(type=EventType.SESSION_CONNECTED, at=now, payload=own),)
        case Disconnected():
            return _of_disconnection(telling, now)
        case OutageOver(outage=outage):
            return _of_recovery(outage, now)
        case PairingStreamEnded():
            return ()  # `session.paired` has told of it
        case Stopped():
            return (Event(type=EventType.SESSION_STOPPED, at=now),)
        case PhoneAbsent(days=days):
            payload: dict[str, Json] = {"days": days}
            return (Event(type=EventType.SESSION_PHONE_ABSENT, at=now, payload=payload),)
        case PhoneBack():
            return (Event(type=EventType.SESSION_PHONE_BACK, at=now),)
        case _:
            assert_never(telling)


def _log_disconnected(decided: Decided) -> None:
    """Attempt, limit and delay are among the rest (requirement D11)."""
    verdict = decided.verdict
    log.info(
        "disconnected",
        cause=verdict.cause.value,
        kind=verdict.ending.kind.value,
        code=verdict.ending.code,
        detail=verdict.ending.sentence,
        attempt=decided.attempt,
        limit=verdict.policy.limit,
        retry_in_s=_seconds(decided),
    )


def _of_disconnection(told: Disconnected, now: datetime) -> tuple[Event, ...]:
    decided, verdict = told.decided, told.decided.verdict
    payload: dict[str, Json] = {
        "cause": verdict.cause.value,
        "code": verdict.ending.code,
        "sentence": verdict.policy.sentence,
        "attempt": decided.attempt,
        "limit": verdict.policy.limit,
        "retry_in_s": _seconds(decided),
    }
    if told.outage is not None:
        payload["outage"] = told.outage.id
    if verdict.cause is Cause.TEMPORARY_BAN and decided.wait is not None:
        if banned_until(verdict.ending.attributes, now) is not None:
            payload["until"] = (now + decided.wait).isoformat()
        payload["ban_code"] = verdict.ending.attributes.get("code", "")
    kinds = [EventType.SESSION_DISCONNECTED]
    own = _OF_CAUSE.get(verdict.cause)
    if decided.exhausted and verdict.cause is Cause.RESTART_REQUIRED:
        kinds.append(EventType.SESSION_ERROR_515_MAX_ATTEMPTS)
    elif own is not None:
        kinds.append(own)
    if decided.attention:
        kinds.append(EventType.SESSION_NEEDS_ATTENTION)
    return tuple(Event(type=kind, at=now, payload={**payload}) for kind in kinds)


def _of_recovery(outage: Outage, now: datetime) -> tuple[Event, ...]:
    if outage.end is not OutageEnd.RECOVERED:
        return ()
    payload: dict[str, Json] = {
        "outage": outage.id,
        "cause": outage.cause.value,
        "attempts": outage.attempts,
        "lasted_s": ((outage.ended_at or now) - outage.began_at).total_seconds(),
    }
    return (Event(type=EventType.SESSION_RECOVERED, at=now, payload=payload),)


def _seconds(decided: Decided) -> float | None:
    return None if decided.wait is None else decided.wait.total_seconds()
