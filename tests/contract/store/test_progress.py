"""Nobody goes on in a database that has lost what this process committed to it."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, delete, update

from perene.core.errors import ForgottenEpoch, NotFound
from perene.core.events import Event, EventType
from perene.core.unit import Committed, RatchetWrite
from perene.store.outbox import append_events
from perene.store.schema import counters, outbox
from perene.store.store import Store
from tests.support.units import ANA, START, Bytes, event, message, unit

pytestmark = [pytest.mark.requirement("E8", "F4"), pytest.mark.usefixtures("ana")]

COMMITTED = Committed(new_messages=0)
SAFE = Event(type=EventType.DATABASE_WENT_BACK, at=START)


async def lose(store: Store, count: int) -> None:
    """Take the newest numbers back, as a fail-over does to a server that lagged behind."""
    kept = await store.last_seq() - count

    def go_back(connection: Connection) -> None:
        connection.execute(delete(outbox).where(outbox.c.seq > kept))
        connection.execute(update(counters).where(counters.c.name == "outbox").values(value=kept))

    await store.database.write(go_back)


async def test_what_follows_a_loss_is_refused_until_it_is_made_safe(store: Store) -> None:
    assert await store.commit([unit(events=(event(), event()))]) == [COMMITTED]
    assert await store.loss() is None
    reached = await store.last_seq()
    await lose(store, 1)
    assert await store.loss() == (reached - 1, reached)

    following = [unit(messages=(message(),)), unit(events=(event(),))]
    refused = await store.commit(following)
    assert [type(one) for one in refused] == [ForgottenEpoch] * 2
    assert "reach to" in str(refused[0])
    with pytest.raises(ForgottenEpoch):
        await store.acquire(ANA)
    with pytest.raises(ForgottenEpoch):
        await store.append_events([(ANA, event())])
    assert await store.list_messages(ANA) == []
    assert await store.last_seq() == reached - 1

    await store.skip_events(reached + 100, SAFE)
    assert await store.loss() is None
    assert await store.commit(following) == [Committed(new_messages=1), COMMITTED]
    assert await store.acquire(ANA) > 0


async def test_numbers_that_were_lost_are_not_given_again(store: Store) -> None:
    await store.append_events([(ANA, event()), (ANA, event())])
    reached = await store.last_seq()
    await lose(store, 1)
    await store.skip_events(reached, SAFE)
    await store.skip_events(reached, event())
    assert [one.seq for one in await store.events_after(reached - 1)] == [reached + 1, reached + 2]


async def test_a_loss_of_keys_alone_is_noticed(store: Store) -> None:
    """No event tells of what was written for a resend, or of a group's keys."""
    written = unit(ratchets=(RatchetWrite(address="200.0", state=Bytes(b"chain")),))
    assert await store.commit([written]) == [COMMITTED]
    await lose(store, 1)
    [refused] = await store.commit([written])
    assert isinstance(refused, ForgottenEpoch)


async def test_what_was_never_committed_cannot_be_lost(store: Store) -> None:
    await store.append_events([(ANA, event())])

    def fail(connection: Connection) -> None:
        append_events(connection, [(ANA, event()), (ANA, event())])
        raise NotFound("after the numbers were taken")

    with pytest.raises(NotFound):
        await store.database.write(fail)
    assert await store.commit([unit(events=(event(),))]) == [COMMITTED]
    assert await store.loss() is None


async def test_another_process_knows_only_of_its_own(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.commit([unit(events=(event(), event(), event()))])
    other = open_store()
    await lose(store, 2)
    assert await other.loss() is None
    assert await other.commit([unit(events=(event(),))]) == [COMMITTED]
