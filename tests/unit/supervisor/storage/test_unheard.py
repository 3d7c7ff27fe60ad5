"""A transaction that failed here may have been committed: then no part of it is tried again."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from perene.core.errors import StaleEpoch, StorageError, StorageUnavailable
from perene.core.ids import CommitId
from perene.core.unit import Committed, Outcome, PeerMessage, Unit
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.saver import SavePolicy, Saver, Tried
from tests.support.units import ManualClock, unit

pytestmark = pytest.mark.requirement("C13", "E1", "F1")

LIMIT_S = 10.0


def numbered(count: int) -> list[Unit]:
    return [
        unit(peer_messages=(PeerMessage(id=str(number), kind="test", body=b""),))
        for number in range(count)
    ]


def number_of(one: Unit) -> int:
    return int(one.peer_messages[0].id)


class Database:
    """Does with each transaction, and with each question about one, what comes next in a list.

    ok: it is done; lost: it is not, and nobody is told; unheard: it is, and nobody is told.
    When the list is at its end all is ok.
    """

    def __init__(self, fates: Iterable[str]) -> None:
        self.clock = ManualClock()
        self.committed: list[int] = []
        """The numbers of the units, each as often as it was committed."""
        self.tried: list[int] = []
        """How many units each transaction had."""
        self.asked = 0
        self._fates = deque(fates)
        self._last: CommitId | None = None

    async def commit(self, units: Sequence[Unit], commit_id: CommitId) -> Sequence[Outcome]:
        self.tried.append(len(units))
        fate = self._next()
        if fate != "lost":
            self.committed += map(number_of, units)
            self._last = commit_id
        await self._silence(fate)
        return [Committed(new_messages=1) for _ in units]

    async def recall(self, tried: Tried) -> Sequence[Outcome] | None:
        self.asked += 1
        await self._silence(self._next())
        found = tried.get(self._last) if self._last is not None else None
        return None if found is None else [Committed(new_messages=0) for _ in found]

    def _next(self) -> str:
        return self._fates.popleft() if self._fates else "ok"

    async def _silence(self, fate: str) -> None:
        if fate != "ok":
            await self.clock.sleep(LIMIT_S)
            raise StorageUnavailable("no answer")


def saver_of(database: Database) -> Saver:
    return Saver(
        commit=database.commit,
        recall=database.recall,
        clock=database.clock,
        policy=SavePolicy(timeout_s=LIMIT_S),
    )


async def test_what_was_committed_unheard_is_not_committed_again_in_part() -> None:
    database = Database(["unheard"])
    with capture_logs() as logged:
        outcomes = await saver_of(database).save(numbered(256))
    assert outcomes == [Committed(new_messages=0)] * 256
    assert (database.tried, database.asked) == ([256], 1)
    assert [(line["event"], line["units"]) for line in logged] == [
        ("save_retrying", 256),
        ("saved", 256),
    ]


async def test_what_was_not_committed_is_tried_again_smaller() -> None:
    database = Database(["lost"])
    assert len(await saver_of(database).save(numbered(256))) == 16
    assert (database.tried, database.asked) == ([256, 16], 1)


async def test_every_try_is_asked_after() -> None:
    database = Database(["lost", "ok", "unheard"])
    assert len(await saver_of(database).save(numbered(256))) == 16
    assert (database.tried, database.asked) == ([256, 16], 2)


async def test_a_database_that_does_not_say_what_it_did_is_given_nothing() -> None:
    database = Database(["unheard", "lost", "lost"])
    with pytest.raises(StorageUnavailable):
        await saver_of(database).save(numbered(256))
    assert (database.tried, database.asked) == ([256], 2)


async def test_a_try_that_goes_well_is_not_asked_after() -> None:
    database = Database([])
    saver = saver_of(database)
    for _ in range(2):
        await saver.save(numbered(3))
    assert (database.tried, database.asked) == ([3, 3], 0)


async def test_a_question_that_hangs_ends_with_its_try() -> None:
    never = asyncio.Event()

    async def commit(_units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        raise StorageUnavailable("away")

    async def recall(_tried: Tried) -> Sequence[Outcome] | None:
        await never.wait()
        return None

    saver = Saver(
        commit=commit,
        recall=recall,
        clock=ManualClock(),
        policy=SavePolicy(timeout_s=0.001),
    )
    async with asyncio.timeout(30):
        with pytest.raises(StorageUnavailable) as caught:
            await saver.save(numbered(1))
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_a_unit_that_was_refused_unheard_is_refused() -> None:
    """And its lane ends, while the others' go on."""
    database = Database(["lost"])

    async def recall(tried: Tried) -> Sequence[Outcome] | None:
        (units,) = tried.values()
        return [StaleEpoch("taken over"), *[Committed(new_messages=0) for _ in units[1:]]]

    committer = Committer(
        Saver(
            commit=database.commit,
            recall=recall,
            clock=database.clock,
            policy=SavePolicy(timeout_s=LIMIT_S),
        ),
        on_commit=lambda: None,
    )
    units, lanes = numbered(2), [committer.lane(), committer.lane()]
    futures = [lane.submit(one) for lane, one in zip(lanes, units, strict=True)]
    life = asyncio.create_task(committer.run())
    await committer.drained()
    life.cancel()
    await asyncio.wait([life])
    assert isinstance(futures[0].exception(), StaleEpoch)
    assert await futures[1] == Committed(new_messages=0)


@given(
    st.integers(1, 300),
    st.lists(st.sampled_from(["ok", "ok", "lost", "unheard"]), max_size=12),
)
def test_no_unit_is_committed_twice_and_none_before_those_in_front_of_it(
    count: int, fates: list[str]
) -> None:
    """Neither is one that is told to be saved missing."""
    database = Database(fates)
    units = numbered(count)

    async def save_all() -> int:
        saver, saved = saver_of(database), 0
        while saved < count:
            try:
                saved += len(await saver.save(units[saved:]))
            except StorageError:
                break
        return saved

    saved = asyncio.run(save_all())
    assert database.committed == list(range(len(database.committed)))
    assert saved <= len(database.committed)
    assert saved == count or len(fates) >= 3
