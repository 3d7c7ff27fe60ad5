"""Questions to the server, and the keepalive that asks the simplest one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from perene.core.causes import Local
from perene.core.notices import Alive, Notice
from perene.core.policy import STABLE_AFTER
from perene.engine import endings
from perene.engine.errors import ConnectionEnded, QueryFailed, QueryTimedOut
from perene.engine.keepalive import (
    ANSWER_WITHIN_S,
    ARRIVES_WITHIN_S,
    FIRST_SILENCE_S,
    PATIENCE_S,
    Keepalive,
)
from perene.engine.queries import Queries
from perene.wire.node import Node
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.engine.fakes import Wire


class Line:
    """Queries over a wire that a test answers."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.clock = VirtualClock()
        self.queries = Queries(self.wire.send, 60.0, self.clock)
        self.blocked = False

    async def asked(self, count: int) -> Node:
        return (await self.wire.until(count))[count - 1]

    def answer(self, query: Node, kind: str = "result", *children: Node) -> bool:
        attrs = {"id": query.attr("id"), "type": kind, "from": "@s.whatsapp.net"}
        return self.queries.answered(Node("iq", attrs, children or None))


@pytest.fixture
def line() -> Line:
    return Line()


async def test_an_answer_is_matched_by_its_id(line: Line) -> None:
    first = asyncio.create_task(line.queries.ask("a", "get", Node("one")))
    second = asyncio.create_task(line.queries.ask("b", "set", Node("two")))
    one, two = await line.asked(1), await line.asked(2)
    assert one.attr("id") != two.attr("id")
    sent = {"xmlns": "b", "type": "set", "to": "s.whatsapp.net"}
    assert two == Node("iq", {"id": two.attr("id"), **sent}, (Node("two"),))
    assert line.answer(two, "result", Node("second"))
    assert line.answer(one, "result", Node("first"))
    assert (await first).children[0].tag == "first"
    assert (await second).children[0].tag == "second"


async def test_what_answers_nothing_is_not_taken(line: Line) -> None:
    asking = asyncio.create_task(line.queries.ask("a", "get"))
    query = await line.asked(1)
    assert not line.queries.answered(Node("iq", {"id": "other", "type": "result"}))
    assert not line.queries.answered(Node("iq", {"id": query.attr("id"), "type": "set"}))
    assert line.answer(query)
    await asking
    assert not line.answer(query)


@pytest.mark.parametrize(
    ("code", "status", "final"),
    [
        ("403", 403, True),
        ("404", 404, True),
        ("408", 408, False),
        ("429", 429, False),
        ("503", 503, False),
        ("", 0, False),
        ("9" * 5000, 0, False),
    ],
)
async def test_an_error_answer_has_its_status(
    line: Line, code: str, status: int, final: bool
) -> None:
    asking = asyncio.create_task(line.queries.ask("a", "get"))
    line.answer(await line.asked(1), "error", Node("error", {"code": code, "text": "no"}))
    with pytest.raises(QueryFailed) as caught:
        await asking
    assert (caught.value.status, caught.value.is_final) == (status, final)


async def test_an_error_answer_may_say_nothing_and_be_about_a_group(line: Line) -> None:
    asking = asyncio.create_task(line.queries.ask("w:g2", "get", to="120363000000000001@g.us"))
    query = await line.asked(1)
    assert query.attr("to") == "120363000000000001@g.us"
    line.answer(query, "error")
    with pytest.raises(QueryFailed) as caught:
        await asking
    assert caught.value.status == 0


async def test_no_answer_in_time_is_an_error_and_a_late_one_is_ignored(line: Line) -> None:
    asking = asyncio.create_task(line.queries.ask("a", "get", timeout_s=5))
    query = await line.asked(1)
    await line.clock.until_asleep(5)
    await line.clock.advance(5)
    with pytest.raises(QueryTimedOut):
        await asking
    assert not line.answer(query)
    assert line.clock.asleep == []


async def test_a_wire_that_takes_nothing_times_out_too(line: Line) -> None:
    async def never(*_: Node) -> None:
        await asyncio.get_running_loop().create_future()

    queries = Queries(never, 5.0, line.clock)
    asking = asyncio.create_task(queries.ask("a", "get"))
    await line.clock.until_asleep(5)
    await line.clock.advance(5)
    with pytest.raises(QueryTimedOut):
        await asking


