"""From a session's stored desire to the task that it asks for."""

from collections.abc import Sequence

import structlog

from perene.core.ids import SessionId
from perene.core.machines.state import Absence
from perene.core.sessions import Desired, SessionRecord
from perene.core.standing import Standing
from perene.supervisor.fleet.roster import Roster
from perene.supervisor.fleet.runner import TaskRunner
from perene.supervisor.session.task import SessionTask

log = structlog.stdlib.get_logger()


class Wanted:
    """Gives sessions the task that is wanted, and knows which of them shall run.

    Whoever calls keeps others from changing the session meanwhile.
    """

    def __init__(self, roster: Roster, runner: TaskRunner) -> None:
        self._roster = roster
        self._runner = runner
        self._wanted: set[SessionId] = set()

    def start(
        self, record: SessionRecord, *, by_person: bool = False, absence: Absence | None = None
    ) -> SessionTask | None:
        """Run a task for a session that has none; None if nothing may start."""
        task = self._runner.start(record, by_person=by_person, absence=absence)
        if task is not None and record.desired is Desired.RUNNING:
            self._wanted.add(record.id)
        return task

    def resume(
        self, record: SessionRecord, *, absence: Absence | None = None
    ) -> SessionTask | None:
        """Go on with what was wanted of a session when its last task ended; return its new one."""
        match record.desired:
            case Desired.RUNNING:
                return self.start(record, absence=absence)
            case Desired.LOGGED_OUT:
                task = self.start(record, absence=absence)
                if task is not None:
                    task.log_out()
                return task
            case Desired.STOPPED:
                self.discard(record.id)
                return None

    def follow(self, record: SessionRecord) -> bool:
        """Do what is stored, whatever a session is at; tell whether that is all there is to do."""
        task = self._roster.tasks.get(record.id)
        if task is None or not self._runner.runs(record.id):
            return self._follow_without_task(record)
        match record.desired:
            case Desired.RUNNING:
                self._wanted.add(record.id)  # if it is ending now, it is missing once it has
                task.wake_sender()  # a message may have been stored unheard, too
                return True
            case Desired.LOGGED_OUT:
                self.discard(record.id)
                if not task.stopping:
                    task.log_out()
                return task.logging_out
            case Desired.STOPPED:
                self.discard(record.id)
                if not task.stopping:
                    task.stop()
                return False  # how its outage ended is looked at once it has stopped

    def _follow_without_task(self, record: SessionRecord) -> bool:
        if record.desired is Desired.STOPPED:
            self.discard(record.id)
            return not self.settle(record)
        log.error("session_without_task", session=record.id)
        self.resume(record)
        return True

    def settle(self, record: SessionRecord) -> bool:
        """End what a stopped session was in when its last task ended; tell if that was needed.

        A task that dies of a bug, or with the service, cannot tell how its outage ended, or that a
        connection did, and one that a database fails just then cannot either; a session that stays
        stopped has no other. Whether this one could, is seen by asking again.
        """
        standing = Standing.parse(record.standing)
        if standing.outage is None and not standing.shown_up:
            return False
        settling = self.start(record)
        if settling is not None:
            settling.stop()
        return settling is not None

    async def halt(self, session: SessionId) -> None:
        """Stop a session's task, if it has one, and return when it has ended for good."""
        task = self._roster.tasks.get(session)
        if task is not None:
            task.stop()
        await self._runner.ended(session)

    def discard(self, session: SessionId) -> None:
        """A session shall run no longer."""
        self._wanted.discard(session)

    def missing(self) -> Sequence[SessionId]:
        """Return the sessions that shall run and have no task."""
        return [session for session in self._wanted if not self._runner.runs(session)]
