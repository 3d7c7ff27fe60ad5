"""The short form of `make crash`: however often the service is killed, nothing is lost."""

import random
from pathlib import Path

import pytest

from tests.crash.run import Plan, run


@pytest.mark.requirement("F1", "C13", "E6", "E8")
@pytest.mark.timeout(300)
@pytest.mark.slow
async def test_nothing_is_lost_doubled_or_reused_over_15_kills(tmp_path: Path) -> None:
    seed = random.Random().randrange(10**9)  # not that of the test order: every run is another

    outcome = await run(tmp_path, Plan(kills=15, seed=seed, per_second=25))

    again = f"make crash ARGS='--kills 15 --seed {seed} --per-second 25'"
    assert outcome.problems == [], f"{again}\n{outcome.counts}"
    assert outcome.counts["stored"] == outcome.counts["written to the sessions"] > 0
    assert outcome.counts["accepted by the API"] > 0
