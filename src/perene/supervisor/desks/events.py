"""The outbox as the API reads it, and the bell that rings when there is more."""

import asyncio
import contextvars
from collections.abc import Callable, Collection, Coroutine, Hashable
from typing import Any, TypeVar

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.supervisor.ports import EventPage, StoredEvent
from perene.supervisor.storage.store import EventRow, Outbox

T = TypeVar("T")

_SPAN = 20_000
"""Events among which those of some types are looked for at a time, some milliseconds.

To look through all of a large outbox takes longer than the database may: it would fail each time,
and a few who ask that would hold every thread that reads, for which every session waits then.
"""


class EventFeed:
    """Implements `ports.Events` on the store.

    Every ring wakes all who wait, and most of them ask the same: hundreds of streams that each read
    it for themselves would keep the sessions from their work. So who asks what somebody is reading
    gets the same answer, if that reading was begun after the last ring.
    """

    def __init__(self, store: Outbox, *, span: int = _SPAN) -> None:
        self._store = store
        self._span = span
        self._changed = asyncio.Event()
        self._reading: dict[tuple[Hashable, ...], asyncio.Task[Any]] = {}

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
        return await self._shared(
            (seq, session, tuple(types), limit), lambda: self._page(seq, session, types, limit)
        )

    async def _page(
        self, seq: int, session: SessionId | None, types: Collection[EventType], limit: int
    ) -> EventPage:
        # Read before the page: what is committed in between belongs to the next page.
        last = await self._last_seq()
        found: list[EventRow] = []
        searched = seq
        while True:
            until = None
            if types and last - searched > self._span:
                until = await self._store.reach(
                    searched, count=self._span, session=session, types=types
                )
            found += await self._store.events_after(
                searched, limit=limit - len(found), session=session, types=types, until=until
            )
            if until is None or len(found) >= limit:
                break
            searched = until
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
        return await self._last_seq()

    async def wait_for_new(self, seq: int) -> None:
        while True:
            changed = self._changed
            if await self._last_seq() != seq:
                return
            await changed.wait()

    async def _last_seq(self) -> int:
        return await self._shared((), self._store.last_seq)

    async def _shared(
        self, question: tuple[Hashable, ...], read: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        key = (self._changed, question)
        reading = self._reading.get(key)
        if reading is None:
            # In no reader's context, for it goes on for the others when that one has gone.
            reading = asyncio.create_task(read(), context=contextvars.Context())
            self._reading[key] = reading
            reading.add_done_callback(lambda done: self._read(key, done))
        return await asyncio.shield(reading)

    def _read(self, key: tuple[Hashable, ...], done: "asyncio.Task[Any]") -> None:
        del self._reading[key]
        if not done.cancelled():
            done.exception()  # looked at: all who asked may have gone
