"""What scenarios share: a fresh world each, or a simulator for a service of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perene.store.database import Database
from tests.crash.processes import Simulator, simulating
from tests.support.world import World


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated, empty database."""
    path = tmp_path_factory.mktemp("scenario") / "perene.db"
    Database.open(f"sqlite:///{path}").close_now()
    return path


@pytest.fixture
async def world(tmp_path: Path, template: Path) -> AsyncIterator[World]:
    """Give the test a simulator and a Perene of its own."""
    async with World.open(tmp_path, template) as one:
        yield one


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    """Give the test a simulator in a process of its own."""
    async with simulating(tmp_path) as one:
        yield one
