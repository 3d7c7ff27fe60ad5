"""The life of a connection's parts: what runs from when on, and how it ends in order."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import cast
from unittest.mock import AsyncMock, Mock

import pytest

from perene.core.causes import Local
from perene.core.unit import Committed
from perene.engine import endings
from perene.engine.answers import Answers, acknowledge
from perene.engine.channel import Channel
from perene.engine.conversation import Conversation
from perene.engine.errors import ConnectionEnded
from perene.engine.intake import MAX_BATCH, Intake
from perene.engine.queries import Queries
from perene.engine.work_queue import WorkQueue
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import MemoryStore, Wire, line_on, stage_on

DRAIN_S = 10.0


class Socket:
    """What arrives; an error among it ends the connection."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[list[Node] | ConnectionEnded] = asyncio.Queue()

    async def receive(self) -> list[Node]:
        arrived = await self.arrived.get()
        if isinstance(arrived, ConnectionEnded):
            raise arrived
        return arrived


class Idle:
    """A part that has nothing to do, and is there as long as the connection."""

    def __init__(self) -> None:
        self.runs = False
        self.wake = Mock()

    async def run(self) -> None:
        self.runs = True
        try:
            await asyncio.Event().wait()
        finally:
            self.runs = False


class Talk:
    """A conversation whose stanzas are each acknowledged after a commit of their own."""

    def __init__(self) -> None:
        self.clock, self.wire, self.socket = VirtualClock(), Wire(), Socket()
        self.commits: list[asyncio.Future[Committed]] = []
        self.auto = True
        self.may_process = asyncio.Event()
        self.may_process.set()
        self.batches: list[int] = []
        names = ("keepalive", "welcome", "codes", "listening", "offline")
        self.parts = {name: Idle() for name in names}
        self.send_loop = Idle()
        self.login, self.phone_ping, self.linking = Mock(), AsyncMock(), AsyncMock()
        self.phone_resends = Mock()
        self.login.complete = AsyncMock()
        self.keepalive = Mock(run=self.parts["keepalive"].run)
        self.listening = Mock(run=self.parts["listening"].run)
        self.linking.by_qr.show = self.parts["codes"].run
        self.linking.closed = Mock()
        self.work = WorkQueue(self.clock)
        self.queries = Queries(self.wire.send, 60.0, self.clock)
        self.answers = Answers(cast("Channel", self.wire), self.clock, delay_s=0.5, max_waiting=300)
        self.intake = Intake(cast("Channel", self.socket), self.queries, max_waiting=10_000)
        self.stage = stage_on(MemoryStore())
        self.conversation = Conversation(
            line_on(
                self.stage,
                queries=self.queries,
                clock=self.clock,
                answers=self.answers,
            ),
            intake=self.intake,
            dispatcher=self,  # pyright: ignore[reportArgumentType]  # all that is used of one
            work=self.work,
            keepalive=self.keepalive,
            welcome=self.parts["welcome"],  # pyright: ignore[reportArgumentType]
            login=self.login,
            linking=self.linking,
            send_loop=self.send_loop,  # pyright: ignore[reportArgumentType]
            offline=self.parts["offline"],  # pyright: ignore[reportArgumentType]
            listening=self.listening,
            phone_ping=self.phone_ping,
            phone_resends=self.phone_resends,
            drain_timeout_s=DRAIN_S,
        )
        self.stopping = asyncio.Event()
        self.log_out = False

    async def dispatch(self, nodes: Sequence[Node]) -> None:
        self.batches.append(len(nodes))
        await self.may_process.wait()
        for node in nodes:
            commit: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
            self.commits.append(commit)
            self.answers.put(commit, acknowledge(node))
        if self.auto:
            self.commit()

    def commit(self) -> None:
        for one in self.commits:
            if not one.done():
                one.set_result(Committed(new_messages=1))

    @property
    def answered(self) -> list[str]:
        return [node.attr("id") for node in self.wire.sent if node.tag == "ack"]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["asyncio.Task[bool]"]:
        task = asyncio.create_task(
            self.conversation.run(self.stopping, log_out=lambda: self.log_out)
        )
        await turns()
        yield task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def stanzas(count: int) -> list[Node]:
    return [Node("message", {"id": str(n), "from": "1@lid"}) for n in range(count)]


def numbers(count: int) -> list[str]:
    return [str(n) for n in range(count)]


@pytest.fixture
def talk() -> Talk:
    return Talk()


async def test_a_connection_is_watched_from_its_first_moment_to_its_last(talk: Talk) -> None:
    async with talk.running():
        assert [name for name, part in talk.parts.items() if not part.runs] == []
    assert [name for name, part in talk.parts.items() if part.runs] == []


async def test_messages_leave_only_after_the_login_is_complete(talk: Talk) -> None:
    completed = asyncio.Event()
    talk.login.complete = completed.wait
    async with talk.running():
        talk.conversation.ping_phone()
        talk.login.on_success()
        await turns()
        assert not talk.send_loop.runs
        completed.set()
        await turns()
        assert talk.send_loop.runs
        talk.phone_ping.send.assert_not_awaited()
        talk.conversation.ping_phone()
        await turns()
        talk.phone_ping.send.assert_awaited_once_with()
    assert not talk.send_loop.runs


