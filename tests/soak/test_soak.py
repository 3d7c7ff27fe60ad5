"""The short form of `make soak`: whatever goes wrong, in the end all are up and nothing is lost."""

import random
from pathlib import Path

import pytest

from perene.store.database import Database
from tests.soak.plan import Plan
from tests.soak.run import run

pytestmark = [
    pytest.mark.requirement("C3", "C4", "C8", "C13", "D5", "D9", "E6", "E8", "F1"),
    pytest.mark.timeout(240),
    pytest.mark.slow,
]


async def test_all_are_up_after_two_days_in_which_everything_goes_wrong(tmp_path: Path) -> None:
    await _live_through(tmp_path, sessions=5, troubles=2)


@pytest.mark.requirement("C6")
async def test_so_they_are_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    await _live_through(tmp_path, sessions=3, troubles=4, url=postgres_url)


async def _live_through(
    folder: Path, *, sessions: int, troubles: int, url: str | None = None
) -> None:
    seed = random.Random().randrange(10**9)  # not that of the test order: every run is another
    template = folder / "empty.db"
    Database.open(f"sqlite:///{template}").close_now()

    plan = Plan(sessions=sessions, days=2, seed=seed, troubles_a_day=troubles)
    outcome = await run(folder, template, plan, url=url)

    database = "sqlite" if url is None else "postgresql"
    again = (
        f"make soak ARGS='--sessions {sessions} --days 2 --troubles {troubles}"
        f" --seed {seed} --database {database}'"
    )
    assert outcome.problems == [], f"{again}\n{outcome.troubles}"
    assert outcome.messages["written to the sessions"] > 0
    assert outcome.messages["accepted by the sessions"] > 0
    assert outcome.troubles.total() > 5
