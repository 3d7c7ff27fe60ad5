"""What the server kept is pulled batch by batch, until it says that nothing is left."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from perene.engine.answers import Answers
from perene.engine.offline import OfflineDelivery
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock

STANZA = Node("message", {"offline": "1"})


class Pulls(Answers):
    """Keeps what is asked for instead of sending it."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    @property
    def count(self) -> int:
        return len(self.nodes)

    def put(self, commit: object, *nodes: Node) -> None:
        self.nodes += nodes


class Desk:
    """A delivery on a clock of its own."""

    def __init__(self) -> None:
        self.clock, self.pulls = VirtualClock(), Pulls()
        self.delivery = OfflineDelivery(self.pulls, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.delivery.run())
        try:
            yield
        finally:
            task.cancel()

    async def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            for _ in range(5):
                await asyncio.sleep(0)
            await self.clock.advance(1.0)
        for _ in range(5):
            await asyncio.sleep(0)


async def test_without_a_queue_nothing_is_ever_pulled() -> None:
    desk = Desk()
    async with desk.running():
        await desk.pass_time(600)
    assert desk.pulls.count == 0


async def test_a_full_batch_is_followed_by_the_next_at_once() -> None:
    desk = Desk()
    desk.delivery.previewed(Node("offline_preview", {"count": "500"}))
    for _ in range(200):
        desk.delivery.arrived(STANZA)
    assert desk.pulls.nodes == [Node("ib", {}, (Node("offline_batch", {"count": "200"}),))] * 2


async def test_what_is_written_now_is_of_no_batch() -> None:
    desk = Desk()
    desk.delivery.previewed(Node("offline_preview"))
    for _ in range(500):
        desk.delivery.arrived(Node("message"))
    assert desk.pulls.count == 1


async def test_while_a_batch_still_comes_nothing_is_pulled() -> None:
    desk = Desk()
    async with desk.running():
        desk.delivery.previewed(Node("offline_preview", {"count": "500"}))
        for _ in range(100):
            desk.delivery.arrived(STANZA)
            await desk.pass_time(1)
    assert desk.pulls.count == 1


async def test_a_batch_that_stays_short_is_followed_by_the_next_soon() -> None:
    desk = Desk()
    async with desk.running():
        desk.delivery.previewed(Node("offline_preview", {"count": "500"}))
        desk.delivery.arrived(STANZA)
        await desk.pass_time(5)
        assert desk.pulls.count == 3


async def test_once_the_server_says_so_nothing_more_is_pulled() -> None:
    desk = Desk()
    async with desk.running():
        desk.delivery.previewed(Node("offline_preview", {"count": "500"}))
        desk.delivery.ended()
        for _ in range(300):
            desk.delivery.arrived(STANZA)
        await desk.pass_time(60)
        assert desk.clock.asleep == []
    assert desk.pulls.count == 1


async def test_a_server_that_brings_nothing_is_asked_for_a_minute_and_then_left_alone() -> None:
    desk = Desk()
    async with desk.running():
        desk.delivery.previewed(Node("offline_preview", {"count": "500"}))
        await desk.pass_time(70)
        asked = desk.pulls.count
        await desk.pass_time(600)
        assert desk.pulls.count == asked == 31

        desk.delivery.arrived(STANZA)
        await desk.pass_time(5)
        assert desk.pulls.count > asked
