"""A session's task that runs."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from perene.core.machines.inputs import Start
from tests.unit.supervisor.session.one import OneSession


@pytest.fixture
async def one() -> AsyncIterator[OneSession]:
    fixture = OneSession()
    fixture.running = asyncio.create_task(fixture.task.run(first=Start(by_person=False)))
    yield fixture
    fixture.running.cancel()
    await asyncio.gather(fixture.running, return_exceptions=True)
