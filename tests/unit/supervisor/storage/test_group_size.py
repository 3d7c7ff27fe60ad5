"""A database that is slow, or far away, is given as much at once as it can take."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core.errors import StorageUnavailable
from perene.core.ids import CommitId
from perene.core.unit import Committed, Outcome, Unit
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.group_size import GroupSize
from perene.supervisor.storage.saver import SavePolicy, Saver
from tests.support.commits import nothing_unheard
from tests.support.units import ManualClock, unit

LIMIT_S = 10.0
SLOW_S = 2.5
"""A quarter of the limit: nobody shall wait longer for others."""


@pytest.mark.parametrize(
    ("units", "seconds", "then"),
    [
        (64, 0.99, 128),
        (64, 1.0, 64),
        (64, 2.5, 64),
        (64, 5.0, 32),
        (64, 9.9, 16),
        (1, 9.9, 1),
        (2, 9.9, 1),
    ],
)
def test_the_next_transaction_is_as_large_as_the_last_one_was_quick(
    units: int, seconds: float, then: int
) -> None:
    size = GroupSize(256, timeout_s=LIMIT_S)
    size.present = 64
    size.saved(units, seconds)
    assert size.present == then


def test_it_grows_to_what_was_asked_for_and_no_further() -> None:
    size = GroupSize(200, timeout_s=LIMIT_S)
    size.timed_out(200)
    grown: list[int] = []
    while not grown or grown[-1] < 200:
        size.saved(1, 0.01)
        grown.append(size.present)
    size.saved(200, 0.01)
    assert grown == [24, 48, 96, 192, 200]
    assert size.present == 200


@pytest.mark.parametrize(("units", "then"), [(256, [16, 1, 1]), (40, [2, 1, 1]), (1, [1, 1, 1])])
def test_what_took_too_long_is_tried_with_much_less(units: int, then: list[int]) -> None:
    size = GroupSize(256, timeout_s=LIMIT_S)
    found: list[int] = []
    for _ in then:
        size.timed_out(min(units, size.present))
        found.append(size.present)
    assert found == then


class FarAway:
    """A database for which each unit of a transaction takes its time, up to the limit."""

    def __init__(self, each_s: float) -> None:
        self.each_s = each_s
        self.clock = ManualClock()
        self.took: list[float] = []
        self.saved: list[Unit] = []

    async def commit(self, units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        needed = self.each_s * len(units)
        await self.clock.sleep(min(needed, LIMIT_S))
        self.took.append(min(needed, LIMIT_S))
        if needed > LIMIT_S:
            raise StorageUnavailable("no answer within 10 s")
        self.saved += units
        return [Committed(new_messages=0) for _ in units]


async def saved_by(database: FarAway, units: Sequence[Unit], lanes: int) -> int:
    """Have the units saved, lane after lane in turn; return how many were."""
    committer = Committer(
        Saver(
            commit=database.commit,
            recall=nothing_unheard,
            clock=database.clock,
            policy=SavePolicy(timeout_s=LIMIT_S),
        ),
        on_commit=lambda: None,
    )
    ways = [committer.lane() for _ in range(lanes)]
    futures = [ways[place % lanes].submit(one) for place, one in enumerate(units)]
    life = asyncio.create_task(committer.run())
    await committer.drained()
    life.cancel()
    await asyncio.wait([life])
    return sum(future.exception() is None for future in futures)


@pytest.mark.requirement("D9", "E1", "E8")
@given(
    each_s=st.floats(0.001, 9.9),
    count=st.integers(1, 300),
    lanes=st.integers(1, 20),
)
def test_no_session_loses_its_connection_because_many_write_at_once(
    each_s: float, count: int, lanes: int
) -> None:
    database = FarAway(each_s)
    units = [unit() for _ in range(count)]
    assert asyncio.run(saved_by(database, units, lanes)) == count
    assert database.saved == units


async def test_nobody_waits_long_for_others_once_it_is_known_how_slow_it_is() -> None:
    database = FarAway(0.1)
    assert await saved_by(database, [unit() for _ in range(500)], 10) == 500
    assert database.took[0] == LIMIT_S
    assert max(database.took[3:]) <= SLOW_S
