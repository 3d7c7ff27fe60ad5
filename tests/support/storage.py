"""The database under Perene, as sick as a test wants it: every transaction and every read."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum
from functools import partial
from itertools import chain, repeat
from typing import TypeVar

from perene.core.clock import Clock
from perene.core.errors import StorageUnavailable
from perene.process.threads import Threads
from perene.store.database import Database
from perene.store.failures import classify

T = TypeVar("T")


class Health(Enum):
    """What the database does with what it is asked."""

    WELL = "well"
    FAILING = "failing"
    """It refuses at once, as a server that is down."""
    UNREADABLE = "unreadable"
    """Its disk gives errors to whoever reads, which SQLite tells as it tells of a damaged file."""
    HANGING = "hanging"
    """It does nothing until it is well again; what nobody waits for any more is never done."""
    MUTE = "mute"
    """It does all, commits included, and answers only when it is well again."""


class Storage:
    """Stands before the database of each start of Perene; `asked` counts what came by.

    With `in_line` there are no threads: to hand over to one and back takes longer than most
    transactions do. What waits for a sick database gives up by `clock`; what is in a thread does so
    by the machine's, for no time passes there.
    """

    def __init__(self, clock: Clock, *, in_line: bool = False) -> None:
        self._clock = clock
        self.in_line = in_line
        self.asked = 0
        self._health = Health.WELL
        self._well = asyncio.Event()
        self._well.set()
        self._well_until: tuple[Callable[[], bool], Health] | None = None

    def falls_ill(
        self, health: Health, *, after: int = 0, once: Callable[[], bool] | None = None
    ) -> None:
        """Let nothing be answered as it should be from now on.

        Or after so many more questions, or from the first one on at which `once` holds.
        """
        if after:
            once = partial(next, chain(repeat(False, after), repeat(True)))
        if once is not None:
            self._well_until = (once, health)
            return
        self._well_until = None
        self._health = health
        self._well.clear()

    def recovers(self) -> None:
        """Answer again, also what has waited."""
        self._health = Health.WELL
        self._well.set()

    @property
    def is_ill(self) -> bool:
        """Whether it does not do as it should."""
        return not self._well.is_set()

    def attach(self, database: Database) -> None:
        """Stand before a database that was just opened."""
        in_thread = database.hand_over

        async def inner(threads: Threads, work: Callable[[], T]) -> T:
            return work() if self.in_line else await in_thread(threads, work)

        async def run(threads: Threads, work: Callable[[], T]) -> T:
            self.asked += 1
            match self._health:
                case Health.FAILING:
                    raise StorageUnavailable("the server closed the connection unexpectedly")
                case Health.UNREADABLE:
                    error = sqlite3.DatabaseError("database disk image is malformed")
                    error.sqlite_errorname = "SQLITE_CORRUPT"
                    raise classify(error) from error
                case Health.HANGING:
                    await self._well.wait()
                    return await inner(threads, work)
                case Health.MUTE:
                    result = await inner(threads, work)
                    await self._well.wait()
                    return result
                case Health.WELL:
                    return await inner(threads, work)

        setattr(database, "hand_over", run)  # noqa: B010  # a method
        database.limit = self._limit

    def _limit(self, seconds: float) -> AbstractAsyncContextManager[object]:
        if self._well_until is not None:
            is_time, health = self._well_until
            if is_time():
                self.falls_ill(health)
        return self._clock.limit(seconds) if self.is_ill else asyncio.timeout(seconds)
