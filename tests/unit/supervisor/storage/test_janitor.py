"""What is kept for a time only is removed every day."""

import asyncio
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from perene.core.clock import Instant, instant
from perene.core.errors import StorageUnavailable
from perene.core.notices import TimeTold
from perene.core.server_time import server_time, time_of
from perene.supervisor.storage.janitor import Janitor
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy
from tests.support.virtual_clock import START, VirtualClock


class Shelf:
    """Notes when it was asked to purge, and from which time on; fails when told to."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.rounds: list[tuple[timedelta, dict[str, datetime | None]]] = []
        self.failing = False
        self.restarting = 0
        """How many rounds are still refused."""

    async def purge(self, **before: datetime | None) -> int:
        self.rounds.append((self.clock.now() - START, before))
        self.restarting -= 1
        if self.failing or self.restarting >= 0:
            raise StorageUnavailable("gone")
        return 3


def retries_by(clock: VirtualClock, *, attempts: int = 1) -> Retries:
    return Retries(clock, SavePolicy(attempts=attempts))


async def test_old_rows_are_removed_ten_minutes_after_the_start_and_then_every_day() -> None:
    clock = VirtualClock()
    shelf = Shelf(clock)
    janitor = Janitor(
        shelf, clock, retries_by(clock), retention=timedelta(days=90), server_time=clock.now
    )
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
    janitor = Janitor(
        shelf, clock, retries_by(clock), retention=timedelta(days=1), server_time=clock.now
    )
    life = asyncio.create_task(janitor.run())
    await clock.until_asleep(600)
    with capture_logs() as lines:
        await clock.advance(600)
    assert [(line["event"], line["reason"]) for line in lines] == [
        ("database_away", "gone"),
        ("old_rows_not_removed", "gone"),
    ]
    assert janitor.failing
    assert not janitor.health().ok
    assert "gone" in (janitor.health().detail or "")
    shelf.failing = False
    await clock.advance(3600)
    assert len(shelf.rounds) == 2
    assert not janitor.failing
    assert janitor.health().ok
    life.cancel()


@pytest.mark.parametrize("years", [-56, -6, -0.001, 0.001, 1, 73])
async def test_a_wrong_clock_of_the_machine_removes_nothing_that_is_not_old(years: float) -> None:
    clock = VirtualClock()
    shelf = Shelf(clock)
    retention = timedelta(days=90)
    janitor = Janitor(
        shelf, clock, retries_by(clock), retention=retention, server_time=clock.now_elsewhere
    )
    clock.jump(years * 365 * 86_400)
    await janitor.clean()
    [(_, before)] = shelf.rounds
    assert before["events_before"] == min(clock.now(), clock.now_elsewhere()) - retention


async def test_nothing_is_removed_before_a_login_has_told_the_time() -> None:
    clock = VirtualClock()
    shelf, told = Shelf(clock), list[TimeTold | None]([None])
    janitor = Janitor(
        shelf,
        clock,
        retries_by(clock),
        retention=timedelta(days=90),
        server_time=time_of(lambda: told, clock),
    )
    life = asyncio.create_task(janitor.run())
    assert "ten minutes after the start" in (janitor.health().detail or "")
    await clock.until_asleep(600)
    await clock.advance(10_000)
    assert shelf.rounds == []
    assert janitor.health().ok
    assert "a login has told" in (janitor.health().detail or "")
    told.append(TimeTold(said=clock.now(), at=instant(clock)))
    await clock.advance(3600)
    assert len(shelf.rounds) == 1, "within an hour"
    assert "last removed" in (janitor.health().detail or "")
    life.cancel()


async def test_a_round_that_has_nothing_to_go_by_has_not_failed() -> None:
    """Whoever told the time was deleted, after a round that failed."""
    clock = VirtualClock()
    shelf, told = Shelf(clock), [clock.now()]
    janitor = Janitor(
        shelf,
        clock,
        retries_by(clock),
        retention=timedelta(days=90),
        server_time=lambda: told[0] if told else None,
    )
    shelf.failing = True
    await janitor.clean()
    told.clear()
    await janitor.clean()
    assert janitor.health().ok


def test_the_time_is_counted_on_from_what_was_told_last() -> None:
    def told(said_s: float, at_s: float) -> TimeTold:
        return TimeTold(
            said=START + timedelta(seconds=said_s), at=Instant(wall=START, monotonic=at_s)
        )

    now = Instant(wall=START + timedelta(days=9999), monotonic=110.0)
    assert server_time([], now) is None
    assert server_time([None], now) is None
    found = server_time([told(50, 10), told(7, 100), None, told(99, 5)], now)
    assert found == START + timedelta(seconds=17)


@pytest.mark.requirement("E1")
async def test_a_database_that_restarts_is_waited_for() -> None:
    clock = VirtualClock()
    shelf = Shelf(clock)
    shelf.restarting = 2
    retries = retries_by(clock, attempts=3)
    janitor = Janitor(shelf, clock, retries, retention=timedelta(days=1), server_time=clock.now)
    with capture_logs() as lines:
        round_ = asyncio.create_task(janitor.clean())
        await clock.until_asleep(2)
        await clock.advance(2)
        await clock.until_asleep(4)
        await clock.advance(4)
        await round_
    assert [line["event"] for line in lines] == [
        "database_away",
        "database_answers",
        "old_rows_removed",
    ]
    assert janitor.health().ok
