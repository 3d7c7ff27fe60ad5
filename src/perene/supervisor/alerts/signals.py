"""The numbers that alert rules watch, read from what is in memory."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from perene.core.alerts import SERVICE, Signals
from perene.core.causes import Cause
from perene.core.clock import Clock, Instant, instant
from perene.core.ids import SessionId
from perene.core.machines.outlook import Outlook
from perene.core.server_time import server_time
from perene.core.sessions import Connection
from perene.process.room import DATA, DATABASE, Room
from perene.supervisor.alerts.measures import Age, Recent
from perene.supervisor.session.live import LiveState

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_EXPIRES_SOON_DAYS = 14.0
"""How long before WhatsApp refuses a client version people are told."""
_BANNED = (Cause.TEMPORARY_BAN, Cause.BANNED)
_DOWN = (Connection.CONNECTING, Connection.LOGGING_IN, Connection.WAITING)


class Lives(Protocol):
    """The roster, as far as signals go."""

    @property
    def lives(self) -> Mapping[SessionId, LiveState]:
        """The live half of every session, by its id."""
        ...


class Fleet(Protocol):
    """The supervisor, as far as signals go."""

    @property
    def roster(self) -> Lives: ...

    @property
    def task_failures(self) -> int: ...

    @property
    def clock_jump_s(self) -> float: ...


class Part(Protocol):
    """A part of the service that fails or does not: the database, the removal of old rows."""

    @property
    def failing(self) -> bool: ...


class Machine(Protocol):
    """What was seen of the machine lately; each answers from memory, None when nobody knows."""

    @property
    def lag_s(self) -> float:
        """How late the event loop ran."""
        ...

    @property
    def awake_s(self) -> float:
        """For how long everything has been going on since it last stood still."""
        ...

    @property
    def rooms(self) -> Mapping[str, Room]:
        """What is left of each disk, by what is kept there: `DATA`, `DATABASE`."""
        ...

    @property
    def open_files_share(self) -> float | None: ...

    @property
    def key_missing(self) -> bool:
        """Whether the file of the master key is gone."""
        ...


class Limits(Protocol):
    """Which accounts WhatsApp limits, from memory."""

    def limited(self, session: SessionId) -> bool: ...


class Twins(Protocol):
    """Which sessions are linked to the same account, from memory."""

    def twins(self, session: SessionId) -> int: ...


class Hold(Protocol):
    """The service's hold on its database."""

    @property
    def taken(self) -> Exception | None:
        """What says that another service has it."""
        ...


class _Unseen:
    """What nobody looks at, and of which nothing is known to be wrong."""

    failing = False
    taken = None
    lag_s = 0.0
    awake_s = math.inf
    open_files_share = None
    key_missing = False

    @property
    def rooms(self) -> Mapping[str, Room]:
        return {}

    def limited(self, session: SessionId) -> bool:
        return False

    def twins(self, session: SessionId) -> int:
        return 0


@dataclass(slots=True)
class _Memory:
    """What has to be remembered of a session between two looks.

    `looked_at` is the monotonic second of the look before, None unless it ran then; `adrift_since`
    that of the first one that saw it wait, unless it was up since by its `openings`. No outage is
    kept where no connection was lost: of a session whose task died of a bug, or that the database
    does not give us.
    """

    looked_at: float | None = None
    adrift_since: float | None = None
    openings: int = 0
    reopened: Recent = field(default_factory=Recent)
    deaf: Recent = field(default_factory=Recent)
    outage: Age = field(default_factory=Age)
    heartbeat: Age = field(default_factory=Age)


