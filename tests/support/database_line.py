"""The way from one service to its database, which can be cut while others have theirs."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

from perene.core.clock import Clock
from perene.core.errors import StorageUnavailable
from perene.process.threads import Threads
from perene.store.database import Database

T = TypeVar("T")

_GIVEN_UP_S: Final = 10.0
"""After so long nobody waits for an answer any more that was on its way when it was cut."""


class DatabaseLine:
    """Lies before a database that was just opened; what is made of that later has the same."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._silent = False
        self._well = asyncio.Event()
        self._well.set()
        limit, hand_over = database.limit, database.hand_over

        async def run(threads: Threads, work: Callable[[], T]) -> T:
            if self._well.is_set():
                result = await hand_over(threads, work)
                if self._well.is_set():
                    return result
                await self._silence()
            elif self._silent:
                await self._well.wait()
            raise StorageUnavailable("the connection to the server was lost")

        def limited(seconds: float) -> AbstractAsyncContextManager[object]:
            return limit(seconds) if self._well.is_set() else clock.limit(seconds)

        setattr(database, "hand_over", run)  # noqa: B010  # a method
        database.limit = limited

    def cut(self, *, silent: bool) -> None:
        """Let nothing come through: it is told at once, or when nobody waits any more."""
        self._silent = silent
        self._well.clear()

    def mend(self) -> None:
        """Let everything come through that is asked from now on."""
        self._well.set()

    async def _silence(self) -> None:
        try:
            async with self._clock.limit(_GIVEN_UP_S):
                await self._well.wait()
        except TimeoutError:
            return
