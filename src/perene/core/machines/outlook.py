"""The outlook of a session: why it is down, if it is, and what comes next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from perene.core.account import Ban
from perene.core.causes import Cause
from perene.core.machines.state import (
    Down,
    FindingVersion,
    Held,
    Open,
    SessionState,
    SettingAside,
    Waiting,
)
from perene.core.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What people are shown of a session's way back.

    `cause` is why the last connection ended, or could not be made; None while connected. `attempt`
    is which one in a row comes next or is under way, of those that are counted together, and of
    `limit` (None without one) before a person is asked; the last that was made when a person has
    to act. `retry_at` is when the next one will be made, None unless one is planned;
    `outage_began_at` since when no connection has stayed; `ban` bars every attempt.
    """

    cause: Cause | None = None
    attempt: int = 0
    limit: int | None = None
    retry_at: datetime | None = None
    outage_began_at: datetime | None = None
    ban: Ban | None = None


def outlook_of(state: SessionState, policies: Mapping[Cause, Policy]) -> Outlook:
    """Return what is shown of a session in this state."""
    standing, connection = state.standing, state.connection
    cause = _cause(state)
    attempt, limit = 0, None
    if cause is not None:
        attempt, limit = standing.counted(policies[cause].count), policies[cause].limit
    if isinstance(connection, Held) and limit is not None:
        attempt = min(attempt, limit)  # the last one that was made; none comes next
    return Outlook(
        cause=cause,
        attempt=attempt,
        limit=limit,
        retry_at=connection.at if isinstance(connection, Waiting) else None,
        outage_began_at=None if standing.outage is None else standing.outage.began_at,
        ban=standing.ban,
    )


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
