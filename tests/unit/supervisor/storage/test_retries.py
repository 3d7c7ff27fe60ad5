"""A connection reads from a database that is away for a moment as often as it writes to it."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs

from perene.core.errors import StorageUnavailable, UnreadableState
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy
from tests.support.virtual_clock import VirtualClock

pytestmark = pytest.mark.requirement("D9", "E8")

AWAY = StorageUnavailable("it restarts")


class Database:
    """Answers 7, unless something is wrong with it."""

    def __init__(self) -> None:
        self.wrong: Exception | None = None
        self.asked = 0

    async def seven(self) -> int:
        self.asked += 1
        if self.wrong is not None:
            raise self.wrong
        return 7


class Asking:
    """A database, and questions to it on the virtual clock."""

    def __init__(self) -> None:
        self.database = Database()
        self.clock = VirtualClock()
        self.reads = Retries(self.clock, SavePolicy(attempts=3, timeout_s=10.0, wait_s=2.0))
        self.questions: list[asyncio.Task[int]] = []

    def begins(self) -> "asyncio.Task[int]":
        question = asyncio.create_task(self.reads.ask(self.database.seven))
        self.questions.append(question)
        return question


async def waited_out(asking: Asking) -> int:
    """Ask until the last attempt."""
    answer = asking.begins()
    for wait_s in (2, 4):
        await asking.clock.until_asleep(wait_s)
        await asking.clock.advance(wait_s)
    return await answer


async def comes_back(asking: Asking) -> None:
    """Let the database answer, and whoever was refused just now ask again."""
    await asking.clock.until_asleep(2)
    asking.database.wrong = None
    await asking.clock.advance(2)


@pytest.fixture
async def asking() -> AsyncGenerator[Asking]:
    one = Asking()
    yield one
    for question in one.questions:
        question.cancel()
    await asyncio.gather(*one.questions, return_exceptions=True)


async def test_a_database_that_answers_is_asked_once(asking: Asking) -> None:
    with capture_logs() as logs:
        assert await asking.begins() == 7
    assert (asking.database.asked, logs) == (1, [])


@pytest.mark.parametrize("failures", [1, 2])
async def test_a_database_that_is_away_is_asked_again_with_the_waits_of_saving(
    asking: Asking, failures: int
) -> None:
    asking.database.wrong = AWAY
    answer = asking.begins()
    for attempt in range(1, failures + 1):
        await asking.clock.until_asleep(2.0 * attempt)
        assert asking.database.asked == attempt
        if attempt == failures:
            asking.database.wrong = None
        await asking.clock.advance(2.0 * attempt - 0.1)
        assert asking.database.asked == attempt
        await asking.clock.advance(0.1)
    assert await answer == 7
    assert asking.database.asked == failures + 1


async def test_a_database_is_asked_as_often_as_the_policy_says_and_no_more() -> None:
    clock, database = VirtualClock(), Database()
    database.wrong = AWAY
    once = Retries(clock, SavePolicy(attempts=1, timeout_s=10.0, wait_s=2.0))
    with pytest.raises(StorageUnavailable):
        await once.ask(database.seven)
    assert database.asked == 1


async def test_the_last_refusal_is_told(asking: Asking) -> None:
    asking.database.wrong = AWAY
    with pytest.raises(StorageUnavailable, match="it restarts"):
        await waited_out(asking)
    assert asking.database.asked == 3


async def test_once_an_absence_has_been_waited_out_everybody_is_refused_at_once(
    asking: Asking,
) -> None:
    asking.database.wrong = AWAY
    with pytest.raises(StorageUnavailable):
        await waited_out(asking)
    for later_s in (3, 50):
        await asking.clock.advance(later_s)
        with pytest.raises(StorageUnavailable):
            await asking.begins()
    assert asking.database.asked == 3 + 2

    asking.database.wrong = None
    assert await asking.begins() == 7
    asking.database.wrong = AWAY
    again = asking.begins()
    await comes_back(asking)
    assert await again == 7


async def test_whoever_comes_in_the_middle_of_an_absence_waits_for_its_rest(
    asking: Asking,
) -> None:
    asking.database.wrong = AWAY
    asking.begins()
    await asking.clock.until_asleep(2)
    await asking.clock.advance(1.5)
    late = asking.begins()
    await comes_back(asking)
    assert await late == 7


async def test_an_absence_that_nobody_has_looked_at_for_a_minute_may_be_another(
    asking: Asking,
) -> None:
    asking.database.wrong = AWAY
    with pytest.raises(StorageUnavailable):
        await waited_out(asking)
    await asking.clock.advance(61)
    again = asking.begins()
    await comes_back(asking)
    assert await again == 7


async def test_a_database_that_is_silent_is_not_asked_again(asking: Asking) -> None:
    async def silence() -> int:
        asking.database.asked += 1
        await asking.clock.sleep(8.0)
        raise AWAY

    answer = asyncio.create_task(asking.reads.ask(silence))
    await asking.clock.until_asleep(8)
    await asking.clock.advance(8)
    with pytest.raises(StorageUnavailable):
        await answer
    assert asking.database.asked == 1


async def test_what_is_no_absence_is_told_at_once(asking: Asking) -> None:
    asking.database.wrong = UnreadableState("a row does not open")
    with pytest.raises(UnreadableState):
        await asking.begins()
    assert asking.database.asked == 1


async def test_an_absence_is_logged_once_for_all_who_read(asking: Asking) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            asking.database.wrong = AWAY
            answers = [asking.begins(), asking.begins()]
            await comes_back(asking)
            assert await asyncio.gather(*answers) == [7, 7]
    assert [line["event"] for line in logs] == ["database_away", "database_answers"] * 2
    assert logs[0]["reason"] == "it restarts"
