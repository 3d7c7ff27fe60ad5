"""The hold on the database is looked after, taken anew in time, and given up in order."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from structlog.testing import capture_logs

from perene.core.errors import DatabaseTaken, StorageUnavailable
from perene.supervisor.watches.hold import HoldWatch
from tests.support.virtual_clock import VirtualClock


class Rig:
    """A lock that does as it is told, and the watch over it, which runs."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.asked = 0
        self.error: Exception | None = None
        self.watch = HoldWatch(self._keep, self.clock)
        self.life = asyncio.create_task(self.watch.run())

    async def _keep(self) -> bool:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return False


@pytest.fixture
async def rig() -> AsyncGenerator[Rig]:
    one = Rig()
    await one.clock.advance(0)
    yield one
    one.life.cancel()
    await asyncio.wait([one.life])


async def test_a_hold_is_looked_at_every_three_seconds(rig: Rig) -> None:
    await rig.clock.advance(60)
    assert 20 <= rig.asked <= 21
    assert rig.watch.health().ok


@pytest.mark.requirement("D9")
async def test_a_lost_hold_is_taken_again_within_three_seconds_of_the_databases_return(
    rig: Rig,
) -> None:
    rig.error = StorageUnavailable("the connection to the database was lost")
    await rig.clock.advance(600)
    health = rig.watch.health()
    assert not health.ok
    assert "the connection to the database was lost" in (health.detail or "")
    assert 200 <= rig.asked <= 202, "a database that is away is asked with patience"
    assert not rig.life.done(), "nobody else has it, as far as is known"
    rig.error = None
    await rig.clock.advance(3)
    assert rig.watch.health().ok


async def test_the_log_tells_once_that_the_hold_was_lost_and_once_that_it_is_back(rig: Rig) -> None:
    with capture_logs() as lines:
        rig.error = StorageUnavailable("the connection to the database was lost")
        await rig.clock.advance(60)
        rig.error = None
        await rig.clock.advance(60)
    assert [line["event"] for line in lines] == ["database_hold_lost", "database_held_again"]


@pytest.mark.requirement("D9")
async def test_a_database_that_another_service_took_ends_the_watch(rig: Rig) -> None:
    rig.error = DatabaseTaken("Another service took it: process 7 on web-2.")
    await rig.clock.advance(3)
    await rig.life
    assert rig.watch.taken is rig.error
    health = rig.watch.health()
    assert (health.ok, health.detail) == (False, "Another service took it: process 7 on web-2.")
    asked = rig.asked
    await rig.clock.advance(60)
    assert rig.asked == asked, "it is not taken back from who has it"


async def test_a_question_without_an_answer_is_told(rig: Rig) -> None:
    hangs = asyncio.Event()

    async def keep() -> bool:
        return await hangs.wait()

    watch = HoldWatch(keep, rig.clock)
    life = asyncio.create_task(watch.run())
    await rig.clock.advance(30)
    assert watch.health().ok
    await rig.clock.advance(1)
    assert not watch.health().ok
    hangs.set()
    await rig.clock.advance(0)
    assert watch.health().ok
    life.cancel()
    await asyncio.wait([life])
