"""A simulator on a clock that stands still."""

import pytest

from perene.sim import Settings, Simulator
from tests.unit.sim.client import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def simulator(clock: Clock) -> Simulator:
    # Most tests count stanzas; history would be among them.
    return Simulator(now=clock, seed=1, settings=Settings(initial_sync=False))
