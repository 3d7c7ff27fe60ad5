"""What is asked of a session is done in turn, one change after the other."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from perene.core.ids import SessionId


class Changes:
    """Lets one change of a session's desire be under way at a time."""

    def __init__(self) -> None:
        self.asked: set[SessionId] = set()
        """The sessions of which something has been asked."""
        self._locks: dict[SessionId, asyncio.Lock] = {}

    @asynccontextmanager
    async def turn(self, session: SessionId) -> AsyncGenerator[None]:
        """Wait until nobody else changes a session, and keep others from it meanwhile."""
        while True:
            self.asked.add(session)
            lock = self._locks.setdefault(session, asyncio.Lock())
            async with lock:
                # The session may have been deleted while we waited, and be another one by now.
                if self._locks.get(session) is lock:
                    yield
                    return

    def under_way(self, session: SessionId) -> bool:
        """Tell whether somebody changes a session now."""
        lock = self._locks.get(session)
        return lock is not None and lock.locked()

    def forget(self, session: SessionId) -> None:
        """A session was deleted: whoever waits for it waits for the next one of its name."""
        self._locks.pop(session, None)
