"""Of several addresses the first that answers is taken, and nothing is left of the others."""

import asyncio
import contextlib
import errno
import gc
import os
import socket
import weakref
from collections.abc import Iterator

import pytest

from perene.process.dialling import Address, first_connected, in_turn, is_literal

LATER_S = 0.001


def address(number: int, family: int = socket.AF_INET) -> Address:
    return family, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", 443)


SIX = [address(number, socket.AF_INET6) for number in (1, 2, 3)]
FOUR = [address(number) for number in (4, 5)]


class Ways:
    """What becomes of an attempt at each address; `sockets` are all that were opened."""

    def __init__(self) -> None:
        self.tried: list[Address] = []
        self.attempts = asyncio.Semaphore(0)
        self.sockets: dict[str, socket.socket] = {}
        self.opens: dict[str, asyncio.Event] = {}
        self.errors: dict[str, int] = {}

    async def connect(self, to: Address) -> socket.socket:
        place = to[4][0]
        self.tried.append(to)
        self.attempts.release()
        one = self.sockets[place] = socket.socket()
        try:
            if place in self.errors:
                raise OSError(self.errors[place], os.strerror(self.errors[place]))
            await self.opens.setdefault(place, asyncio.Event()).wait()
        except BaseException:  # as a real attempt that is cancelled does
            one.close()
            raise
        return one

    @property
    def left(self) -> list[str]:
        """The addresses to which a socket is still open."""
        return [place for place, one in self.sockets.items() if one.fileno() >= 0]

    def let_open(self, *numbers: int) -> None:
        for number in numbers:
            self.opens.setdefault(f"192.0.2.{number}", asyncio.Event()).set()

    def let_fail(self, number: int, code: int) -> None:
        self.errors[f"192.0.2.{number}"] = code

    async def tried_all(self, count: int) -> None:
        for _ in range(count):
            await self.attempts.acquire()


