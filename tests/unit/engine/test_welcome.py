"""The server's first words come in time, or the connection ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from perene.core.causes import Local
from perene.engine.errors import ConnectionEnded
from perene.engine.welcome import Welcome
from tests.support.virtual_clock import VirtualClock

WITHIN_S = 60.0


class Door:
    """A welcome that is waited for."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.welcome = Welcome(self.clock, within_s=WITHIN_S)
        self.task = asyncio.create_task(self.welcome.run())

    async def overdue(self) -> bool:
        """Let the time pass; tell whether the connection was ended by it."""
        await self.clock.advance(WITHIN_S)
        await asyncio.wait((self.task,), timeout=0)
        return self.task.done()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    one = Door()
    await one.clock.until_asleep(WITHIN_S)
    yield one
    one.task.cancel()
    await asyncio.gather(one.task, return_exceptions=True)


async def test_a_server_that_neither_lets_in_nor_refuses_is_left(door: Door) -> None:
    await door.clock.advance(WITHIN_S - 1)
    assert not door.task.done()
    await door.clock.advance(1)
    with pytest.raises(ConnectionEnded) as caught:
        await door.task
    assert caught.value.ending.code == Local.HANDSHAKE_TIMEOUT


async def test_who_was_let_in_or_offered_to_pair_has_time(door: Door) -> None:
    door.welcome.greeted()
    assert not await door.overdue()
    assert not await door.overdue()


async def test_a_linked_device_that_is_not_told_to_restart_does_so_by_itself(door: Door) -> None:
    door.welcome.greeted()
    assert not await door.overdue()
    door.welcome.linked()
    await door.clock.until_asleep(WITHIN_S)
    await door.clock.advance(WITHIN_S)
    with pytest.raises(ConnectionEnded) as caught:
        await door.task
    assert "restart" in caught.value.ending.sentence
