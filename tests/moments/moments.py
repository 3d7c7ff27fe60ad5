"""Every moment in which Perene has just changed something outside itself.

Outside are the database and the server. Between two such moments it makes no difference when
something happens: what was only in memory, nobody else has seen.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

from perene.process.threads import Threads
from perene.store.database import Database
from tests.support.network import Wire
from tests.support.world import DESK, World

T = TypeVar("T")

Befall = Callable[[str], Awaitable[None]]
"""What happens in a moment of that name; what it raises, comes in place of the answer."""

WRITE: Final = "write"
"""A transaction that was committed."""

_WRITING: Final = "perene-write"
"""The name of the database's writing thread. Reads change nothing."""

_WRITE_LATE: Final = (0, 10, 200, 200)
_SEND_LATE: Final = (0, 0, 0, 10)
"""For how many turns of the event loop either may be late, by chance. Whatever does not wait for a
write comes before it."""


class Moments:
    """Counts the moments of a world from now on, and lets something befall it in some of them.

    What is written and sent is late by chance, drawn from the seed: with another one, things happen
    in another order, as far as Perene leaves it open. Sessions beside DESK have part in that; what
    they dial and send is no moment.
    """

    def __init__(self, world: World, befall: Mapping[int, Befall], *, seed: int) -> None:
        self._names: list[str] = []
        """What each moment so far came after: WRITE, "dial" or "send"; the first is number 1."""
        self._world = world
        self._befall = dict(befall)
        self._frozen = False
        self._dice = random.Random(seed)
        world.storage.in_line = True
        self._watch_storage()
        self._watch_network()

    def freeze(self) -> None:
        """Let nothing go on, as in a process that was killed."""
        self._frozen = True

    def thaw(self) -> None:
        """Let what begins from now on go on; whatever was frozen never does."""
        self._frozen = False

    def enough(self) -> tuple[str, ...]:
        """Let nothing befall the world any more; return the names of the moments so far."""
        self._befall.clear()
        return tuple(self._names)

    # --- what is outside --------------------------------------------------------------------------

    def _watch_storage(self) -> None:
        attach = self._world.storage.attach

        def attached(database: Database) -> None:
            attach(database)
            self._watch(database)

        setattr(self._world.storage, "attach", attached)  # noqa: B010  # a method
        self._watch(self._world.perene.store.database)

    def _watch(self, database: Database) -> None:
        hand_over = database.hand_over

        async def handed_over(threads: Threads, work: Callable[[], T]) -> T:
            if threads.name != _WRITING:
                await self._go_on()
                return await hand_over(threads, work)
            await self._come_late(_WRITE_LATE)
            result = await hand_over(threads, work)
            await self._after(WRITE)
            return result

        setattr(database, "hand_over", handed_over)  # noqa: B010  # a method

    def _watch_network(self) -> None:
        dial = self._world.network.dial

        async def dialled(session: str) -> Wire:
            await self._go_on()
            wire = await dial(session)
            self._follow(wire, session)
            await self._after("dial", session)
            return wire

        setattr(self._world.network, "dial", dialled)  # noqa: B010  # a method

    def _follow(self, wire: Wire, session: str) -> None:
        send, receive = wire.send, wire.receive

        async def sent(data: bytes) -> None:
            await self._come_late(_SEND_LATE)
            await send(data)
            await self._after("send", session)

        async def received() -> bytes:
            data = await receive()
            await self._go_on()
            return data

        setattr(wire, "send", sent)  # noqa: B010  # methods
        setattr(wire, "receive", received)  # noqa: B010

    async def _come_late(self, turns: Sequence[int]) -> None:
        for _ in range(self._dice.choice(turns)):
            await asyncio.sleep(0)
        await self._go_on()

    async def _after(self, what: str, session: str = DESK) -> None:
        if session == DESK:
            self._names.append(what)
            befall = self._befall.pop(len(self._names), None)
            if befall is not None:
                await befall(what)
        await self._go_on()

    async def _go_on(self) -> None:
        """Return at once, or never."""
        if self._frozen:
            await asyncio.get_running_loop().create_future()
