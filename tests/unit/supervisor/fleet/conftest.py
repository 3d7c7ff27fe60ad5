"""A world of sessions, and one whose supervisor lives."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.supervisor.fakes import World
from tests.unit.supervisor.fleet.life import (
    begin,
    end,
)


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    """A world whose supervisor lives already, with no session."""
    life = await begin(world)
    yield world
    await end(world, life)
