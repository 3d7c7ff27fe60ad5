"""Work that must ask the server, done beside the reading of stanzas."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from perene.engine.errors import QueryFailed, QueryTimedOut

log = structlog.stdlib.get_logger()

Work = Callable[[], Awaitable[None]]

MAX_WAITING = 500
"""Jobs that wait for the server. A retry request beyond them is not answered, and so comes again
with the next connection; other jobs are repeated by their own occasions."""


class WorkQueue:
    """Does one job after the other. The reading never waits for it: what is too much is dropped."""

    def __init__(self) -> None:
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
        while True:
            work = await self._waiting.get()
            try:
                await work()
            except (QueryFailed, QueryTimedOut) as error:
                # The occasion of every job comes again.
                log.warning("server_did_not_help", reason=str(error))
