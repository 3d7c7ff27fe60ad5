"""Numbers that are linked twice are looked for, and each pair is logged once."""

import asyncio

import pytest
from structlog.testing import capture_logs

from perene.core.errors import StorageUnavailable
from perene.core.ids import SessionId
from perene.supervisor.watches.twins import TwinWatch
from tests.support.virtual_clock import VirtualClock

ANA, BOB, EVA = SessionId("ana"), SessionId("bob"), SessionId("eva")


@pytest.mark.requirement("D9")
async def test_a_new_twin_is_logged_and_one_that_is_known_is_not() -> None:
    accounts = {ANA: "5511999991234", BOB: "5511999991234"}

    async def read() -> dict[SessionId, str]:
        return accounts

    watch = TwinWatch(read, VirtualClock())
    with capture_logs() as lines:
        await watch.look()
        await watch.look()
        accounts[EVA] = "5511999991234"
        await watch.look()
        del accounts[BOB]
        await watch.look()
    told = [(line["session"], line["others"]) for line in lines]
    assert told == [
        (ANA, [BOB]),
        (BOB, [ANA]),
        (ANA, [BOB, EVA]),
        (BOB, [ANA, EVA]),
        (EVA, [ANA, BOB]),
    ]
    assert {line["number"] for line in lines} == {"***1234"}
    assert [watch.twins(session) for session in (ANA, BOB, EVA)] == [1, 0, 1]


async def test_a_database_that_is_away_does_not_end_the_watch() -> None:
    clock, asked = VirtualClock(), list[float]()

    async def read() -> dict[SessionId, str]:
        asked.append(clock.monotonic())
        raise StorageUnavailable("gone")

    life = asyncio.create_task(TwinWatch(read, clock).run())
    await clock.advance(0)
    await clock.advance(60)
    assert asked == [0, 30, 60]
    life.cancel()
    await asyncio.wait([life])
