"""Limits of time by a clock that was passed in."""

import asyncio

import pytest

from perene.core.clock import SystemClock
from tests.support.virtual_clock import VirtualClock


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_takes_too_long_by_the_clock_is_ended() -> None:
    clock = VirtualClock()

    async def job() -> None:
        async with clock.limit(20):
            await never()

    running = asyncio.create_task(job())
    await clock.until_asleep(20)
    await clock.advance(19.9)
    assert not running.done()
    await clock.advance(0.1)
    with pytest.raises(TimeoutError):
        await running
    assert clock.asleep == []


async def test_what_ends_in_time_leaves_no_alarm() -> None:
    clock = VirtualClock()
    async with clock.limit(20):
        await clock.sleep(0)
    await asyncio.sleep(0)
    assert clock.asleep == []


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    clock = VirtualClock()

    async def job() -> None:
        async with clock.limit(20):
            await never()

    running = asyncio.create_task(job())
    await clock.until_asleep(20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert running.cancelled()


async def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="of the block"):
        async with VirtualClock().limit(20):
            raise ValueError("of the block")


async def test_of_two_limits_the_nearer_one_ends_its_own_block_only() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    async def job() -> None:
        async with clock.limit(20):
            try:
                async with clock.limit(5):
                    await never()
            except TimeoutError:
                seen.append("inner")
            await clock.sleep(1)
            seen.append("after")

    running = asyncio.create_task(job())
    await clock.until_asleep(5)
    await clock.advance(10)
    await running
    assert seen == ["inner", "after"]


async def test_by_the_machine_s_clock_a_limit_needs_no_task() -> None:
    before = asyncio.all_tasks()
    async with SystemClock().limit(60):
        assert asyncio.all_tasks() == before
    with pytest.raises(TimeoutError):
        async with SystemClock().limit(0):
            await never()
