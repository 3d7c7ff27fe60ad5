"""The outbox as the API reads it, and the bell that rings when there is more."""

import asyncio
from collections.abc import Collection

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.supervisor.ports import EventPage, StoredEvent
from perene.supervisor.storage.store import Outbox


class EventFeed:
    """Implements `ports.Events` on the store."""

    def __init__(self, store: Outbox) -> None:
        self._store = store
        self._changed = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits: there may be new events."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def after(
        self,
        seq: int,
        *,
        session: SessionId | None,
        types: Collection[EventType],
        limit: int,
    ) -> EventPage:
        # Read before the page: what is committed in between belongs to the next page.
        last = await self._store.last_seq()
        found = await self._store.events_after(seq, limit=limit, session=session, types=types)
        items = [
            StoredEvent(seq=one.seq, session=one.session or SessionId(""), event=one.event)
            for one in found
        ]
        if len(items) == limit:
            position = items[-1].seq
        else:
            position = max(last, items[-1].seq if items else 0)
        return EventPage(items=items, position=position)

    async def latest(self) -> int:
        return await self._store.last_seq()

    async def wait_for_new(self, seq: int) -> None:
        while True:
            changed = self._changed
            if await self._store.last_seq() != seq:
                return
            await changed.wait()
