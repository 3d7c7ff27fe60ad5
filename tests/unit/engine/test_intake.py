"""What is read ahead of the processing: in order, bounded, and answers before all else."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from perene.engine.channel import Channel
from perene.engine.endings import ending_of
from perene.engine.errors import ConnectionEnded
from perene.engine.intake import MAX_BATCH, Intake
from perene.engine.queries import Queries
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock

ROOM = 300


class Socket:
    """A channel that a test writes to."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[list[Node]] = asyncio.Queue()

    async def receive(self) -> list[Node]:
        return await self.arrived.get()

    async def write(self, *nodes: Node) -> None:
        """Let nodes arrive together, and be read if the socket is read at all."""
        self.arrived.put_nowait(list(nodes))
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def unread(self) -> int:
        return self.arrived.qsize()


class Desk:
    """An intake that reads a socket."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.asked: list[Node] = []
        self.queries = Queries(self._ask, 60.0, VirtualClock())
        self.intake = Intake(cast("Channel", self.socket), self.queries, max_waiting=ROOM)
        self.reading = asyncio.create_task(self.intake.read())

    async def _ask(self, node: Node) -> None:
        self.asked.append(node)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    one = Desk()
    yield one
    one.reading.cancel()
    await asyncio.gather(one.reading, return_exceptions=True)


def stanzas(count: int, *, first: int = 0) -> list[Node]:
    return [Node("message", {"id": str(n)}) for n in range(first, first + count)]


@pytest.mark.requirement("C8")
async def test_stanzas_are_handed_on_in_their_order_so_many_at_a_time(desk: Desk) -> None:
    waiting = asyncio.create_task(desk.intake.batch())
    arrived = stanzas(MAX_BATCH + 5)
    await desk.socket.write(arrived[0])
    assert await waiting == arrived[:1]
    await desk.socket.write(*arrived[1:])
    assert await desk.intake.batch() == arrived[1 : MAX_BATCH + 1]
    assert await desk.intake.batch() == arrived[MAX_BATCH + 1 :]


async def test_an_answer_does_not_wait_behind_what_came_before_it(desk: Desk) -> None:
    asking = asyncio.create_task(desk.queries.ask("w:p", "get"))
    await asyncio.sleep(0)
    answer = Node("iq", {"id": desk.asked[0].attrs["id"], "type": "result"})
    other = Node("iq", {"id": "x", "type": "result"})
    await desk.socket.write(*stanzas(3), other, answer)
    assert await asking is answer
    assert await desk.intake.batch() == [*stanzas(3), other]


async def test_everything_that_arrives_is_a_sign_of_life(desk: Desk) -> None:
    signs: list[int] = []
    desk.intake.on_any = lambda: signs.append(1)
    await desk.socket.write(*stanzas(2), Node("iq", {"id": "x", "type": "result"}))
    assert len(signs) == 3


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (Node("failure", {"reason": "401"}), "401"),
        (Node("stream:error", {"code": "515"}), "515"),
        (Node("xmlstreamend"), ""),
    ],
)
async def test_the_servers_last_words_do_not_wait_behind_what_came_before_them(
    desk: Desk, last: Node, code: str
) -> None:
    await desk.socket.write(*stanzas(3), last)
    with pytest.raises(ConnectionEnded) as caught:
        await desk.reading
    ending = ending_of(caught.value)
    assert ending is not None
    assert ending.code == code
    assert await desk.intake.batch() == stanzas(3)


@pytest.mark.requirement("C1")
async def test_a_socket_is_left_alone_while_the_processing_does_not_keep_up(desk: Desk) -> None:
    await desk.socket.write(*stanzas(ROOM - 1))
    assert not desk.intake.is_paused
    await desk.socket.write(*stanzas(1, first=ROOM - 1))
    assert (desk.intake.is_paused, desk.intake.pauses) == (True, 1)
    await desk.socket.write(*stanzas(1, first=ROOM))
    # What was being waited for is read still; what comes then stays where it is.
    await desk.socket.write(*stanzas(1, first=ROOM + 1))
    await desk.socket.write(*stanzas(1, first=ROOM + 2))
    assert desk.socket.unread >= 1

    await desk.intake.batch()
    assert not desk.intake.is_paused
    for _ in range(5):
        await asyncio.sleep(0)
    assert desk.socket.unread == 0
    left = [*await desk.intake.batch()]
    assert left == stanzas(ROOM + 3 - MAX_BATCH, first=MAX_BATCH)
    assert desk.intake.pauses == 1


async def test_a_socket_is_left_alone_until_there_is_room_again(desk: Desk) -> None:
    """What arrives together is taken together, however much it is."""
    await desk.socket.write(*stanzas(2 * ROOM))
    await desk.intake.batch()
    assert (desk.intake.is_paused, desk.intake.pauses) == (True, 1)
    await desk.intake.batch()
    assert not desk.intake.is_paused


async def test_emptied_waits_until_all_is_handed_on(desk: Desk) -> None:
    await desk.intake.emptied()
    await desk.socket.write(*stanzas(MAX_BATCH + 1))
    emptied = asyncio.create_task(desk.intake.emptied())
    await asyncio.sleep(0)
    await desk.intake.batch()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not emptied.done()
    await desk.intake.batch()
    await emptied


async def test_once_closed_nothing_is_taken_any_more_but_answers_and_last_words(
    desk: Desk,
) -> None:
    """What was not processed stays with the server, which delivers it to the next connection."""
    await desk.socket.write(*stanzas(ROOM))
    desk.intake.close()
    assert not desk.intake.is_paused
    asking = asyncio.create_task(desk.queries.ask("w:p", "get"))
    await asyncio.sleep(0)
    answer = Node("iq", {"id": desk.asked[0].attrs["id"], "type": "result"})
    await desk.socket.write(*stanzas(2), answer)
    assert await asking is answer
    await desk.intake.emptied()
    taken = asyncio.create_task(desk.intake.batch())
    await desk.socket.write(*stanzas(2), Node("xmlstreamend"))
    assert not taken.done()
    taken.cancel()
    with pytest.raises(ConnectionEnded):
        await desk.reading
