"""The look around every ten seconds: at the clock, and for sessions that are not where wanted."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog

from perene.core.clock import Clock
from perene.core.errors import NotFound, StorageError, StorageUnavailable
from perene.core.ids import SessionId
from perene.core.machines.inputs import Due
from perene.supervisor.session.task import SessionTask

log = structlog.stdlib.get_logger()

_LOOK_EVERY_S = 10.0
"""Requirement C3."""

_ASK_AGAIN_WITHIN_S = 30.0
"""A database that gives no answer is asked ever more seldom, but so often at least."""

_OVERDUE_S = 30.0
_CLOCK_JUMP_S = 5.0
"""A difference between the two clocks that no correction in small steps makes in ten seconds."""


class Monitor:
    """Mends what should not happen: a timer that was missed, a wanted session without a task.

    `tasks` are those that live, by their sessions; `astray` tells which sessions may not be where
    they are wanted, and `guide` has one do what is stored. It does not wait for who changes that.
    `clock_set` is called when the wall clock has jumped.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        tasks: Mapping[SessionId, SessionTask],
        astray: Callable[[], Collection[SessionId]],
        guide: Callable[[SessionId], Awaitable[None]],
        clock_set: Callable[[], None],
    ) -> None:
        self.clock_jump_s = 0.0
        """The last jump of the wall clock, in seconds."""
        self._clock = clock
        self._tasks = tasks
        self._astray = astray
        self._guide = guide
        self._clock_set = clock_set

    async def run(self) -> None:
        """Look until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_tasks(), name="monitor of tasks")
            # Apart, because it asks the database, which may take its time.
            group.create_task(self._watch_desires(), name="monitor of desires")

    async def _watch_tasks(self) -> None:
        wall, steady = self._clock.now(), self._clock.monotonic()
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            now, steady_now = self._clock.now(), self._clock.monotonic()
            self._look_at_clock((now - wall).total_seconds() - (steady_now - steady))
            wall, steady = now, steady_now
            self._look_at_tasks()

    async def _watch_desires(self) -> None:
        pause_s = _LOOK_EVERY_S
        while True:
            await self._clock.sleep(pause_s)
            answered = await self._look_for_the_astray()
            pause_s = _LOOK_EVERY_S if answered else min(2 * pause_s, _ASK_AGAIN_WITHIN_S)

    def _look_at_clock(self, jump_s: float) -> None:
        if abs(jump_s) < _CLOCK_JUMP_S:
            return
        self.clock_jump_s = jump_s
        log.warning("clock_jumped", seconds=round(jump_s, 1))
        for task in list(self._tasks.values()):
            task.check()
        self._clock_set()

    def _look_at_tasks(self) -> None:
        for task in list(self._tasks.values()):
            if task.overdue_s > _OVERDUE_S:
                log.error("session_overdue", session=task.session, seconds=task.overdue_s)
                task.tell(Due())

    async def _look_for_the_astray(self) -> bool:
        """Have each go where it is wanted; tell whether the database answered."""
        for session in self._astray():
            try:
                await self._guide(session)
            except NotFound:
                continue  # deleted meanwhile
            except StorageUnavailable as error:
                log.warning("session_not_read", session=session, reason=str(error))
                return False  # the next look asks again
            except StorageError as error:
                # Of this one alone; those behind it are not to wait for it to be mended.
                log.warning("session_not_read", session=session, reason=str(error))
        return True
