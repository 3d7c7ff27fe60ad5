"""Two processes at one PostgreSQL: one is held up by what the other has not committed yet."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy import Connection, text

from perene.store.database import Database
from tests.support.record import PATIENCE_S

First = TypeVar("First")
Second = TypeVar("Second")


async def together(
    first: Database, work: Callable[[Connection], First], second: Awaitable[Second]
) -> tuple[First, Second]:
    """Commit `work` once `second`, of another process, waits for it; return what became of both."""
    loop, done, late = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def commit_when_somebody_waits(connection: Connection) -> First:
        result = work(connection)
        loop.call_soon_threadsafe(done.set)
        waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        while not connection.execute(waits).scalar_one():
            if late.is_set():
                raise AssertionError("nobody waits")
            connection.execute(text("SELECT pg_stat_clear_snapshot()"))
        return result

    async def follow() -> Second:
        await done.wait()
        try:
            return await second
        finally:
            late.set()

    async with asyncio.timeout(PATIENCE_S):
        results = await asyncio.gather(first.write(commit_when_somebody_waits), follow())
    return results[0], results[1]
