"""Another session of the same service, which has its own life: nothing of the first shows in it."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from perene.core.events import EventType
from perene.core.ids import SessionId
from tests.support.world import World

SHOP: Final = SessionId("shop")
_OWN: Final = "5511970000002"
_DORA: Final = "5511970000013"


class Neighbour:
    """A session, and somebody who writes to it in between; linked before anything happens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._written: list[str] = []

    async def link(self) -> None:
        """Have it made and linked."""
        for phone, name in ((_OWN, "Shop"), (_DORA, "Dora")):
            self._world.simulator.add_contact(phone, name=name)
        await self._world.user.pair(SHOP, _OWN)

    def hear(self) -> None:
        """Let somebody write to it."""
        self._written.append(f"to the shop, {len(self._written)}")
        self._world.simulator.send_text(_DORA, _OWN, self._written[-1])

    async def problems(self, *, undisturbed: bool) -> AsyncIterator[str]:
        """Yield what went wrong with it; `undisturbed` if its connection had no reason to end."""
        stored = Counter(await self._world.stored.texts(session=SHOP))
        told = Counter(
            [
                one.event.payload["text"]
                for one in await self._world.events.seen(EventType.MESSAGE_RECEIVED)
                if one.session == SHOP
            ]
        )
        for what, found in (("stored", stored), ("told", told)):
            if found != Counter(self._written):
                yield f"of {self._written} the neighbour was {what} {dict(found)}"
        if left := len(self._world.server.device(_OWN).mailbox):
            yield f"{left} stanzas to the neighbour have no answer"
        ended = await self._world.events.seen(EventType.SESSION_DISCONNECTED)
        if undisturbed and any(one.session == SHOP for one in ended):
            yield "the neighbour was disconnected"
