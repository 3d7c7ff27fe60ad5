"""What became of a transaction that was not heard of."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from perene.core.errors import ForgottenEpoch, StaleEpoch
from perene.core.ids import CommitId, new_commit_id
from perene.core.unit import Committed
from perene.store.store import Store
from perene.store.units import commit_units
from tests.contract.store.together import together
from tests.support.units import ANA, START, event, message, unit

pytestmark = [pytest.mark.requirement("C13", "E1", "E8"), pytest.mark.usefixtures("ana")]

NOTHING_NEW = Committed(new_messages=0)


async def test_a_try_that_was_committed_is_known_with_what_became_of_its_units(
    store: Store,
) -> None:
    epoch = await store.acquire(ANA)
    units = [unit(epoch=epoch, messages=(message(),)), unit(epoch=epoch - 1)]
    tried, never = new_commit_id(), new_commit_id()
    await store.commit(units, tried)
    done, stale = await store.recall({never: units[:1], tried: units}) or []
    assert done == NOTHING_NEW
    assert isinstance(stale, StaleEpoch)


@pytest.mark.parametrize("events", [(), (event(), event())])
async def test_it_is_known_whether_it_has_events_or_not(
    store: Store, events: tuple[object, ...]
) -> None:
    tried = new_commit_id()
    one = unit(events=events)
    first = await store.last_seq()
    await store.commit([one], tried)
    assert await store.last_seq() == first + max(1, len(events))
    assert await store.recall({tried: [one]}) == [NOTHING_NEW]


async def test_a_try_that_was_not_committed_is_not_known(store: Store) -> None:
    """Neither in a fresh database, nor after others, nor when it was rolled back."""
    one, lost = unit(messages=(message(),)), new_commit_id()
    assert await store.recall({lost: [one]}) is None
    await store.commit([unit()], new_commit_id())
    assert await store.recall({lost: [one]}) is None

    def fail_at_the_end(connection: Connection) -> None:
        commit_units(connection, store.keyring, store.caches, [one], now=START, commit_id=lost)
        raise ForgottenEpoch("rolls back")

    with pytest.raises(ForgottenEpoch):
        await store.database.write(fail_at_the_end)
    assert await store.recall({lost: [one]}) is None


async def test_what_others_commit_meanwhile_changes_nothing(store: Store) -> None:
    tried = new_commit_id()
    await store.commit([unit()], tried)
    await store.append_events([(ANA, event())])
    await store.commit([unit()])
    assert await store.recall({tried: [unit()]}) == [NOTHING_NEW]


async def test_of_several_tries_the_one_that_was_committed_is_told(store: Store) -> None:
    units = [unit(), unit(), unit()]
    large, small = new_commit_id(), new_commit_id()
    await store.commit(units[:1], small)
    assert await store.recall({large: units, small: units[:1]}) == [NOTHING_NEW]


async def test_a_session_that_was_taken_over_or_deleted_since_is_refused(store: Store) -> None:
    epoch = await store.acquire(ANA)
    tried, one = new_commit_id(), unit(epoch=epoch)
    await store.commit([one], tried)
    await store.acquire(ANA)
    assert [type(found) for found in await store.recall({tried: [one]}) or []] == [StaleEpoch]
    await store.delete_session(ANA)
    assert [type(found) for found in await store.recall({tried: [one]}) or []] == [ForgottenEpoch]


async def test_what_was_committed_unheard_counts_for_whether_the_database_goes_back(
    store: Store, open_store: Callable[[], Store]
) -> None:
    """The writing thread of `store` has not seen that commit; another process stands for it."""
    tried = new_commit_id()
    await open_store().commit([unit()], tried)
    reached = await store.last_seq()
    assert store.database.progress.reached < reached
    await store.recall({tried: [unit()]})
    assert store.database.progress.reached == reached


async def test_the_largest_id_can_be_stored(store: Store) -> None:
    tried = CommitId(2**63 - 1)
    for _ in range(2):
        await store.commit([unit()], tried)
        assert await store.recall({tried: [unit()]}) == [NOTHING_NEW]


@pytest.mark.parametrize("backend", ["postgresql"])
async def test_a_commit_that_is_still_under_way_is_waited_for(
    store: Store, open_store: Callable[[], Store]
) -> None:
    """Its client is gone, but the server has its last word: only the locks tell."""
    tried, one = new_commit_id(), unit(messages=(message(),))
    other = open_store()

    def commit(connection: Connection) -> object:
        return commit_units(
            connection, other.keyring, other.caches, [one], now=START, commit_id=tried
        )

    _, recalled = await together(other.database, commit, store.recall({tried: [one]}))
    assert recalled == [NOTHING_NEW]
