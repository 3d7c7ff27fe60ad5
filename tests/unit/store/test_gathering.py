"""Questions that gather while others are answered."""

import asyncio
from collections.abc import Sequence

import pytest

from perene.core.errors import NotFound, StorageUnavailable
from perene.store.gathering import Gathering
from tests.support.record import PATIENCE_S


class Oracle:
    """Answers numbers with their doubles; each call waits until it is let go."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.error: Exception | None = None
        self._going = asyncio.Semaphore(0)

    def let_go(self, calls: int = 1) -> None:
        for _ in range(calls):
            self._going.release()

    async def answer(self, questions: Sequence[int]) -> list[int | NotFound]:
        self.asked.append(list(questions))
        await self._going.acquire()
        if self.error is not None:
            raise self.error
        return [2 * number if number >= 0 else NotFound("negative") for number in questions]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_questions_that_come_while_one_is_asked_go_together() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer)
    answers = [asyncio.create_task(gathering.ask(0))]
    await settle()
    answers += [asyncio.create_task(gathering.ask(number)) for number in (1, 2, 3)]
    await settle()
    assert oracle.asked == [[0]]
    oracle.let_go(2)
    assert await asyncio.gather(*answers) == [0, 2, 4, 6]
    assert oracle.asked == [[0], [1, 2, 3]]


async def test_no_call_asks_more_than_the_most() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer, most=2)
    oracle.let_go(3)
    assert await asyncio.gather(*(gathering.ask(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert oracle.asked == [[0, 1], [2, 3], [4]]


async def test_an_error_among_the_answers_is_raised_for_who_asked() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer)
    oracle.let_go()
    good, bad = await asyncio.gather(gathering.ask(1), gathering.ask(-1), return_exceptions=True)
    assert good == 2
    assert isinstance(bad, NotFound)


async def test_a_call_that_fails_fails_for_all_and_the_next_one_is_made() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer)
    oracle.error = StorageUnavailable("away")
    oracle.let_go()
    failed = await asyncio.gather(gathering.ask(1), gathering.ask(2), return_exceptions=True)
    assert failed == [oracle.error, oracle.error]
    oracle.error = None
    oracle.let_go()
    assert await gathering.ask(3) == 6


async def test_a_call_that_fails_takes_nobody_along_who_waits_for_the_next_one() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer)
    first = asyncio.create_task(gathering.ask(1))
    await settle()
    behind = asyncio.create_task(gathering.ask(2))
    await settle()
    oracle.error = StorageUnavailable("away")
    oracle.let_go()
    with pytest.raises(StorageUnavailable):
        await first
    oracle.error = None
    oracle.let_go()
    async with asyncio.timeout(PATIENCE_S):
        assert await behind == 4


async def test_who_is_cancelled_while_waiting_is_not_asked_for() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer)
    first = asyncio.create_task(gathering.ask(0))
    await settle()
    cancelled, other = (asyncio.create_task(gathering.ask(number)) for number in (1, 2))
    await settle()
    cancelled.cancel()
    await settle()
    oracle.let_go(2)
    assert (await first, await other) == (0, 4)
    assert oracle.asked == [[0], [2]]
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_who_is_cancelled_while_asked_for_takes_nobody_along() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer)
    cancelled, other = (asyncio.create_task(gathering.ask(number)) for number in (1, 2))
    await settle()
    cancelled.cancel()
    oracle.let_go()
    assert await other == 4
    assert oracle.asked == [[1, 2]]


async def test_nothing_is_asked_for_callers_who_are_all_gone() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer)
    first = asyncio.create_task(gathering.ask(0))
    await settle()
    gone = asyncio.create_task(gathering.ask(1))
    await settle()
    gone.cancel()
    await settle()
    oracle.let_go(2)
    assert await first == 0
    assert await gathering.ask(2) == 4
    assert oracle.asked == [[0], [2]]


async def test_nobody_waits_for_a_call_that_was_cancelled_with_the_service() -> None:
    oracle = Oracle()
    gathering = Gathering[int, int](oracle.answer, most=1)
    waiting = [asyncio.create_task(gathering.ask(number)) for number in (0, 1, 2)]
    await settle()
    [asking] = [task for task in asyncio.all_tasks() if task.get_name() == "gathering"]
    asking.cancel()
    async with asyncio.timeout(PATIENCE_S):
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in ended] == [asyncio.CancelledError] * 3
        assert asking.cancelled()
        oracle.let_go()
        assert await gathering.ask(3) == 6
    assert oracle.asked == [[0], [3]]
