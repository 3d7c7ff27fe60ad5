"""Answers leave in order, each after its commit, and never after a failed one."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from perene.core.causes import Local
from perene.core.errors import StaleEpoch, StorageError, StorageUnavailable
from perene.core.unit import Committed
from perene.engine.answers import MAX_BURST, Answers, acknowledge, receipt
from perene.engine.endings import ending_of
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import Wire

DONE = Committed(new_messages=0)
MAX_WAITING = 200


def commit() -> "asyncio.Future[Committed]":
    return asyncio.get_running_loop().create_future()


class Desk:
    """Answers on their way to a wire."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.clock = VirtualClock()
        self.answers = Answers(self.wire, self.clock, delay_s=0.5, max_waiting=MAX_WAITING)  # pyright: ignore[reportArgumentType]  # all that is used of a channel
        self.task = asyncio.create_task(self.answers.run())

    @property
    def sent(self) -> list[str]:
        return [node.tag for node in self.wire.sent]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    one = Desk()
    await asyncio.sleep(0)
    yield one
    one.task.cancel()
    await asyncio.gather(one.task, return_exceptions=True)


async def test_an_answer_waits_for_its_commit_and_for_those_before_it(desk: Desk) -> None:
    first, second = commit(), commit()
    desk.answers.put(first, Node("one"))
    desk.answers.put(second, Node("two"))
    desk.answers.put(None, Node("three"))
    second.set_result(DONE)
    for _ in range(5):
        await asyncio.sleep(0)
    assert desk.sent == []
    first.set_result(DONE)
    await desk.wire.until(3)
    assert desk.sent == ["one", "two", "three"]


@pytest.mark.requirement("C13")
@pytest.mark.parametrize(
    ("error", "code"),
    [(StorageUnavailable("down"), Local.STORAGE), (StaleEpoch("taken"), Local.STALE_EPOCH)],
)
async def test_after_a_failed_commit_nothing_leaves_any_more(
    desk: Desk, error: StorageError, code: Local
) -> None:
    first, second = commit(), commit()
    desk.answers.put(None, Node("before"))
    desk.answers.put(first, Node("one"))
    desk.answers.put(None, Node("behind"))
    desk.answers.put(second, Node("two"))
    await desk.wire.until(1)
    first.set_exception(error)
    second.set_result(DONE)
    with pytest.raises(BaseExceptionGroup) as caught:
        await desk.task
    ending = ending_of(caught.value)
    assert ending is not None
    assert ending.code == code
    assert desk.sent == ["before"]


async def test_a_long_queue_leaves_in_order(desk: Desk) -> None:
    count = 3 * MAX_BURST + 1
    for number in range(count):
        done = commit()
        done.set_result(DONE)
        desk.answers.put(done, Node(str(number)))
    await desk.answers.drained()
    assert desk.sent == [str(number) for number in range(count)]


async def test_drained_waits_for_the_last_answer(desk: Desk) -> None:
    await desk.answers.drained()
    last = commit()
    desk.answers.put(last)
    drained = asyncio.create_task(desk.answers.drained())
    await asyncio.sleep(0)
    assert not drained.done()
    last.set_result(DONE)
    await drained


async def test_room_is_closed_while_too_many_answers_wait(desk: Desk) -> None:
    gate = commit()
    for _ in range(MAX_WAITING):
        await desk.answers.room()
        desk.answers.put(gate)
    room = asyncio.create_task(desk.answers.room())
    await asyncio.sleep(0)
    assert not room.done()
    gate.set_result(DONE)
    await room


async def test_room_stays_closed_until_fewer_wait_however_many_have_left(desk: Desk) -> None:
    gate = commit()
    for _ in range(MAX_BURST):
        desk.answers.put(None, Node("early"))
    for _ in range(MAX_WAITING):
        desk.answers.put(gate)
    room = asyncio.create_task(desk.answers.room())
    await desk.wire.until(MAX_BURST)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not room.done()
    gate.set_result(DONE)
    await room