async def test_who_doubts_the_connection_has_it_proved_soon(talk: Talk) -> None:
    talk.conversation.check()
    talk.keepalive.hurry.assert_called_once_with()


async def test_who_has_queued_a_message_has_the_queue_looked_at(talk: Talk) -> None:
    talk.conversation.wake_sender()
    talk.send_loop.wake.assert_called_once_with()


async def test_a_stop_answers_what_was_taken_and_leaves_the_rest_to_the_server(talk: Talk) -> None:
    talk.auto = False
    talk.may_process.clear()
    async with talk.running() as task:
        talk.login.on_success()
        await talk.socket.arrived.put(stanzas(MAX_BATCH + 5))
        await turns()
        talk.stopping.set()
        await turns()
        assert (task.done(), talk.send_loop.runs) == (False, False)
        talk.may_process.set()
        await turns()
        assert (task.done(), talk.answered) == (False, [])
        talk.commit()
        assert await task is False
    assert talk.answered == numbers(MAX_BATCH)
    assert talk.batches == [MAX_BATCH]
    talk.listening.closed.assert_called_once_with()
    talk.linking.closed.assert_called_once_with()
    talk.linking.undo.assert_not_awaited()


async def test_a_login_that_is_complete_only_after_a_stop_sends_nothing(talk: Talk) -> None:
    completed = asyncio.Event()
    talk.login.complete = completed.wait
    talk.auto = False
    async with talk.running() as task:
        talk.login.on_success()
        await talk.socket.arrived.put(stanzas(1))
        await turns()
        talk.stopping.set()
        await turns()
        completed.set()
        await turns()
        assert (task.done(), talk.send_loop.runs) == (False, False)
        talk.commit()
        assert await task is False


async def test_a_stop_interrupts_no_change_of_what_the_last_stanzas_are_read_by(talk: Talk) -> None:
    """A pair of addresses that was noted, and whose ratchets were not moved, is one such."""
    may_end, done = asyncio.Event(), Mock()

    async def change() -> None:
        async with talk.stage.lock:
            await may_end.wait()
            done()
        await asyncio.Event().wait()

    talk.send_loop.run = change
    async with talk.running() as task:
        talk.login.on_success()
        await turns()
        talk.stopping.set()
        await turns()
        assert not task.done()
        may_end.set()
        assert await task is False
    done.assert_called_once_with()


@pytest.mark.parametrize("stuck", ["processing", "commit", "draft"])
async def test_a_stop_does_not_wait_for_ever(talk: Talk, stuck: str) -> None:
    talk.auto = False
    if stuck == "processing":
        talk.may_process.clear()
    if stuck == "draft":
        await talk.stage.lock.acquire()
    async with talk.running() as task:
        await talk.socket.arrived.put(stanzas(3))
        await turns()
        talk.stopping.set()
        await talk.clock.until_asleep(DRAIN_S)
        await talk.clock.advance(DRAIN_S - 1)
        assert not task.done()
        await talk.clock.advance(1)
        assert await task is False
    assert talk.answered == []


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_logout_asks_whatsapp_first_and_says_what_came_of_it(
    talk: Talk, *, forgotten: bool
) -> None:
    talk.log_out = True
    talk.auto = False
    talk.linking.undo.return_value = forgotten
    async with talk.running() as task:
        await talk.socket.arrived.put(stanzas(1))
        await turns()
        talk.stopping.set()
        await turns()
        talk.linking.undo.assert_awaited_once_with()
        assert not task.done()
        talk.commit()
        assert await task is forgotten
    assert talk.answered == ["0"]


async def test_what_came_before_something_malformed_is_answered(talk: Talk) -> None:
    """Or it would come again and again, with the malformed stanza behind it."""
    talk.auto = False
    count = 2 * MAX_BATCH
    async with talk.running() as task:
        await talk.socket.arrived.put(stanzas(count))
        await talk.socket.arrived.put(endings.local(Local.MALFORMED, "odd"))
        await turns()
        for _ in range(10):
            talk.commit()
            await turns()
        with pytest.raises(ExceptionGroup) as ended:
            await task
    [error] = ended.value.exceptions
    assert isinstance(error, ConnectionEnded)
    assert error.ending.code == Local.MALFORMED
    assert talk.answered == numbers(count)


async def test_a_socket_that_closes_ends_the_connection_at_once(talk: Talk) -> None:
    talk.auto = False
    async with talk.running() as task:
        asking = asyncio.create_task(talk.queries.ask("w:p", "get"))
        await talk.socket.arrived.put(stanzas(1))
        await talk.socket.arrived.put(endings.local(Local.SOCKET_CLOSED, "gone"))
        await turns()
        with pytest.raises(ExceptionGroup):
            await task
        with pytest.raises(ConnectionEnded):
            await asking
    talk.listening.closed.assert_called_once_with()
    talk.linking.closed.assert_called_once_with()


async def test_nothing_is_processed_while_there_is_no_room_for_answers(talk: Talk) -> None:
    talk.auto = False
    async with talk.running():
        await talk.socket.arrived.put(stanzas(3 * MAX_BATCH))
        await turns()
        await turns()
        assert talk.batches == [MAX_BATCH, MAX_BATCH]
        talk.commit()
        await turns()
        await turns()
        assert talk.batches == [MAX_BATCH] * 3
