"""The events that Perene has told of, and waiting for more of them."""

import asyncio
from collections.abc import Sequence

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.payloads import PAYLOADS
from perene.supervisor.ports import StoredEvent
from tests.support.passing import PassingTime
from tests.support.perene import DESK, Perene
from tests.support.record import PATIENCE_S


class Events:
    """Looks at what is stored, over all starts of Perene.

    A wait looks at what there is after `since` first and then at what comes, so nothing is missed
    between two lines of a test. A wait that is not met fails with what did happen.
    """

    def __init__(self, perene: Perene, time: PassingTime) -> None:
        self._perene = perene
        self._time = time

    async def now(self) -> int:
        """Return the position behind the last event, to look only at what follows."""
        return await self._perene.feed.latest()

    async def seen(self, *types: EventType, since: int = 0) -> Sequence[StoredEvent]:
        """Return every event (of these types) after a position.

        Whatever a scenario makes happen, nothing is told that the reference does not name.
        """
        page = await self._perene.feed.after(since, session=None, types=types, limit=10_000)
        for one in page.items:
            assert set(one.event.payload) <= set(PAYLOADS[one.event.type]), one.event
        return page.items

    async def wait(
        self, kind: EventType, *, since: int = 0, session: SessionId = DESK, **facts: object
    ) -> StoredEvent:
        """Return the first event of a type with these facts, waiting for it."""
        return (await self.wait_many(kind, 1, since=since, session=session, **facts))[0]

    async def wait_many(
        self,
        kind: EventType,
        count: int,
        *,
        since: int = 0,
        session: SessionId = DESK,
        **facts: object,
    ) -> Sequence[StoredEvent]:
        """Return the events of a type with these facts, once there are so many."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    changed = self._time.listen()
                    found = [
                        one
                        for one in await self.seen(kind, since=since)
                        if one.session == session
                        and all(one.event.payload.get(k) == v for k, v in facts.items())
                    ]
                    if len(found) >= count:
                        return found
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"waited for {count} x {kind} {facts}; {await self.recent()}"
            ) from None

    async def recent(self) -> str:
        """Return what a wait that was in vain shows of what happened."""
        seen = [(one.event.type.value, dict(one.event.payload)) for one in await self.seen()]
        return f"the events were {seen[-12:]}"
