"""Many sessions under one task group: each desired one runs, whatever happens to the others."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import structlog

from perene.core.clock import Clock
from perene.core.errors import NotFound, StorageError
from perene.core.events import Event, EventType
from perene.core.ids import Epoch, SessionId
from perene.core.sessions import Connection, Desired, SessionRecord
from perene.engine.ports import SessionStore
from perene.supervisor.committer import Committer
from perene.supervisor.live import LiveState
from perene.supervisor.session_task import Connect, SessionTask
from perene.supervisor.storage import OpenStore, Sessions

log = structlog.stdlib.get_logger()

_STARTS_AT_ONCE = 20
"""Sessions whose first connection is begun together when the service starts."""

_START_PAUSE_S = 0.2

_READ_AGAIN_S = 2.0

T = TypeVar("T")


class Supervisor:
    """Drives every session to its stored desire. `run` is its life; the rest is called meanwhile.

    `ring` is called when an event was committed that no unit carried. Browsers, API clients and
    event streams have no part in a session's life: they read, and ask for desires (C1).
    """

    def __init__(
        self,
        *,
        store: Sessions,
        open_store: OpenStore,
        committer: Committer,
        connect: Connect,
        clock: Clock,
        ring: Callable[[], None],
        rng: random.Random,
    ) -> None:
        self._store = store
        self._open_store = open_store
        self._committer = committer
        self._connect = connect
        self._clock = clock
        self._ring = ring
        self._rng = rng
        self._tasks: dict[SessionId, SessionTask] = {}
        self._running: dict[SessionId, asyncio.Task[None]] = {}
        self._states: dict[SessionId, LiveState] = {}
        self._group: asyncio.TaskGroup | None = None
        self._closing = asyncio.Event()
        self._changing: dict[SessionId, asyncio.Lock] = {}

    # What a session task needs of the store

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch:
        return await self._store.acquire(session, held)

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore:
        return self._open_store(session, epoch, self._committer.lane())

    async def archive_credentials(self, session: SessionId, epoch: Epoch, reason: str) -> bool:
        return await self._store.archive_credentials(session, epoch, reason)

    # Life

    async def run(self) -> None:
        """Start every session that shall run, then live until `close` has drained them all."""
        async with asyncio.TaskGroup() as self._group:
            records = await self._patiently(self._store.list_sessions)
            wanted = [record for record in records if record.desired is Desired.RUNNING]
            log.info("sessions_found", total=len(records), starting=len(wanted))
            for position, record in enumerate(wanted, start=1):
                if self._closing.is_set():
                    break
                await self._patiently(partial(self._start_wanted, record.id))
                if position % _STARTS_AT_ONCE == 0:
                    await self._clock.sleep(_START_PAUSE_S)
            await self._closing.wait()
            for task in self._tasks.values():
                task.stop()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the store until it answers: a database that comes late must not keep sessions down.

        Raises StorageError only once the service is closing.
        """
        while True:
            try:
                return await ask()
            except StorageError as error:
                if self._closing.is_set():
                    raise
                log.warning("sessions_not_read", reason=str(error), retry_in_s=_READ_AGAIN_S)
            await self._clock.sleep(_READ_AGAIN_S)

    async def _start_wanted(self, session: SessionId) -> None:
        """Start a session of the list, unless a request has changed its desire meanwhile."""
        async with self._lock(session):
            try:
                record = await self._store.get_session(session)
            except NotFound:
                return
            running = self._running.get(session)
            if record.desired is Desired.RUNNING and (running is None or running.done()):
                self._start(record)

    def close(self) -> None:
        """End `run`: every connection drains and closes."""
        self._closing.set()

    # Desires

    async def start(self, session: SessionId) -> None:
        """Want a session running; nothing happens when it is and may still get somewhere."""
        async with self._lock(session):
            await self._store.set_desired(session, Desired.RUNNING)
            task = self._tasks.get(session)
            if task is not None and task.stopping:
                await self._halt(session)
            running = self._running.get(session)
            if running is None or running.done():
                self._start(await self._store.get_session(session))

    async def stop(self, session: SessionId) -> None:
        """Want a session stopped; returns when its connection has drained."""
        async with self._lock(session):
            await self._store.set_desired(session, Desired.STOPPED)
            await self._halt(session)

    async def delete(self, session: SessionId) -> None:
        """Stop a session and delete everything of it."""
        async with self._lock(session):
            await self._store.get_session(session)
            await self._halt(session)
            event = Event(type=EventType.SESSION_DELETED, at=self._clock.now())
            await self._store.delete_session(session, event=event)
            self._states.pop(session, None)
            self._ring()
        self._changing.pop(session, None)

    # Looking and asking

    def live(self, session: SessionId) -> LiveState:
        """Return the live half of a session; one that never ran is stopped."""
        return self._states.get(session) or LiveState()

    def states(self) -> list[LiveState]:
        """Return the live half of every session that has run."""
        return list(self._states.values())

    def task(self, session: SessionId) -> SessionTask:
        """Return the task of a running session, or raise NotFound."""
        task = self._tasks.get(session)
        if task is None:
            raise NotFound(f"session {session} is not running")
        return task

    def is_running(self, session: SessionId) -> bool:
        """Tell whether a session has a task."""
        return session in self._tasks

    def wake_sender(self, session: SessionId) -> None:
        """Tell a session, if it runs, that a message waits for it."""
        task = self._tasks.get(session)
        if task is not None:
            task.wake_sender()

    def _lock(self, session: SessionId) -> asyncio.Lock:
        return self._changing.setdefault(session, asyncio.Lock())

    def _start(self, record: SessionRecord) -> None:
        if self._group is None or self._closing.is_set():
            return
        task = SessionTask(
            session=record.id,
            options=record.options,
            paired=record.pn is not None and record.has_credentials,
            ownership=self,
            connect=self._connect,
            clock=self._clock,
            rng=self._rng,
        )
        self._tasks[record.id] = task
        self._states[record.id] = task.live
        running = self._group.create_task(self._supervised(task), name=f"session {record.id}")
        self._running[record.id] = running

    async def _supervised(self, task: SessionTask) -> None:
        try:
            await task.run()
        except Exception:  # the supervisor's edge: one session's bug never ends the others
            log.exception("session_task_failed", session=task.session)
            task.live.moved(Connection.NEEDS_ATTENTION, error="Perene made a mistake; see the log.")
        finally:
            if self._tasks.get(task.session) is task:
                del self._tasks[task.session]

    async def _halt(self, session: SessionId) -> None:
        task, running = self._tasks.get(session), self._running.get(session)
        if task is not None:
            task.stop()
        if running is not None:
            # Kept until it has ended: if this is cancelled, no second task may start beside it.
            await asyncio.wait([running])
            self._running.pop(session, None)