async def test_a_delayed_answer_leaves_after_its_commit_and_its_time(desk: Desk) -> None:
    done = commit()
    desk.answers.put_delayed(done, Node("retry"), Node("ack"))
    desk.answers.put(None, Node("next"))
    done.set_result(DONE)
    await desk.wire.until(1)
    await desk.clock.until_asleep(0.5)
    assert desk.sent == ["next"]
    await desk.clock.advance(0.5)
    await desk.wire.until(3)
    assert desk.sent == ["next", "retry", "ack"]


async def test_what_is_to_be_answered_later_is_dropped_where_nothing_leaves_yet() -> None:
    """Unanswered, its stanza is delivered again; what is put beside it keeps its place."""
    wire, done = Wire(), commit()
    answers = Answers(wire, VirtualClock(), delay_s=0.5, max_waiting=MAX_WAITING)  # pyright: ignore[reportArgumentType]  # all that is used of a channel
    answers.put_delayed(done, Node("retry"))
    answers.put(None, Node("next"))
    leaving = asyncio.create_task(answers.run())
    await asyncio.sleep(0)
    assert wire.sent == []
    done.set_result(DONE)
    await answers.drained()
    assert [node.tag for node in wire.sent] == ["next"]
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)


@pytest.mark.requirement("C13")
@pytest.mark.parametrize("turns", [1, 2, 3, 10])
async def test_what_is_to_be_answered_later_is_dropped_when_a_commit_has_failed(
    desk: Desk, turns: int
) -> None:
    """Stanzas are processed for a moment yet, and must not hide why the connection ended."""
    waiting, failed = commit(), commit()
    waiting.set_result(DONE)
    desk.answers.put_delayed(waiting, Node("retry"))
    desk.answers.put(failed, Node("one"))
    await desk.clock.until_asleep(0.5)
    failed.set_exception(StorageUnavailable("down"))
    for _ in range(turns):
        await asyncio.sleep(0)
        desk.answers.put_delayed(failed, Node("retry"))
    with pytest.raises(BaseExceptionGroup) as caught:
        await desk.task
    ending = ending_of(caught.value)
    assert ending is not None
    assert ending.code == Local.STORAGE
    assert desk.sent == []


def test_an_ack_echoes_what_names_the_stanza() -> None:
    stanza = Node(
        "receipt",
        {"id": "A1", "from": "g@g.us", "participant": "1@lid", "type": "read", "t": "5"},
    )
    assert acknowledge(stanza).attrs == {
        "class": "receipt",
        "id": "A1",
        "to": "g@g.us",
        "participant": "1@lid",
        "type": "read",
    }


def test_the_ack_of_a_message_has_no_type_and_a_refusal_has_a_code() -> None:
    stanza = Node("message", {"id": "A1", "from": "1@lid", "type": "text", "recipient": "2@lid"})
    assert acknowledge(stanza, error=487).attrs == {
        "class": "message",
        "id": "A1",
        "to": "1@lid",
        "recipient": "2@lid",
        "error": "487",
    }


@pytest.mark.parametrize(("tag", "sender"), [("status", "1@lid"), ("message", "status@broadcast")])
def test_a_status_is_never_refused(tag: str, sender: str) -> None:
    """A refused one would be delivered first on each connection, and nothing behind it."""
    stanza = Node(tag, {"id": "A1", "from": sender, "participant": "2@lid"})
    assert acknowledge(stanza, error=487) == acknowledge(stanza)
    assert "error" not in acknowledge(stanza).attrs


@pytest.mark.parametrize("kind", [None, "inactive", "sender", "peer_msg"])
def test_a_receipt_says_what_was_done_with_a_message(kind: str | None) -> None:
    attrs = receipt(Node("message", {"id": "A1", "from": "1@lid", "type": "text"}), kind).attrs
    assert attrs == {"id": "A1", "to": "1@lid", **({"type": kind} if kind else {})}
