"""Running the sessions' tasks beside each other: a bug ends one of them, and only for a while."""

import asyncio
from datetime import timedelta

import structlog

from perene.core.causes import Local
from perene.core.errors import NotFound, StorageError
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.core.machines.inputs import Start
from perene.core.machines.state import Absence
from perene.core.schedules import Growth, Schedule
from perene.core.sessions import Connection, Desired, SessionRecord
from perene.core.unit import Unit
from perene.supervisor.fleet.roster import Roster
from perene.supervisor.session.means import Means
from perene.supervisor.session.task import SessionTask
from perene.supervisor.storage.patient_reads import PatientReads

log = structlog.stdlib.get_logger()

_AFTER_A_BUG = Schedule(
    growth=Growth.FIBONACCI, step=timedelta(seconds=5), cap=timedelta(minutes=15)
)


class TaskRunner:
    """Runs a task for each session that is started, and after a bug a new one.

    Nothing starts before `open`, nor once `closing` is set.
    """

    def __init__(
        self, roster: Roster, reads: PatientReads, means: Means, *, closing: asyncio.Event
    ) -> None:
        self._roster = roster
        self._reads = reads
        self._means = means
        self._clock = means.clock
        self._closing = closing
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[SessionId, asyncio.Task[None]] = {}
        self.failures = 0
        """How many tasks have ended by a bug."""

    def open(self, group: asyncio.TaskGroup) -> None:
        """Let tasks run in this group from now on."""
        self._group = group

    def start(
        self, record: SessionRecord, *, by_person: bool, absence: Absence | None
    ) -> SessionTask | None:
        """Run a task for a session that has none; None if nothing may start."""
        if self._group is None or self._closing.is_set():
            return None
        task = self._new_task(record, absence)
        self._running[record.id] = self._group.create_task(
            self._supervised(task, by_person=by_person), name=f"session {record.id}"
        )
        return task

    def runs(self, session: SessionId) -> bool:
        """Tell whether a session's task runs, or rests after a bug."""
        running = self._running.get(session)
        return running is not None and not running.done()

    async def ended(self, session: SessionId) -> None:
        """Wait until a session's task, if it has one, has ended for good."""
        running = self._running.get(session)
        if running is not None:
            # Kept until it has ended: if this is cancelled, no second task may start beside it.
            await asyncio.wait([running])
            if self._running.get(session) is running:  # somebody else may have waited, too
                del self._running[session]

    async def ended_or_died(self, task: SessionTask) -> None:
        """Wait until a task has ended for good, or until a bug has ended it for a while."""
        running = self._running.get(task.session)
        if running is None:
            return
        dying = asyncio.create_task(task.died.wait())
        try:
            await asyncio.wait((running, dying), return_when=asyncio.FIRST_COMPLETED)
        finally:
            dying.cancel()
        if running.done():
            await self.ended(task.session)

    def _new_task(self, record: SessionRecord, absence: Absence | None) -> SessionTask:
        live = self._roster.known(record.id)
        task = SessionTask(record, self._means, live=live, absence=absence)
        self._roster.enter(task)
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
                    task.died.set()
                    absence = Absence(since=self._clock.now(), local=Local.INTERNAL)
                    lived_s = self._clock.monotonic() - began
                    failures = 1 if lived_s > _AFTER_A_BUG.cap.total_seconds() else failures + 1
                    await self._report_failure(task, error, failures)
                if self._ends(task):
                    return
                wait = _AFTER_A_BUG.wait(failures - 1, self._means.rng.random())
                await task.rest(wait.total_seconds())
                if self._ends(task):
                    return
                by_person = False
                record = await self._reads.session(session)
                if self._ends(task):
                    return  # it was asked so while the database took its time
                task = self._new_task(record, absence)
                if record.desired is Desired.LOGGED_OUT:
                    task.log_out()
                elif record.desired is Desired.STOPPED:
                    task.stop()  # its logout was done when it died: nothing is wanted any more
        except NotFound:
            return  # deleted meanwhile
        except StorageError as error:
            # The service is closing: others still drain, and this one has nothing to.
            log.warning("session_not_read", session=session, reason=str(error))
        finally:
            if task.stopping:
                task.live.moved(Connection.STOPPED)
            self._roster.leave(task)

    def _ends(self, failed: SessionTask) -> bool:
        """Tell whether no task follows one that has failed."""
        return (failed.stopping and not failed.logging_out) or self._closing.is_set()

    async def _report_failure(self, task: SessionTask, error: Exception, failures: int) -> None:
        self.failures += 1
        self._means.metrics.task_failed()
        task.live.moved(Connection.WAITING, error="Perene made a mistake; see the log.")
        epoch = task.state.epoch
        if epoch is None:
            return
        event = Event(
            type=EventType.SESSION_FAILED,
            at=self._clock.now(),
            payload={"error": type(error).__name__, "in_a_row": failures},
        )
        unit = Unit(session=task.session, epoch=epoch, events=(event,))
        try:
            await self._means.ownership.open_store(task.session, epoch).submit(unit)
        except Exception as unsaved:  # noqa: BLE001  # the bug may be here, too; the first is logged
            log.warning("failure_not_recorded", error=type(unsaved).__name__)
