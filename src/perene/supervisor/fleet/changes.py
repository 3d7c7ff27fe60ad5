"""What is asked of a session is done in turn, one change after the other."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import asynccontextmanager, contextmanager

from perene.core.errors import NotFound, StorageError
from perene.core.ids import SessionId


class Changes:
    """Lets one change of a session's desire be under way at a time."""

    def __init__(self) -> None:
        self.cut_short: set[SessionId] = set()
        """The sessions of which nobody knows whether the last change was stored."""
        self._locks: dict[SessionId, asyncio.Lock] = {}
        self._noted: set[SessionId] | None = None

    @contextmanager
    def noted(self) -> Generator[Collection[SessionId]]:
        """Give a collection that comes to hold each session of which something is asked meanwhile.

        What was asked before, and is under way still, counts. For one at a time.
        """
        noted = self._noted = {session for session in self._locks if self.under_way(session)}
        try:
            yield noted
        finally:
            self._noted = None

    @asynccontextmanager
    async def turn(self, session: SessionId) -> AsyncGenerator[None]:
        """Wait until nobody else changes a session, and keep others from it meanwhile.

        A change that a StorageError or a cancellation ends may have been stored all the same.
        """
        while True:
            if self._noted is not None:
                self._noted.add(session)
            lock = self._locks.setdefault(session, asyncio.Lock())
            async with lock:
                # The session may have been deleted while we waited, and be another one by now.
                if self._locks.get(session) is lock:
                    try:
                        yield
                    except (StorageError, asyncio.CancelledError):
                        self.cut_short.add(session)
                        raise
                    except NotFound:
                        # A creation that nobody has heard of may come true yet: `cut_short` stays.
                        self._locks.pop(session, None)
                        raise
                    self.cut_short.discard(session)
                    return

    @property
    def known(self) -> int:
        """How many sessions are remembered of whom something was asked."""
        return len(self._locks) + len(self.cut_short)

    def under_way(self, session: SessionId) -> bool:
        """Tell whether somebody changes a session now."""
        lock = self._locks.get(session)
        return lock is not None and lock.locked()

    def forget(self, session: SessionId) -> None:
        """There is no such session: whoever waits for it waits for the next one of its name."""
        self._locks.pop(session, None)
        self.cut_short.discard(session)