async def test_the_end_of_the_connection_ends_every_question(line: Line) -> None:
    asking = asyncio.create_task(line.queries.ask("a", "get"))
    await line.asked(1)
    line.queries.fail_all(endings.local(Local.SOCKET_CLOSED, "gone"))
    with pytest.raises(ConnectionEnded):
        await asking


class Pulse(Line):
    """A keepalive over such a line."""

    def __init__(self, first_silence_s: float = 10.0) -> None:
        super().__init__()
        self.notices: list[Notice] = []
        self.pauses = 0
        self.is_paused = False
        self.is_stuck = False
        self.keepalive = Keepalive(
            queries=self.queries,
            clock=self.clock,
            observer=self,
            reading=self,
            writing=self,
            silence_s=10.0,
            heartbeat_s=30.0,
            first_silence_s=first_silence_s,
        )
        self.task = asyncio.create_task(self.keepalive.run())

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)


@pytest.fixture
async def pulse() -> AsyncIterator[Pulse]:
    one = Pulse()
    yield one
    one.task.cancel()
    await asyncio.gather(one.task, return_exceptions=True)


async def test_silence_is_answered_by_a_ping_and_an_answer_proves_life(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(9)
    assert pulse.wire.sent == []
    await pulse.clock.advance(1)
    ping = await pulse.asked(1)
    assert (ping.attr("xmlns"), ping.attr("type"), ping.need("ping").tag) == ("w:p", "get", "ping")
    pulse.answer(ping)
    await pulse.clock.until_asleep(10)
    assert pulse.notices == [Alive(at=pulse.clock.now())]


@pytest.mark.requirement("C2")
async def test_a_busy_connection_is_pinged_for_the_heartbeat_only(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    for _ in range(14):
        await pulse.clock.advance(1)
        pulse.keepalive.heard()
    assert pulse.wire.sent == []
    await pulse.clock.advance(1)
    await pulse.asked(1)


@pytest.mark.requirement("A5", "C2")
async def test_the_heartbeat_keeps_its_beat_however_late_the_answers_come(pulse: Pulse) -> None:
    asked_at: list[float] = []
    await pulse.clock.until_asleep(10)
    for number in range(1, 5):
        while len(pulse.wire.sent) < number:
            await pulse.clock.advance(1)
            pulse.keepalive.heard()
        asked_at.append(pulse.clock.monotonic())
        ping = await pulse.asked(number)
        await pulse.clock.advance(9)
        pulse.answer(ping)
        await pulse.clock.until_asleep(6)
    assert asked_at == [15, 30, 45, 60]
    assert pulse.notices == [Alive(at=START + timedelta(seconds=at + 9)) for at in asked_at]


async def test_any_answer_counts_even_a_refusal(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(10)
    pulse.answer(await pulse.asked(1), "error")
    await pulse.clock.until_asleep(10)
    assert not pulse.task.done()


async def test_no_answer_ends_the_connection(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(10)
    await pulse.asked(1)
    await pulse.clock.until_asleep(ANSWER_WITHIN_S)
    await pulse.clock.advance(ANSWER_WITHIN_S)
    with pytest.raises(ConnectionEnded) as caught:
        await pulse.task
    assert caught.value.ending.code == Local.KEEPALIVE


async def test_who_is_dead_from_the_login_is_found_before_it_counts_as_stable() -> None:
    pulse = Pulse(first_silence_s=FIRST_SILENCE_S)
    began = pulse.clock.monotonic()
    await pulse.clock.until_asleep(FIRST_SILENCE_S)
    await pulse.clock.advance(FIRST_SILENCE_S)
    assert await unanswered(pulse) == Local.KEEPALIVE
    assert pulse.clock.monotonic() - began < STABLE_AFTER.total_seconds()


async def test_only_the_first_silence_is_shorter() -> None:
    pulse = Pulse(first_silence_s=FIRST_SILENCE_S)
    await pulse.clock.until_asleep(FIRST_SILENCE_S)
    await pulse.clock.advance(FIRST_SILENCE_S)
    pulse.answer(await pulse.asked(1))
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(9)
    assert len(pulse.wire.sent) == 1
    pulse.task.cancel()


@pytest.mark.requirement("C2")
async def test_an_answer_behind_what_still_arrives_is_waited_for(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(10)
    limit_s = ANSWER_WITHIN_S
    for number in range(1, 6):
        await pulse.asked(number)
        await pulse.clock.until_asleep(limit_s)
        await pulse.clock.advance(limit_s - 1)
        pulse.keepalive.heard()
        await pulse.clock.advance(1)
        limit_s = ARRIVES_WITHIN_S
    assert pulse.notices == []
    pulse.answer(await pulse.asked(6))
    await pulse.clock.advance(1)
    assert len(pulse.notices) == 1
    assert not pulse.task.done()


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("heard_s", range(0, 36, 5))
async def test_whatever_came_last_who_is_dead_is_found_in_half_a_minute(
    pulse: Pulse, heard_s: int
) -> None:
    """What came before the end says nothing of what comes after it."""
    await pulse.clock.until_asleep(10)
    for _ in range(heard_s):
        pulse.keepalive.heard()
        await pulse.clock.advance(1)
    died_at = pulse.clock.monotonic()
    while not pulse.task.done():
        await pulse.clock.advance(1)
    assert pulse.clock.monotonic() - died_at <= 10 + ANSWER_WITHIN_S


async def test_who_sends_but_never_answers_is_given_up_at_last(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(10)
    while not pulse.task.done() and pulse.clock.monotonic() < 2 * PATIENCE_S:
        await pulse.clock.advance(1)
        pulse.keepalive.heard()
    with pytest.raises(ConnectionEnded):
        await pulse.task
    assert pulse.clock.monotonic() <= PATIENCE_S + ANSWER_WITHIN_S


async def test_who_sends_but_takes_nothing_more_is_given_up_at_once(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    pulse.is_stuck = True
    await pulse.clock.advance(10)
    await pulse.asked(1)
    await pulse.clock.until_asleep(ANSWER_WITHIN_S)
    await pulse.clock.advance(1)
    pulse.keepalive.heard()
    await pulse.clock.advance(ANSWER_WITHIN_S - 1)
    with pytest.raises(ConnectionEnded) as caught:
        await pulse.task
    assert caught.value.ending.code == Local.HALF_OPEN


async def unanswered(pulse: Pulse) -> str:
    """Let the next ping have no answer; return the code of what follows."""
    await pulse.asked(1)
    await pulse.clock.until_asleep(ANSWER_WITHIN_S)
    await pulse.clock.advance(ANSWER_WITHIN_S)
    with pytest.raises(ConnectionEnded) as caught:
        await pulse.task
    return caught.value.ending.code


async def test_a_socket_that_does_not_even_take_the_ping_is_half_open(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    pulse.is_stuck = True
    await pulse.clock.advance(10)
    assert await unanswered(pulse) == Local.HALF_OPEN


async def test_a_check_that_finds_nobody_says_that_the_clock_had_jumped(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    pulse.keepalive.hurry()
    assert await unanswered(pulse) == Local.CLOCK_JUMP


async def test_a_check_that_finds_the_server_there_is_one_ping(pulse: Pulse) -> None:
    await pulse.clock.until_asleep(10)
    pulse.keepalive.hurry()
    pulse.answer(await pulse.asked(1))
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(9)
    assert len(pulse.wire.sent) == 1


@pytest.mark.requirement("C2")
async def test_an_answer_may_lie_in_a_socket_that_was_left_unread_before_the_ping(
    pulse: Pulse,
) -> None:
    await pulse.clock.until_asleep(10)
    pulse.is_paused = True
    await pulse.clock.advance(10)
    await pulse.asked(1)
    pulse.is_paused = False
    await pulse.clock.until_asleep(ANSWER_WITHIN_S)
    await pulse.clock.advance(ANSWER_WITHIN_S)
    await pulse.asked(2)
    assert not pulse.task.done()


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("over", [False, True], ids=["still", "for a moment"])
async def test_while_the_socket_is_left_unread_no_answer_proves_nothing(
    pulse: Pulse, over: bool
) -> None:
    await pulse.clock.until_asleep(10)
    await pulse.clock.advance(10)
    await pulse.asked(1)
    pulse.pauses += 1
    pulse.is_paused = not over
    await pulse.clock.until_asleep(ANSWER_WITHIN_S)
    await pulse.clock.advance(ANSWER_WITHIN_S)
    await pulse.asked(2)
    assert pulse.notices == []
    pulse.is_paused = False
    pulse.answer(await pulse.asked(2))
    await pulse.clock.until_asleep(10)
    assert pulse.notices == [Alive(at=pulse.clock.now())]
