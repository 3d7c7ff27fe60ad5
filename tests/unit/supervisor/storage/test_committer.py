"""Group commit: one transaction for what has gathered, in order, and no lane hurts another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from perene.core.errors import StaleEpoch, StorageError, StorageUnavailable
from perene.core.ids import CommitId
from perene.core.messages import Fate
from perene.core.unit import Committed, Outcome, PeerMessage, RatchetWrite, Unit
from perene.supervisor.storage.committer import Committer, Lane, LaneBroken
from perene.supervisor.storage.saver import SavePolicy, Saver
from tests.support.commits import nothing_unheard
from tests.support.units import entry, key, message, unit
from tests.support.virtual_clock import VirtualClock


def named(name: str) -> Unit:
    """Make a unit that can be told from others."""
    return unit(peer_messages=(PeerMessage(id=name, kind="test", body=b""),))


def name_of(one: Unit) -> str:
    return one.peer_messages[0].id


class Database:
    """Commits when it is told to, and fails as it is told to."""

    def __init__(self) -> None:
        self.tried: list[list[str]] = []
        self.committed: list[str] = []
        self.failures: list[StorageError] = []
        self.poisoned: set[str] = set()
        self.stale: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def commit(self, units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Outcome]:
        names = [name_of(one) for one in units]
        self.tried.append(names)
        self.asked.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        if self.poisoned.intersection(names):
            raise StorageError("the database refuses this")
        self.committed += [name for name in names if name not in self.stale]
        return [
            StaleEpoch("owned by another") if name in self.stale else Committed(new_messages=1)
            for name in names
        ]


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def rung() -> list[int]:
    """Count the calls of `on_commit`."""
    return []


@pytest.fixture
async def committer(
    database: Database, clock: VirtualClock, rung: list[int]
) -> AsyncIterator[Committer]:
    one = Committer(
        Saver(
            commit=database.commit,
            recall=nothing_unheard,
            clock=clock,
            policy=SavePolicy(max_units=4),
        ),
        on_commit=lambda: rung.append(1),
    )
    running = asyncio.create_task(one.run())
    yield one
    running.cancel()


def submit(lane: Lane, *names: str) -> list["asyncio.Future[Committed]"]:
    return [lane.submit(named(name)) for name in names]


async def outcome(future: "asyncio.Future[Committed]") -> str:
    """Return the name of what a future ended with."""
    try:
        return type(await future).__name__
    except StorageError as error:
        return type(error).__name__


async def test_what_gathers_during_a_transaction_shares_the_next_one(
    committer: Committer, database: Database, rung: list[int]
) -> None:
    database.gate.clear()
    one, other = committer.lane(), committer.lane()
    futures = submit(one, "a1")
    await database.asked.wait()
    futures += submit(one, "a2") + submit(other, "b1") + submit(one, "a3")
    database.gate.set()
    await asyncio.gather(*futures)

    assert database.tried == [["a1"], ["a2", "b1", "a3"]]
    assert (committer.committed_units, committer.transactions, len(rung)) == (4, 2, 2)


async def test_units_commit_in_their_order_however_many_there_are(
    committer: Committer, database: Database
) -> None:
    names = [f"u{number}" for number in range(11)]
    await asyncio.gather(*submit(committer.lane(), *names))
    assert database.committed == names
    assert [len(batch) for batch in database.tried] == [4, 4, 3]


@pytest.mark.requirement("E1")
async def test_saving_is_tried_three_times_with_growing_waits(
    committer: Committer, database: Database, clock: VirtualClock
) -> None:
    database.failures = [StorageUnavailable("down")] * 2
    [future] = submit(committer.lane(), "a1")
    for wait in (2.0, 4.0):
        await clock.until_asleep(wait)
        assert committer.failing
        await clock.advance(wait)
    assert await outcome(future) == "Committed"
    assert database.tried == [["a1"]] * 3
    assert not committer.failing


@pytest.mark.requirement("E1")
async def test_after_the_third_failure_every_lane_of_the_transaction_is_broken(
    committer: Committer, database: Database, clock: VirtualClock
) -> None:
    database.failures = [StorageUnavailable("down")] * 3
    one, other = committer.lane(), committer.lane()
    futures = submit(one, "a1") + submit(other, "b1")
    for wait in (2.0, 4.0):
        await clock.until_asleep(wait)
        await clock.advance(wait)
    assert [await outcome(f) for f in futures] == ["StorageUnavailable"] * 2
    [late] = submit(one, "a2")
    assert await outcome(late) == "LaneBroken"
    assert database.tried == [["a1", "b1"]] * 3
    # The next connection has a lane of its own, and the database is back.
    assert await outcome(submit(committer.lane(), "c1")[0]) == "Committed"
    assert database.committed == ["c1"]


@pytest.mark.requirement("C13")
async def test_what_follows_a_failure_in_its_lane_fails_too(
    committer: Committer, database: Database
) -> None:
    database.poisoned = {"a2"}
    lane = committer.lane()
    futures = submit(lane, "a1", "a2", "a3")
    assert [await outcome(f) for f in futures] == ["StorageError"] * 3
    [late] = submit(lane, "a4")
    with pytest.raises(LaneBroken) as caught:
        await late
    assert isinstance(caught.value.__cause__, StorageError)
    assert database.committed == []


async def test_a_poisoned_unit_fails_its_own_lane_only(
    committer: Committer, database: Database
) -> None:
    database.poisoned = {"b1"}
    one, two, three = (committer.lane() for _ in range(3))
    futures = submit(one, "a1") + submit(two, "b1") + submit(three, "c1") + submit(one, "a2")
    assert [await outcome(f) for f in futures] == [
        "Committed",
        "StorageError",
        "Committed",
        "Committed",
    ]
    assert database.committed == ["a1", "a2", "c1"]


async def test_a_stale_owner_is_refused_and_others_in_the_transaction_are_not(
    committer: Committer, database: Database
) -> None:
    database.stale = {"a1"}
    one, other = committer.lane(), committer.lane()
    futures = submit(one, "a1") + submit(other, "b1")
    assert [await outcome(f) for f in futures] == ["StaleEpoch", "Committed"]
    assert await outcome(submit(one, "a2")[0]) == "LaneBroken"


async def test_a_future_that_nobody_waits_for_holds_nothing_up(
    committer: Committer, database: Database
) -> None:
    lane = committer.lane()
    first, second = submit(lane, "a1", "a2")
    first.cancel()
    assert await outcome(second) == "Committed"
    assert database.committed == ["a1", "a2"]


async def test_a_future_that_nobody_waits_for_in_a_broken_lane_holds_nothing_up(
    committer: Committer, database: Database
) -> None:
    database.poisoned = {"a1"}
    lane = committer.lane()
    [first] = submit(lane, "a1")
    assert await outcome(first) == "StorageError"
    [second] = submit(lane, "a2")
    second.cancel()
    assert await outcome(submit(committer.lane(), "b1")[0]) == "Committed"


async def test_a_future_that_nobody_waits_for_may_fail(
    committer: Committer, database: Database
) -> None:
    database.poisoned = {"a1"}
    [first] = submit(committer.lane(), "a1")
    first.cancel()
    await committer.drained()
    assert await outcome(submit(committer.lane(), "b1")[0]) == "Committed"


PARTS: dict[str, dict[str, Any]] = {
    "messages": {"messages": (message(),)},
    "ratchets": {"ratchets": (RatchetWrite(address="1.0", state=None),)},
    "ledger": {"ledger": (entry(key(), Fate.DELIVERED),)},
}
"""What a message is made of; any of these tables may be the one that is locked."""


def with_part(name: str, part: str) -> Unit:
    return replace(named(name), **PARTS[part])


async def fail_for_good(
    committer: Committer, database: Database, clock: VirtualClock, *units: Unit
) -> None:
    """Let all tries of these units fail."""
    database.failures = [StorageUnavailable("no room")] * 3
    lane = committer.lane()
    futures = [lane.submit(one) for one in units]
    for wait in (2.0, 4.0):
        await clock.until_asleep(wait)
        await clock.advance(wait)
    assert [await outcome(future) for future in futures] == ["StorageUnavailable"] * len(units)
    await committer.drained()


@pytest.mark.parametrize("part", PARTS)
async def test_what_was_refused_must_be_taken_before_the_database_counts_as_well(
    committer: Committer, database: Database, clock: VirtualClock, part: str
) -> None:
    await fail_for_good(committer, database, clock, with_part("a1", part))
    assert await outcome(submit(committer.lane(), "b1")[0]) == "Committed"
    assert (committer.failing, committer.problem) == (True, "no room")
    assert await outcome(committer.lane().submit(with_part("c1", part))) == "Committed"
    assert not committer.failing


async def test_each_of_the_things_refused_must_be_taken(
    committer: Committer, database: Database, clock: VirtualClock
) -> None:
    units = [with_part(name, name) for name in PARTS]
    await fail_for_good(committer, database, clock, units[0])
    await fail_for_good(committer, database, clock, *units[1:])
    for number, one in enumerate(units):
        assert committer.failing
        assert await outcome(committer.lane().submit(one)) == "Committed"
        assert committer.failing is (number < len(units) - 1)


async def test_a_write_of_somebody_else_ends_an_outage_that_kept_no_message_away(
    committer: Committer, database: Database, clock: VirtualClock
) -> None:
    await fail_for_good(committer, database, clock, named("a1"))
    assert committer.failing
    committer.another_wrote()
    assert not committer.failing


async def test_a_write_of_somebody_else_does_not_prove_that_messages_are_taken(
    committer: Committer, database: Database, clock: VirtualClock
) -> None:
    """Not until long after the last of them was tried: nobody brings it any more."""
    await clock.advance(1000)
    await fail_for_good(committer, database, clock, with_part("a1", "messages"))
    await clock.advance(300)
    committer.another_wrote()
    assert committer.failing
    await clock.advance(60)
    committer.another_wrote()
    assert not committer.failing
    # What was refused then is forgotten with it.
    await fail_for_good(committer, database, clock, named("b1"))
    committer.another_wrote()
    assert not committer.failing


async def test_a_write_of_somebody_else_ends_no_outage_that_is_being_waited_out(
    committer: Committer, database: Database, clock: VirtualClock
) -> None:
    database.failures = [StorageUnavailable("down")]
    [future] = submit(committer.lane(), "a1")
    await clock.until_asleep(2.0)
    committer.another_wrote()
    assert committer.failing
    await clock.advance(2.0)
    assert await outcome(future) == "Committed"


@pytest.mark.parametrize("spoil", [lambda d: None, lambda d: d.poisoned.add("a1")])
async def test_drained_returns_once_everything_is_decided(
    committer: Committer, database: Database, spoil: Callable[[Database], None]
) -> None:
    await committer.drained()
    spoil(database)
    database.gate.clear()
    futures = submit(committer.lane(), "a1", "a2", "a3", "a4", "a5")
    drained = asyncio.create_task(committer.drained())
    await asyncio.sleep(0)
    assert not drained.done()
    database.gate.set()
    await drained
    assert all(future.done() for future in futures)
    await asyncio.gather(*futures, return_exceptions=True)