class SignalSource:
    """Makes the signals of one look; call it at each, for it counts what happened in between.

    Every part answers at once, from memory; so does `log_lines_lost`, since the start, and
    `presented`, the client version of the next login.
    """

    def __init__(
        self,
        supervisor: Fleet,
        database: Part,
        clock: Clock,
        *,
        removers: Sequence[Part] = (),
        machine: Machine | None = None,
        limits: Limits | None = None,
        twins: Twins | None = None,
        hold: Hold | None = None,
        log_lines_lost: Callable[[], int] = lambda: 0,
        presented: Callable[[], tuple[int, int, int] | None] = lambda: None,
    ) -> None:
        self._supervisor = supervisor
        self._database = database
        self._clock = clock
        self._removers = removers
        self._machine: Machine = machine or _Unseen()
        self._limits: Limits = limits or _Unseen()
        self._twins: Twins = twins or _Unseen()
        self._hold: Hold = hold or _Unseen()
        self._log_lines_lost = log_lines_lost
        self._presented = presented
        self._memories: dict[SessionId, _Memory] = {}
        self._failures = Recent()
        self._lines_lost = Recent()
        # Made before any session runs: a sign of life that was not seen yet is younger.
        self._looked_at = clock.monotonic()
        self._jump_s = 0.0
        self._jumps: deque[tuple[float, float]] = deque()

    def __call__(self) -> Signals:
        """Return every number as it is now; stopped sessions have none."""
        now, lives = instant(self._clock), self._supervisor.roster.lives
        # Stopped ones, too: what was counted before a stop is nothing new after the next start.
        self._memories = {session: self._memories.get(session) or _Memory() for session in lives}
        signals: dict[str, Mapping[str, float]] = {}
        for session, live in lives.items():
            numbers = self._of_session(session, live, now)
            runs = live.connection is not Connection.STOPPED
            self._memories[session].looked_at = now.monotonic if runs else None
            if runs:
                signals[session] = numbers
        running = {session: live for session, live in lives.items() if session in signals}
        signals[SERVICE] = self._of_service(running, now)
        self._looked_at = now.monotonic
        return signals

    def _of_session(self, session: SessionId, live: LiveState, now: Instant) -> Mapping[str, float]:
        memory = self._memories[session]
        outage_s = memory.outage.of(live.outlook.outage_began_at, now, new_since=memory.looked_at)
        alive_s = memory.heartbeat.of(live.alive_at, now, new_since=self._looked_at)
        # While everything stood still nobody was asked, and nobody could have been heard.
        alive_s = min(alive_s, self._machine.awake_s)
        if live.reopened != memory.openings:
            memory.openings, memory.adrift_since = live.reopened, None  # it was up since
        if live.connection not in _DOWN or live.outlook.cause is Cause.PAIRING_EXPIRED:
            memory.adrift_since = None  # one that waits for somebody to scan is not down
        elif live.connection is Connection.WAITING and memory.adrift_since is None:
            memory.adrift_since = now.monotonic
        adrift_s = 0.0 if memory.adrift_since is None else now.monotonic - memory.adrift_since
        is_open = live.connection is Connection.OPEN
        cause = None if is_open else live.outlook.cause
        return {
            "down_s": 0.0 if is_open else max(outage_s, adrift_s),
            "needs_attention": float(live.connection is Connection.NEEDS_ATTENTION),
            "banned": float(cause in _BANNED),
            "locked": float(cause is Cause.LOCKED),
            "replaced": float(cause is Cause.REPLACED),
            "needs_pairing": float(live.needs_pairing),
            "outdated": float(cause is Cause.OUTDATED),
            "deaf": float(memory.deaf.of(live.deaf_suspicions, now.monotonic)),
            "reconnects_last_hour": float(memory.reopened.of(live.reopened, now.monotonic)),
            "restarts_515": float(live.outlook.attempt if cause is Cause.RESTART_REQUIRED else 0),
            "attempts_share": _share_made(live.outlook) if cause else 0.0,
            "heartbeat_age_s": alive_s if is_open else 0.0,
            "phone_absent_days": float(live.phone_absent_days),
            "limited": float(self._limits.limited(session)),
            "twins": float(self._twins.twins(session)),
        }

    def _of_service(
        self, lives: Mapping[SessionId, LiveState], now: Instant
    ) -> Mapping[str, float]:
        able = [session for session, live in lives.items() if not _for_its_own_reason(live)]
        down = sum(
            (
                lives[session].connection in _DOWN
                and lives[session].outlook.outage_began_at is not None
            )
            or self._memories[session].adrift_since is not None
            for session in able
        )
        lines_lost = self._lines_lost.of(self._log_lines_lost(), now.monotonic)
        numbers = {
            "database_failing": float(self._database.failing),
            "database_taken": float(self._hold.taken is not None),
            "retention_failing": float(any(one.failing for one in self._removers)),
            "sessions_down": float(down),
            "sessions_down_share": down / len(able) if able else 0.0,
            "task_failures_last_hour": float(
                self._failures.of(self._supervisor.task_failures, now.monotonic)
            ),
            "clock_jump_s": self._largest_jump(now.monotonic),
            "event_loop_lag_s": self._machine.lag_s,
            "log_lines_lost_last_hour": float(lines_lost),
            "key_missing": float(self._machine.key_missing),
            "version_refused_in_days": self._version_refused_in_days(lives.values(), now),
        }
        seldom: dict[str, float | None] = {
            "open_files_share": self._machine.open_files_share,
        }
        for name, place in ((DATA, ""), (DATABASE, "database_")):
            if (room := self._machine.rooms.get(name)) is not None:
                seldom[f"{place}disk_free_bytes"] = room.free_bytes
                seldom[f"{place}inodes_share"] = room.files_share
        told = server_time((live.time_told for live in lives.values()), now)
        if told is not None:
            seldom["clock_off_s"] = abs((now.wall - told).total_seconds())
        return numbers | {name: float(seen) for name, seen in seldom.items() if seen is not None}

    def _version_refused_in_days(self, lives: Iterable[LiveState], now: Instant) -> float:
        """Return how long the version that the next login presents is good; 0 for long enough."""
        presented = self._presented()
        said = (live.version_expires for live in lives)
        times = [one.at for one in said if one and one.at and one.version == presented]
        days = (min(times) - now.wall).total_seconds() / _DAY_S if times else math.inf
        return max(days, 1.0) if days <= _EXPIRES_SOON_DAYS else 0.0

    def _largest_jump(self, now: float) -> float:
        """Return the largest of the clock's jumps within the last hour, 0 without one."""
        if self._supervisor.clock_jump_s != self._jump_s:
            self._jump_s = self._supervisor.clock_jump_s
            self._jumps.append((now, abs(self._jump_s)))
        while self._jumps and now - self._jumps[0][0] >= _HOUR_S:
            self._jumps.popleft()
        return max((jump_s for _, jump_s in self._jumps), default=0.0)


def _for_its_own_reason(live: LiveState) -> bool:
    """Return whether a session cannot be up for a reason that is told as its own.

    What many sessions share, as the network, is to be told by the others.
    """
    if live.connection is Connection.NEEDS_ATTENTION:
        return True
    return live.connection in _DOWN and live.outlook.cause in (*_BANNED, Cause.OUTDATED)


def _share_made(outlook: Outlook) -> float:
    """Return how many of the attempts were made, of 1; what is told is the one that comes next."""
    if not outlook.limit:
        return 0.0
    return min(1.0, max(0, outlook.attempt - 1) / outlook.limit)
