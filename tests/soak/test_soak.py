"""The short form of `make soak`: whatever goes wrong, in the end all are up and nothing is lost."""

import random
from pathlib import Path

import pytest

from perene.store.database import Database
from tests.soak.plan import Plan
from tests.soak.run import run


@pytest.mark.requirement("C3", "C4", "C8", "C13", "D5", "D9", "E6", "E8", "F1")
@pytest.mark.timeout(240)
@pytest.mark.slow
async def test_all_are_up_after_two_days_in_which_everything_goes_wrong(tmp_path: Path) -> None:
    seed = random.Random().randrange(10**9)  # not that of the test order: every run is another
    template = tmp_path / "empty.db"
    Database.open(f"sqlite:///{template}").close_now()

    plan = Plan(sessions=5, days=2, seed=seed, troubles_a_day=2)
    outcome = await run(tmp_path, template, plan)

    again = f"make soak ARGS='--sessions 5 --days 2 --troubles 2 --seed {seed}'"
    assert outcome.problems == [], f"{again}\n{outcome.troubles}"
    assert outcome.messages["written to the sessions"] > 0
    assert outcome.messages["accepted by the sessions"] > 0
    assert outcome.troubles.total() > 5
