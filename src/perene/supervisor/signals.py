"""The numbers that alert rules watch, read from what is in memory."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from perene.core.alerts import SERVICE, Signals
from perene.core.causes import Cause
from perene.core.clock import Clock
from perene.core.ids import SessionId
from perene.core.sessions import Connection
from perene.supervisor.live import LiveState

_HOUR_S = 3600.0
_BANNED = (Cause.TEMPORARY_BAN, Cause.BANNED, Cause.LOCKED)
_DOWN = (Connection.CONNECTING, Connection.LOGGING_IN, Connection.WAITING)


class Lives(Protocol):
    """The supervisor, as far as signals go."""

    @property
    def task_failures(self) -> int: ...

    @property
    def clock_jump_s(self) -> float: ...

    def lives(self) -> Mapping[SessionId, LiveState]:
        """Return the live half of every session, by its id."""
        ...


class Part(Protocol):
    """A part of the service that fails or does not: the database, the removal of old rows."""

    @property
    def failing(self) -> bool: ...


class Recent:
    """How much a count that only grows has grown within the last hour."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._last = 0

    def of(self, count: int, now: float) -> int:
        """Take the count as it is now; a smaller one than before has begun anew."""
        grown = count - self._last if count >= self._last else count
        self._last = count
        if grown:
            self._seen.append((now, grown))
        while self._seen and now - self._seen[0][0] >= _HOUR_S:
            self._seen.popleft()
        return sum(number for _, number in self._seen)


@dataclass(slots=True)
class _Memory:
    """What has to be remembered of a session between two looks."""

    connected_at: datetime | None = None
    opened: int = 0
    reopened: Recent = field(default_factory=Recent)
    deaf: Recent = field(default_factory=Recent)


class SignalSource:
    """Makes the signals of one look; call it at each, for it counts what happened in between.

    `disk_free` returns the bytes that were free lately, None when nobody knows; `key_missing`,
    `limited`, `twins` and `database_taken` answer at once, from memory.
    """

    def __init__(
        self,
        supervisor: Lives,
        database: Part,
        clock: Clock,
        *,
        janitor: Part | None = None,
        disk_free: Callable[[], int | None] = lambda: None,
        key_missing: Callable[[], bool] = lambda: False,
        limited: Callable[[SessionId], bool] = lambda _: False,
        twins: Callable[[SessionId], int] = lambda _: 0,
        database_taken: Callable[[], bool] = lambda: False,
    ) -> None:
        self._supervisor = supervisor
        self._database = database
        self._janitor = janitor
        self._clock = clock
        self._disk_free = disk_free
        self._key_missing = key_missing
        self._limited = limited
        self._twins = twins
        self._database_taken = database_taken
        self._memories: dict[SessionId, _Memory] = {}
        self._failures = Recent()
        self._jump_s = 0.0
        self._jumped_at = 0.0

    def __call__(self) -> Signals:
        """Return every number as it is now; stopped sessions have none."""
        lives = {
            session: live
            for session, live in self._supervisor.lives().items()
            if live.connection is not Connection.STOPPED
        }
        self._memories = {session: self._memories.get(session) or _Memory() for session in lives}
        signals: dict[str, Mapping[str, float]] = {
            session: self._of_session(session, live) for session, live in lives.items()
        }
        signals[SERVICE] = self._of_service(lives)
        return signals

    def _of_session(self, session: SessionId, live: LiveState) -> Mapping[str, float]:
        now, steady, memory = self._clock.now(), self._clock.monotonic(), self._memories[session]
        is_open = live.connection is Connection.OPEN
        if live.connected_at is not None and live.connected_at != memory.connected_at:
            # The first one that is seen is the start itself.
            memory.opened += memory.connected_at is not None
            memory.connected_at = live.connected_at
        cause = None if is_open else live.cause
        return {
            "down_s": 0.0 if is_open else _seconds(live.outage_began_at, now),
            "needs_attention": float(live.connection is Connection.NEEDS_ATTENTION),
            "banned": float(cause in _BANNED),
            "replaced": float(cause is Cause.REPLACED),
            "needs_pairing": float(live.needs_pairing),
            "outdated": float(cause is Cause.OUTDATED),
            "deaf": float(memory.deaf.of(live.deaf_suspicions, steady)),
            "reconnects_last_hour": float(memory.reopened.of(memory.opened, steady)),
            "restarts_515": float(live.attempt if cause is Cause.RESTART_REQUIRED else 0),
            "attempts_share": live.attempt / live.limit if cause and live.limit else 0.0,
            "heartbeat_age_s": _seconds(live.alive_at, now) if is_open else 0.0,
            "phone_absent_days": float(live.phone_absent_days),
            "limited": float(self._limited(session)),
            "twins": float(self._twins(session)),
        }

    def _of_service(self, lives: Mapping[SessionId, LiveState]) -> Mapping[str, float]:
        now = self._clock.monotonic()
        down = sum(
            live.connection is Connection.NEEDS_ATTENTION
            or (live.connection in _DOWN and live.outage_began_at is not None)
            for live in lives.values()
        )
        if self._supervisor.clock_jump_s != self._jump_s:
            self._jump_s, self._jumped_at = self._supervisor.clock_jump_s, now
        jumped = self._jump_s != 0.0 and now - self._jumped_at < _HOUR_S
        numbers = {
            "database_failing": float(self._database.failing),
            "database_taken": float(self._database_taken()),
            "retention_failing": float(self._janitor is not None and self._janitor.failing),
            "sessions_down": float(down),
            "sessions_down_share": down / len(lives) if lives else 0.0,
            "task_failures_last_hour": float(
                self._failures.of(self._supervisor.task_failures, now)
            ),
            "clock_jump_s": abs(self._jump_s) if jumped else 0.0,
            "key_missing": float(self._key_missing()),
        }
        free = self._disk_free()
        return numbers if free is None else {**numbers, "disk_free_bytes": float(free)}


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
