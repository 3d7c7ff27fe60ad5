"""A stage over a store whose commits come when a test says so."""

import pytest

from perene.engine.stage import Stage
from tests.unit.engine.fakes import MemoryStore, stage_on


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(auto=False)


@pytest.fixture
def stage(store: MemoryStore) -> Stage:
    return stage_on(store)
