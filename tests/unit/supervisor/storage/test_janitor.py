"""What is kept for a time only is removed every day."""

import asyncio
from datetime import datetime, timedelta

from structlog.testing import capture_logs

from perene.core.errors import StorageUnavailable
from perene.supervisor.storage.janitor import Janitor
from tests.support.virtual_clock import START, VirtualClock


class Shelf:
    """Notes when it was asked to purge, and from which time on; fails when told to."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.rounds: list[tuple[timedelta, dict[str, datetime | None]]] = []
        self.failing = False

    async def purge(self, **before: datetime | None) -> int:
        self.rounds.append((self.clock.now() - START, before))
        if self.failing:
            raise StorageUnavailable("gone")
        return 3


async def test_old_rows_are_removed_ten_minutes_after_the_start_and_then_every_day() -> None:
    clock = VirtualClock()
    shelf = Shelf(clock)
    janitor = Janitor(shelf, clock, retention=timedelta(days=90))
    life = asyncio.create_task(janitor.run())
    await clock.until_asleep(600)
    await clock.advance(2 * 86_400)
    life.cancel()
    minutes, day = timedelta(minutes=10), timedelta(days=1)
    assert [at for at, _ in shelf.rounds] == [minutes, minutes + day]
    before = START + minutes - timedelta(days=90)
    assert shelf.rounds[0][1] == {
        "ciphertexts_before": before,
        "idempotency_keys_before": before,
        "events_before": before,
        "outages_before": before,
        "alerts_before": before,
    }
    assert janitor.health().ok


async def test_a_round_that_fails_is_logged_told_and_repeated_within_an_hour() -> None:
    clock = VirtualClock()
    shelf = Shelf(clock)
    shelf.failing = True
    janitor = Janitor(shelf, clock, retention=timedelta(days=1))
    life = asyncio.create_task(janitor.run())
    await clock.until_asleep(600)
    with capture_logs() as lines:
        await clock.advance(600)
    assert [(line["event"], line["reason"]) for line in lines] == [("old_rows_not_removed", "gone")]
    assert janitor.failing
    assert not janitor.health().ok
    shelf.failing = False
    await clock.advance(3600)
    assert len(shelf.rounds) == 2
    assert not janitor.failing
    assert janitor.health().ok
    life.cancel()
