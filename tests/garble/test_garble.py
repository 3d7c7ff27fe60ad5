"""The short form of `make garble`: whatever the server says, a session comes through it."""

import random
from pathlib import Path

import pytest

from tests.garble.telling import tell
from tests.moments.databases import Files

_SPOILT = 2

pytestmark = [pytest.mark.requirement("C8", "C13", "D9", "F1"), pytest.mark.slow]


@pytest.mark.parametrize("life", range(7))
async def test_a_session_comes_through_whatever_the_server_says(tmp_path: Path, life: int) -> None:
    # Not by the seed of the test order: every run is another.
    seed = random.Random().randrange(10**8) * 10 + life

    ended = await tell(tmp_path / "life", Files.make(tmp_path).template, seed=seed)

    assert ended.problems == [], f"make garble ARGS='--lives 1 --seed {seed}'"


async def test_there_is_something_to_come_through(tmp_path: Path) -> None:
    # Of a life that is known to have much of it: in one of many nothing is spoilt by chance.
    ended = await tell(tmp_path / "life", Files.make(tmp_path).template, seed=_SPOILT)

    assert ended.problems == []
    assert ended.counts["spoilt"] > 10
