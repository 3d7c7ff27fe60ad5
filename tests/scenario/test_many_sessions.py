"""Many sessions at once: a restart brings all of them back, and is no stampede."""

from pathlib import Path

import pytest

from perene.core.ids import SessionId
from perene.sim import Settings
from tests.support.world import World

SESSIONS = 300
PER_SECOND = 200
"""As the supervisor's own gate has it."""


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_all_of_300_sessions_come_back_after_a_restart_in_turns(
    tmp_path: Path, template: Path
) -> None:
    names = [SessionId(f"s{number}") for number in range(SESSIONS)]
    async with World.open(
        tmp_path, template, settings=Settings(initial_sync=False), seed=300
    ) as world:
        await world.pair_many(SESSIONS)
        before = len(world.network.handshakes)
        await world.restart()
        took = await world.pass_time(60, until=lambda: world.all_open(names))
        assert world.all_open(names)
        handshakes = world.network.handshakes[before:]
        assert len(handshakes) == SESSIONS, "each logs in once"
        assert most_in_a_second(handshakes) <= PER_SECOND
        assert took < 5


def most_in_a_second(times: list[float]) -> int:
    return max(sum(begin <= at < begin + 1 - 1e-6 for at in times) for begin in times)
