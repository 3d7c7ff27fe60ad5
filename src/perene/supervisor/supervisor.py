"""Many sessions under one task group: each desired one runs, whatever happens to the others."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from perene.core.causes import Cause
from perene.core.clock import Clock
from perene.core.errors import NotFound, StorageError
from perene.core.events import Event, EventType, Json
from perene.core.ids import SessionId
from perene.core.machines.inputs import Start
from perene.core.policy import POLICIES, Growth, Policy, Schedule
from perene.core.sessions import Connection, Desired, SessionRecord
from perene.core.unit import Unit
from perene.supervisor.committer import Committer
from perene.supervisor.live import LiveState
from perene.supervisor.metrics import Metrics
from perene.supervisor.monitor import Monitor
from perene.supervisor.owner import StoreOwner, Versions
from perene.supervisor.session_jobs import MakeEngine
from perene.supervisor.session_task import SessionTask
from perene.supervisor.start_gate import StartGate
from perene.supervisor.storage import OpenStore, Sessions

log = structlog.stdlib.get_logger()

_AFTER_A_BUG = Schedule(
    growth=Growth.FIBONACCI, step=timedelta(seconds=5), cap=timedelta(minutes=15)
)

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
        connect: MakeEngine,
        clock: Clock,
        ring: Callable[[], None],
        rng: random.Random,
        gate: StartGate | None = None,
        metrics: Metrics | None = None,
        versions: Versions | None = None,
        policies: Mapping[Cause, Policy] = POLICIES,
    ) -> None:
        self._store = store
        self._owner = StoreOwner(
            store=store,
            open_store=open_store,
            committer=committer,
            clock=clock,
            policies=policies,
            versions=versions,
            ring=ring,
        )
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
        self._asked: set[SessionId] = set()
        """Sessions that somebody has asked something of since this runs: the list is older."""
        self._gate = gate or StartGate(clock, at_once=50, per_second=200)
        self._metrics = metrics or Metrics()
        self._policies = policies
        self._wanted: set[SessionId] = set()
        self._monitor = Monitor(
            clock=clock, tasks=self._tasks, down=self._down, revive=self._revive
        )
        self.task_failures = 0

    @property
    def clock_jump_s(self) -> float:
        """The last jump of the wall clock that the monitor saw, in seconds."""
        return self._monitor.clock_jump_s

    # Life

    async def run(self) -> None:
        """Start every session that shall run, then live until `close` has drained them all."""
        async with asyncio.TaskGroup() as self._group:
            records = await self._patiently(self._store.list_sessions)
            for record in records:
                self.known(record.id)
            wanted = [record for record in records if record.desired is not Desired.STOPPED]
            log.info("sessions_found", total=len(records), starting=len(wanted))
            monitor = self._group.create_task(self._monitor.run(), name="monitor")
            for record in wanted:
                if record.id not in self._asked and record.id not in self._tasks:
                    self._resume(record)
            await self._closing.wait()
            monitor.cancel()
            for task in list(self._tasks.values()):
                task.stop(by_person=False)

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

    def close(self) -> None:
        """End `run`: every connection drains and closes."""
        self._closing.set()

    # Desires

    async def start(self, session: SessionId) -> None:
        """Want a session running; one that waits for a person or for its time tries at once."""
        async with self._lock(session):
            await self._store.set_desired(session, Desired.RUNNING)
            await self._started(session)

    async def stop(self, session: SessionId) -> None:
        """Want a session stopped; returns when its connection has drained."""
        async with self._lock(session):
            await self._store.set_desired(session, Desired.STOPPED)
            self._wanted.discard(session)
            await self._halt(session)

    async def restart(self, session: SessionId) -> None:
        """Want a new connection now; counts begin anew, but no ban ends by it."""
        async with self._lock(session):
            await self._store.set_desired(session, Desired.RUNNING)
            task = self._tasks.get(session)
            if task is None or task.stopping or task.failed:
                await self._started(session)
            else:
                task.restart()

    async def logout(self, session: SessionId) -> None:
        """Unlink a session's device and destroy its credentials; it is stopped then.

        A logout that the end of the service cuts short is finished by the next one.
        """
        async with self._lock(session):
            await self._store.set_desired(session, Desired.LOGGED_OUT)
            self._wanted.discard(session)
            task = self._tasks.get(session)
            if task is None or task.stopping or task.failed:
                await self._halt(session)
                self._resume(await self._store.get_session(session))
            else:
                task.log_out()
            await self._rested(session)

    async def _started(self, session: SessionId) -> None:
        task = self._tasks.get(session)
        if task is not None and (task.stopping or task.failed):
            await self._halt(session)
            task = None
        if task is not None:
            task.start()
            return
        self._start(await self._store.get_session(session), by_person=True)

    async def delete(self, session: SessionId) -> None:
        """Stop a session and delete everything of it."""
        async with self._lock(session):
            await self._store.get_session(session)
            self._wanted.discard(session)
            await self._halt(session)
            event = self._event(EventType.SESSION_DELETED)
            await self._store.delete_session(session, event=event)
            self._states.pop(session, None)
            self._ring()
        self._changing.pop(session, None)

    # Looking and asking

    def live(self, session: SessionId) -> LiveState:
        """Return the live half of a session; one that never ran is stopped."""
        return self._states.get(session) or LiveState()

    def lives(self) -> Mapping[SessionId, LiveState]:
        """Return the live half of every session, by its id."""
        return self._states

    def known(self, session: SessionId) -> LiveState:
        """Take note of a session that exists, though it may never run; return its live half."""
        live = self._states.get(session)
        if live is None:
            live = LiveState(on_transition=self._metrics.transition, on_deaf=self._metrics.deaf)
            self._states[session] = live
        return live

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
        if self._group is not None:
            self._asked.add(session)
        return self._changing.setdefault(session, asyncio.Lock())

    def _resume(self, record: SessionRecord) -> None:
        """Go on with what was wanted of a session when its last task ended."""
        match record.desired:
            case Desired.RUNNING:
                self._start(record)
            case Desired.LOGGED_OUT:
                self._start(record)
                leaving = self._tasks.get(record.id)
                if leaving is not None:
                    leaving.log_out()
            case Desired.STOPPED:
                self._wanted.discard(record.id)

    def _start(self, record: SessionRecord, *, by_person: bool = False) -> None:
        if self._group is None or self._closing.is_set():
            return
        if record.desired is Desired.RUNNING:
            self._wanted.add(record.id)
        task = self._new_task(record)
        running = self._group.create_task(
            self._supervised(task, by_person=by_person), name=f"session {record.id}"
        )
        self._running[record.id] = running

    def _new_task(self, record: SessionRecord) -> SessionTask:
        task = SessionTask(
            record=record,
            ownership=self._owner,
            connect=self._connect,
            clock=self._clock,
            rng=self._rng,
            gate=self._gate,
            watch=self._metrics,
            policies=self._policies,
            live=self.known(record.id),
        )
        self._tasks[record.id] = task
        return task

    async def _supervised(self, task: SessionTask, *, by_person: bool) -> None:
        """Run a task; one that dies of a bug is made anew, later each time, until it is stopped."""
        session = task.session
        failures = 0
        try:
            while True:
                began = self._clock.monotonic()
                try:
                    await task.run(first=Start(by_person=by_person))
                    return
                except Exception as error:  # the supervisor's edge: one bug never ends others
                    log.exception("session_task_failed", session=session)
                    task.failed = True
                    lived_s = self._clock.monotonic() - began
                    failures = 0 if lived_s > _AFTER_A_BUG.cap.total_seconds() else failures + 1
                    await self._report_failure(task, error, failures)
                if task.stopping:
                    return
                wait = _AFTER_A_BUG.wait(max(0, failures - 1), self._rng.random())
                await task.rest(wait.total_seconds())
                if task.stopping or self._closing.is_set():
                    return
                by_person = False
                record = await self._patiently(partial(self._get, session))
                if task.stopping or self._closing.is_set():
                    return  # it was asked so while the database took its time
                task = self._new_task(record)
        except NotFound:
            return  # deleted meanwhile
        except StorageError as error:
            # The service is closing: others still drain, and this one has nothing to.
            log.warning("session_not_read", session=session, reason=str(error))
        finally:
            if task.stopping:
                task.live.moved(Connection.STOPPED)
            if self._tasks.get(session) is task:
                del self._tasks[session]

    async def _get(self, session: SessionId) -> SessionRecord:
        return await self._store.get_session(session)

    async def _report_failure(self, task: SessionTask, error: Exception, failures: int) -> None:
        self.task_failures += 1
        self._metrics.task_failed()
        task.live.moved(Connection.WAITING, error="Perene made a mistake; see the log.")
        epoch = task.state.epoch
        if epoch is None:
            return
        payload: dict[str, Json] = {"error": type(error).__name__, "in_a_row": failures}
        event = self._event(EventType.SESSION_FAILED, payload)
        unit = Unit(session=task.session, epoch=epoch, events=(event,))
        try:
            await self._owner.open_store(task.session, epoch).submit(unit)
        except Exception as unsaved:  # noqa: BLE001  # the bug may be here, too; the first is logged
            log.warning("failure_not_recorded", error=type(unsaved).__name__)

    def _event(self, kind: EventType, payload: Mapping[str, Json] | None = None) -> Event:
        return Event(type=kind, at=self._clock.now(), payload=payload or {})

    def _down(self) -> list[SessionId]:
        """Return the sessions that are wanted, have no task, and are not being changed."""
        return [
            session
            for session in self._wanted
            if not self._lives(session) and not self._lock(session).locked()
        ]

    def _lives(self, session: SessionId) -> bool:
        running = self._running.get(session)
        return running is not None and not running.done()

    async def _revive(self, session: SessionId) -> None:
        async with self._lock(session):
            try:
                if not self._lives(session):
                    self._resume(await self._store.get_session(session))
            except NotFound:
                self._wanted.discard(session)

    async def _halt(self, session: SessionId) -> None:
        task = self._tasks.get(session)
        if task is not None:
            task.stop()
        await self._rested(session)

    async def _rested(self, session: SessionId) -> None:
        """Wait until a session's task has ended."""
        running = self._running.get(session)
        if running is not None:
            # Kept until it has ended: if this is cancelled, no second task may start beside it.
            await asyncio.wait([running])
            self._running.pop(session, None)