class Attempts:
    """What one dial connects with; it lives for as long as anything of the dial does."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def __call__(self, to: Address) -> socket.socket:
        return await self._ways.connect(to)


@pytest.fixture
def ways() -> Iterator[Ways]:
    one = Ways()
    yield one
    for opened in one.sockets.values():
        opened.close()


def test_families_take_turns_and_the_resolver_says_which_is_first() -> None:
    assert in_turn([*SIX, *FOUR]) == [SIX[0], FOUR[0], SIX[1], FOUR[1], SIX[2]]
    assert in_turn([*FOUR, *SIX]) == [FOUR[0], SIX[0], FOUR[1], SIX[1], SIX[2]]
    assert in_turn(FOUR) == FOUR


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fd00::7"])
def test_an_address_is_known_as_one(host: str) -> None:
    assert is_literal(host)


@pytest.mark.parametrize("host", ["localhost", "1.2.3", "chat.example", "[::1]", "a\0b", ""])
def test_a_name_is_no_address(host: str) -> None:
    assert not is_literal(host)


async def test_an_address_that_is_silent_holds_up_no_other(ways: Ways) -> None:
    ways.let_open(5)
    won = await first_connected([*SIX[:1], *FOUR], connect=ways.connect, next_after_s=LATER_S)
    assert won is ways.sockets["192.0.2.5"]
    assert ways.left == ["192.0.2.5"]


async def test_an_address_that_answers_is_the_only_one_tried(ways: Ways) -> None:
    ways.let_open(1, 4)
    won = await first_connected([SIX[0], FOUR[0]], connect=ways.connect)
    assert won is ways.sockets["192.0.2.1"]
    assert ways.tried == [SIX[0]]


async def test_an_address_not_trusted_is_tried_after_the_others(ways: Ways) -> None:
    ways.let_open(1)
    won = await first_connected(
        FOUR, SIX[:1], connect=ways.connect, next_after_s=LATER_S, distrusted_after_s=10 * LATER_S
    )
    assert won is ways.sockets["192.0.2.1"]
    assert ways.tried == [*FOUR, SIX[0]]


async def test_an_address_not_trusted_is_left_alone_while_another_answers(
    ways: Ways,
) -> None:
    dial = asyncio.create_task(
        first_connected(FOUR[:1], SIX[:1], connect=ways.connect, distrusted_after_s=3600)
    )
    await ways.tried_all(1)
    ways.let_open(4)
    assert await dial is ways.sockets["192.0.2.4"]
    assert ways.tried == FOUR[:1]


async def test_an_address_not_trusted_is_tried_at_once_when_the_others_refuse(
    ways: Ways,
) -> None:
    ways.let_fail(4, errno.ECONNREFUSED)
    ways.let_open(1)
    won = await first_connected(FOUR[:1], SIX[:1], connect=ways.connect, distrusted_after_s=3600)
    assert won is ways.sockets["192.0.2.1"]


async def test_an_address_that_refuses_gives_way_at_once(ways: Ways) -> None:
    ways.let_fail(1, errno.ENETUNREACH)
    ways.let_open(4)
    won = await first_connected([SIX[0], FOUR[0]], connect=ways.connect, next_after_s=3600)
    assert won is ways.sockets["192.0.2.4"]


async def test_an_address_that_was_silent_may_still_answer_first(ways: Ways) -> None:
    dial = asyncio.create_task(
        first_connected([SIX[0], FOUR[0]], connect=ways.connect, next_after_s=LATER_S)
    )
    await ways.tried_all(2)
    ways.let_open(1)
    assert await dial is ways.sockets["192.0.2.1"]
    assert ways.left == ["192.0.2.1"]


async def test_of_two_that_answer_in_the_same_moment_one_is_closed(ways: Ways) -> None:
    dial = asyncio.create_task(
        first_connected([SIX[0], FOUR[0]], connect=ways.connect, next_after_s=LATER_S)
    )
    await ways.tried_all(2)
    ways.let_open(1, 4)
    won = await dial
    assert [ways.sockets[place] for place in ways.left] == [won]


@pytest.mark.parametrize("turns", range(6))
async def test_a_dial_that_is_cancelled_leaves_no_socket_and_no_task(
    ways: Ways, turns: int
) -> None:
    dial = asyncio.create_task(
        first_connected([*SIX, *FOUR], connect=ways.connect, next_after_s=LATER_S)
    )
    await ways.tried_all(3)
    ways.let_open(1, 2, 3)
    for _ in range(turns):  # up to the moment in which it is won
        await asyncio.sleep(0)
    dial.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        (await dial).close()  # it was won already, and is ours to close
    assert ways.left == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_silent_address_is_not_waited_for_long_when_the_others_have_failed(
    ways: Ways,
) -> None:
    ways.let_fail(4, errno.ECONNREFUSED)
    with pytest.raises(ConnectionRefusedError):
        await first_connected(
            [SIX[0], FOUR[0]], connect=ways.connect, next_after_s=LATER_S, last_for_s=LATER_S
        )
    assert ways.left == []


async def test_while_all_are_silent_nobody_gives_up(ways: Ways) -> None:
    dial = asyncio.create_task(
        first_connected([SIX[0], FOUR[0]], connect=ways.connect, next_after_s=LATER_S, last_for_s=0)
    )
    await ways.tried_all(2)
    _, waiting = await asyncio.wait([dial], timeout=10 * LATER_S)
    assert waiting
    ways.let_open(4)
    assert await dial is ways.sockets["192.0.2.4"]


async def test_when_none_answers_for_one_reason_that_is_told(ways: Ways) -> None:
    for number in (1, 4):
        ways.let_fail(number, errno.ECONNREFUSED)
    with pytest.raises(ConnectionRefusedError):
        await first_connected([SIX[0], FOUR[0]], connect=ways.connect)
    assert ways.left == []


async def test_when_none_answers_every_reason_is_told_as_asyncio_does(ways: Ways) -> None:
    ways.let_fail(1, errno.ENETUNREACH)
    ways.let_fail(4, errno.ECONNREFUSED)
    with pytest.raises(OSError, match="Multiple exceptions"):
        await first_connected([SIX[0], FOUR[0]], connect=ways.connect)
    assert ways.left == []


async def test_who_fails_keeps_nothing_alive(ways: Ways) -> None:
    """A cycle of references would keep memory until the garbage collector comes."""
    ways.let_fail(1, errno.ENETUNREACH)
    ways.let_fail(4, errno.ECONNREFUSED)
    gc.disable()
    try:
        alive: list[weakref.ref[Attempts]] = []
        for _ in range(10):
            attempts = Attempts(ways)
            with pytest.raises(OSError, match="Multiple"):
                await first_connected([SIX[0], FOUR[0]], connect=attempts)
            alive.append(weakref.ref(attempts))
            del attempts
        assert [one() for one in alive if one() is not None] == []
    finally:
        gc.enable()
