"""Who is there: the sessions that exist, and the tasks of those that run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from perene.core.errors import NotFound
from perene.core.ids import SessionId
from perene.core.notices import TimeTold
from perene.core.sessions import SessionRecord
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.live import LiveState
from perene.supervisor.session.task import SessionTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """The stored half of a session, as it was read last."""

    record: SessionRecord
    at: datetime


class Roster:
    """The live half of every session, the stored half as it was read last, and at most one task.

    A live state outlives its session's tasks: whoever looks keeps looking at the same one.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._states: dict[SessionId, LiveState] = {}
        self._tasks: dict[SessionId, SessionTask] = {}
        self._remembered: dict[SessionId, Remembered] = {}
        self._listed = False

    @property
    def lives(self) -> Mapping[SessionId, LiveState]:
        """The live half of every session, by its id."""
        return self._states

    def times_told(self) -> Sequence[TimeTold | None]:
        """Return what each session's last login told of the time."""
        return [live.time_told for live in self._states.values()]

    @property
    def remembered(self) -> Sequence[Remembered] | None:
        """The stored half of every session: to be shown, never to be decided by.

        None before it is known which sessions there are.
        """
        return list(self._remembered.values()) if self._listed else None

    @property
    def tasks(self) -> Mapping[SessionId, SessionTask]:
        """The tasks of the sessions that run."""
        return self._tasks

    def live(self, session: SessionId) -> LiveState:
        """Return the live half of a session; one that never ran is stopped."""
        return self._states.get(session) or LiveState()

    def known(self, session: SessionId) -> LiveState:
        """Take note of a session that exists, though it may never run; return its live half."""
        live = self._states.get(session)
        if live is None:
            live = LiveState(on_transition=self._metrics.transition, on_deaf=self._metrics.deaf)
            self._states[session] = live
        return live

    def remember(self, record: SessionRecord, at: datetime) -> None:
        """Take note of what was read of a session; one that was deleted meanwhile is not known."""
        before = self._remembered.get(record.id)
        if record.id in self._states and (before is None or before.at <= at):
            self._remembered[record.id] = Remembered(record=record, at=at)

    def listed(self) -> None:
        """Take note that every session that exists is known from now on."""
        self._listed = True

    def forget(self, session: SessionId) -> None:
        """Drop a session that exists no longer."""
        self._states.pop(session, None)
        self._remembered.pop(session, None)

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

    def enter(self, task: SessionTask) -> None:
        """A session has a task, in place of its last one."""
        self._tasks[task.session] = task

    def leave(self, task: SessionTask) -> None:
        """A task has ended; the one that took its place stays."""
        if self._tasks.get(task.session) is task:
            del self._tasks[task.session]
