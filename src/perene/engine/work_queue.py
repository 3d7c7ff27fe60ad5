"""Work that must ask the server, done beside the reading of stanzas."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from perene.core.clock import Clock
from perene.engine.errors import QueryFailed, QueryTimedOut

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What a job leaves to be done after a while; others are not to wait for it."""

    after_s: float
    work: "Work"


Work = Callable[[], Awaitable[Rest | None]]

MAX_WAITING = 500
"""Jobs that wait for the server. A retry request beyond them is not answered, and so comes again
with the next connection; other jobs are repeated by their own occasions."""


class WorkQueue:
    """Does one job after the other. The reading never waits for it: what is too much is dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rests: set[asyncio.Task[None]] = set()
        self._waiting: asyncio.Queue[Work] = asyncio.Queue(MAX_WAITING)

    def later(self, work: Work) -> bool:
        """Queue a job, or tell that it will not be done: see MAX_WAITING.

        Who remembers that it waits must forget it then, for it to be asked for again.
        """
        try:
            self._waiting.put_nowait(work)
        except asyncio.QueueFull:
            return False
        return True

    async def run(self) -> None:
        """Work until cancelled; raises what a job raises, unless the server did not help it."""
        try:
            while True:
                work = await self._waiting.get()
                try:
                    rest = await work()
                except (QueryFailed, QueryTimedOut) as error:
                    # The occasion of every job comes again.
                    log.warning("server_did_not_help", reason=str(error))
                    continue
                if rest is not None and len(self._rests) < MAX_WAITING:
                    task = asyncio.create_task(self._queue(rest), name="rest of a job")
                    self._rests.add(task)
                    task.add_done_callback(self._rests.discard)
        finally:
            for task in self._rests:
                task.cancel()

    async def _queue(self, rest: Rest) -> None:
        await self._clock.sleep(rest.after_s)
        self.later(rest.work)
