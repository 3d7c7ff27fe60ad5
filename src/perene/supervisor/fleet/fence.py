"""Keeping out whoever drove the sessions before this service did."""

import asyncio
from collections.abc import Mapping

from perene.core.ids import Epoch, SessionId
from perene.supervisor.storage.store import Sessions


class Fence:
    """Refuses the writes of a service whose place this one has taken, before anything is read.

    One that was given up too early, or whose host stood still, comes back with commits in hand.
    What it still stored after a session was read, and before that was acquired, would be written
    over: a ban that it was told of, or that people were told of a login.
    """

    def __init__(self, store: Sessions) -> None:
        self._store = store
        self._raising = asyncio.Lock()
        self._found: Mapping[SessionId, Epoch] | None = None
        self.is_up = False
        """Whether sessions may be acquired: it was raised, or waived."""

    def waive(self) -> None:
        """Let sessions be acquired without it; it is never raised then, for they are our own."""
        self.is_up = True

    async def up(self, found: Mapping[SessionId, Epoch] | None = None) -> None:
        """Return when no earlier owner can write any more; at once if that was seen to before.

        `found` are the epochs, for who has read them. No session may be acquired before. Raises
        StorageError; call it again then.
        """
        async with self._raising:
            # Kept for the next try: one that was unheard may be committed after it.
            if self._found is None:
                self._found = found
            while not self.is_up:
                if self._found is None:
                    self._found = await self._store.epochs()
                if await self._store.fence(self._found):
                    self.is_up = True
                else:
                    self._found = None
