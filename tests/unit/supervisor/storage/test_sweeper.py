"""What deleted sessions have left behind is removed, now or later."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from perene.core.errors import StorageUnavailable
from perene.supervisor.storage.sweeper import Sweeper
from tests.support.turns import turns
from tests.support.virtual_clock import VirtualClock


class Shelf:
    """Has so many rows of deleted sessions; fails when told to."""

    def __init__(self) -> None:
        self.left = 5
        self.rounds = 0
        self.failing = False

    async def remove_remains(self) -> int:
        self.rounds += 1
        if self.failing:
            raise StorageUnavailable("gone")
        removed, self.left = self.left, 0
        return removed


class Sweep:
    """A sweeper at work."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.shelf = Shelf()
        self.sweeper = Sweeper(self.shelf.remove_remains, self.clock)


@pytest.fixture
async def sweep() -> AsyncIterator[Sweep]:
    one = Sweep()
    life = asyncio.create_task(one.sweeper.run())
    yield one
    life.cancel()


async def test_what_an_earlier_run_has_left_is_removed_at_the_start(sweep: Sweep) -> None:
    await turns()
    assert sweep.shelf.left == 0
    assert sweep.sweeper.health().ok


async def test_a_deletion_is_swept_after_at_once_and_nothing_is_asked_in_between(
    sweep: Sweep,
) -> None:
    await turns()
    await sweep.clock.advance(86_400)
    assert sweep.shelf.rounds == 1
    sweep.shelf.left = 7
    sweep.sweeper.ring()
    with capture_logs() as lines:
        await turns()
    assert (sweep.shelf.left, sweep.shelf.rounds) == (0, 2)
    assert [line["rows"] for line in lines] == [7]


async def test_a_round_that_fails_is_told_and_repeated(sweep: Sweep) -> None:
    await turns()
    sweep.shelf.failing = True
    sweep.shelf.left = 5
    sweep.sweeper.ring()
    with capture_logs() as lines:
        await turns()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("remains_not_removed", "error")
    ]
    assert sweep.sweeper.failing
    assert not sweep.sweeper.health().ok
    assert "gone" in (sweep.sweeper.health().detail or "")

    with capture_logs() as lines:
        await sweep.clock.advance(15)
    assert sweep.shelf.rounds == 3
    assert lines == []  # it was told for the same reason

    sweep.shelf.failing = False
    await sweep.clock.advance(15)
    assert sweep.shelf.left == 0
    assert not sweep.sweeper.failing
    assert sweep.sweeper.health().ok


async def test_a_round_that_failed_is_repeated_by_the_next_deletion(sweep: Sweep) -> None:
    await turns()
    sweep.shelf.failing = True
    sweep.sweeper.ring()
    await turns()
    sweep.shelf.failing, sweep.shelf.left = False, 5
    sweep.sweeper.ring()
    await turns()
    assert sweep.shelf.left == 0
