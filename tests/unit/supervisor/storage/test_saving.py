"""How long a save may take, what is said about it, and that a full queue goes out in order."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from perene.core.errors import StaleEpoch, StorageError, StorageUnavailable
from perene.core.ids import CommitId
from perene.core.unit import Committed, Outcome, PeerMessage, Unit
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.saver import Commit, SavePolicy, Saver
from tests.support.commits import nothing_unheard
from tests.support.units import ManualClock, unit

NOW_OR_NEVER = SavePolicy(timeout_s=0)
"""A try ends as soon as it has to wait for anything."""


def numbered(lane: int, number: int) -> Unit:
    return unit(peer_messages=(PeerMessage(id=f"{lane}.{number}", kind="test", body=b""),))


@asynccontextmanager
async def running(commit: Commit, policy: SavePolicy) -> AsyncGenerator[Committer]:
    one = Committer(
        Saver(
            commit=commit,
            recall=nothing_unheard,
            clock=ManualClock(),
            policy=policy,
        ),
        on_commit=lambda: None,
    )
    life = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        life.cancel()
        await asyncio.wait([life])


@pytest.mark.requirement("E1")
async def test_a_try_that_takes_too_long_counts_as_failed() -> None:
    tries = 0

    async def hang(_units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        nonlocal tries
        tries += 1
        await asyncio.Event().wait()
        return []

    async with running(hang, NOW_OR_NEVER) as committer:
        with pytest.raises(StorageUnavailable) as caught:
            await committer.lane().submit(numbered(0, 0))
    assert tries == 3
    assert isinstance(caught.value.__cause__, TimeoutError)


@pytest.mark.requirement("E1")
def test_without_settings_a_save_has_three_tries_of_ten_seconds() -> None:
    policy = SavePolicy()
    assert (policy.attempts, policy.timeout_s, policy.wait_s) == (3, 10.0, 2.0)


@pytest.mark.requirement("E7")
async def test_every_try_is_logged_with_its_number_the_limit_and_the_reason() -> None:
    failures = [StorageUnavailable("no room"), TimeoutError()]

    async def commit(units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        if failures:
            raise failures.pop(0)
        return [Committed(new_messages=0) for _ in units]

    async with running(commit, SavePolicy()) as committer:
        with capture_logs() as logged:
            await committer.lane().submit(numbered(0, 0))
    assert [(line["event"], line["attempt"]) for line in logged] == [
        ("save_retrying", 1),
        ("save_retrying", 2),
        ("saved", 3),
    ]
    assert [(line["limit"], line["reason"]) for line in logged[:2]] == [
        (3, "no room"),
        (3, "timed out"),
    ]


@pytest.mark.requirement("E7")
async def test_a_save_that_failed_for_good_is_logged_as_that() -> None:
    async def commit(_units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        raise StorageUnavailable("no room")

    async with running(commit, SavePolicy()) as committer:
        with capture_logs() as logged, pytest.raises(StorageUnavailable):
            await committer.lane().submit(numbered(0, 0))
    assert [line["event"] for line in logged] == ["save_retrying", "save_retrying", "save_failed"]


async def test_a_save_that_goes_well_says_nothing() -> None:
    async def commit(units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        return [Committed(new_messages=0) for _ in units]

    async with running(commit, SavePolicy()) as committer:
        with capture_logs() as logged:
            await committer.lane().submit(numbered(0, 0))
    assert logged == []


class FatefulStore:
    """Saves units, but for the second one of each lane, which meets the lane's fate."""

    def __init__(self, fates: Sequence[str]) -> None:
        self.saved: list[str] = []
        self._struck = {f"{lane}.1": fate for lane, fate in enumerate(fates)}
        self._stale: set[str] = set()

    async def commit(self, units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        names = [one.peer_messages[0].id for one in units]
        fates = [self._struck.get(name, "ok") for name in names]
        if "down" in fates:
            raise StorageUnavailable("down")
        if "poison" in fates:
            raise StorageError("refused")
        self._stale.clear()
        return [self._outcome(name, fate) for name, fate in zip(names, fates, strict=True)]

    def _outcome(self, name: str, fate: str) -> Outcome:
        lane = name.partition(".")[0]
        if fate == "stale" or lane in self._stale:
            # A store refuses every unit of an owner that is stale.
            self._stale.add(lane)
            return StaleEpoch("taken over")
        self.saved.append(name)
        return Committed(new_messages=0)


async def submit_all(committer: Committer, plan: Sequence[int]) -> list[tuple[str, bool]]:
    """Submit units, each in the lane that `plan` names; return their names, and who was saved."""
    lanes = [committer.lane() for _ in range(4)]
    counts = [0] * 4
    futures: list[tuple[str, asyncio.Future[Committed]]] = []
    for lane in plan:
        future = lanes[lane].submit(numbered(lane, counts[lane]))
        futures.append((f"{lane}.{counts[lane]}", future))
        counts[lane] += 1
    await committer.drained()
    return [(name, future.exception() is None) for name, future in futures]


@given(
    plan=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    fates=st.lists(st.sampled_from(["ok", "down", "poison", "stale"]), min_size=4, max_size=4),
    at_once=st.integers(1, 6),
)
def test_each_lane_is_saved_as_an_unbroken_beginning_in_its_order(
    plan: list[int], fates: list[str], at_once: int
) -> None:
    store = FatefulStore(fates)

    async def save() -> list[tuple[str, bool]]:
        async with running(store.commit, SavePolicy(max_units=at_once)) as committer:
            return await submit_all(committer, plan)

    ended = asyncio.run(save())
    for lane in range(4):
        own = [good for name, good in ended if name.startswith(f"{lane}.")]
        assert own == sorted(own, reverse=True)
        names = [name for name in store.saved if name.startswith(f"{lane}.")]
        assert names == [f"{lane}.{number}" for number in range(sum(own))]
