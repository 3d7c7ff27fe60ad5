"""A service that takes a database over keeps out the one before, which may come back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from perene.core.errors import ForgottenEpoch, StaleEpoch, StorageUnavailable
from perene.core.ids import Epoch, SessionId
from perene.core.sessions import Desired, SessionOptions
from perene.core.unit import Committed
from perene.store.store import Store
from tests.contract.store.whole import BOB
from tests.support.units import ANA, ManualClock, event, key, message, unit

pytestmark = pytest.mark.requirement("D9", "F5")


@dataclass
class Hold:
    """Whether this service has the database; `looking` is done when it is asked for that."""

    lost: bool = False
    looking: Callable[[], None] = lambda: None

    def guard(self, _: Connection) -> None:
        self.looking()
        if self.lost:
            raise StorageUnavailable("another service holds the database")


@pytest.fixture
def hold() -> Hold:
    return Hold()


@pytest.fixture
async def held(url: str, clock: ManualClock, key_file: Path, hold: Hold) -> AsyncIterator[Store]:
    """Return the store of a service that holds the database, with the session `ana`."""
    store = Store.open(url, clock=clock, key_file=key_file, guard=hold.guard)
    await store.create_session(ANA)
    yield store
    await store.close()


@dataclass(frozen=True)
class Request:
    """Something that a service may have in hand when it comes back."""

    name: str
    ask: Callable[[Store], Awaitable[object]]


REQUESTS = [
    Request("create", lambda store: store.create_session(SessionId("new"))),
    Request("acquire", lambda store: store.acquire(ANA)),
    Request("want", lambda store: store.set_desired(ANA, Desired.STOPPED)),
    Request("name", lambda store: store.set_name(ANA, "another")),
    Request("options", lambda store: store.set_options(ANA, SessionOptions(proxy="http://p:1"))),
    Request("delete", lambda store: store.delete_session(ANA, event=event())),
    Request("fence", lambda store: store.fence({ANA: Epoch(0)})),
    Request(
        "message",
        lambda store: store.queue_message(ANA, message(key(from_me=True)), request_hash=b""),
    ),
]
requests = pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: one.name)


async def all_there_is(store: Store) -> tuple[Any, ...]:
    return await store.list_sessions(), await store.last_seq()


@requests
async def test_a_service_that_has_lost_the_database_changes_nothing_of_its_sessions(
    held: Store, hold: Hold, request_: Request
) -> None:
    before = await all_there_is(held)
    hold.lost = True

    with pytest.raises(StorageUnavailable, match="another service"):
        await request_.ask(held)

    assert await all_there_is(held) == before
    hold.lost = False
    await request_.ask(held)
    assert await all_there_is(held) != before


# A row that is new is seen or not: no other that somebody has read is changed by it.
@pytest.mark.parametrize(
    "request_",
    [one for one in REQUESTS if one.name not in ("create", "message")],
    ids=lambda one: one.name,
)
@pytest.mark.parametrize("backend", ["postgresql"])
async def test_whoever_takes_the_database_waits_for_what_is_just_committed(
    held: Store, hold: Hold, url: str, request_: Request
) -> None:
    refused: list[type[Exception]] = []

    def take() -> None:
        # What the next service does first (`fence`), while this one is sure of its hold for the
        # last time: if it could, an older owner's change would come after it.
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            try:
                connection.execute("SELECT FROM sessions FOR NO KEY UPDATE NOWAIT")
            except psycopg.errors.LockNotAvailable as error:
                refused.append(type(error))

    hold.looking = take
    await request_.ask(held)
    assert refused == [psycopg.errors.LockNotAvailable]


async def test_a_fence_keeps_out_every_earlier_owner(held: Store, store: Store) -> None:
    await held.create_session(BOB)
    epochs = {session: await held.acquire(session) for session in (ANA, BOB)}
    assert await store.epochs() == epochs

    assert await store.fence(await store.epochs())

    late = [unit(session=session, epoch=epoch) for session, epoch in epochs.items()]
    assert [type(outcome) for outcome in await held.commit(late)] == [StaleEpoch, StaleEpoch]
    for session, epoch in epochs.items():
        with pytest.raises(StaleEpoch):
            await held.reader(session, epoch).require_ownership()


async def test_a_fence_that_is_heard_of_late_keeps_out_no_later_owner(store: Store) -> None:
    await store.create_session(ANA)
    found = await store.epochs()
    assert await store.fence(found)
    epoch = await store.acquire(ANA)

    assert not await store.fence(found), "somebody has taken it since"

    await store.reader(ANA, epoch).require_ownership()
    [outcome] = await store.commit([unit(session=ANA, epoch=epoch)])
    assert isinstance(outcome, Committed)


async def test_a_session_that_is_gone_or_new_is_no_matter_to_a_fence(store: Store) -> None:
    await store.create_session(ANA)
    found = {**await store.epochs(), BOB: Epoch(3)}
    assert await store.fence(found)
    assert await store.fence({}) is False, "ana is there, and was not found"


async def test_who_asks_whether_a_session_is_its_own_learns_why_not(store: Store) -> None:
    await store.create_session(ANA)
    epoch = await store.acquire(ANA)
    await store.reader(ANA, epoch).require_ownership()
    with pytest.raises(ForgottenEpoch, match="back in time"):
        await store.reader(ANA, Epoch(epoch + 1)).require_ownership()
    with pytest.raises(ForgottenEpoch, match="no session"):
        await store.reader(BOB, epoch).require_ownership()


async def test_who_owned_a_deleted_session_writes_nothing_to_another_of_its_name(
    store: Store,
) -> None:
    for _ in range(3):
        await store.create_session(ANA)
        epoch = await store.acquire(ANA)
        epoch = await store.acquire(ANA, epoch)
        await store.delete_session(ANA)
        created = await store.create_session(ANA)
        assert created.epoch == (await store.get_session(ANA)).epoch > epoch
        own = [await store.acquire(ANA) for _ in range(3)]

        [outcome] = await store.commit([unit(session=ANA, epoch=epoch)])
        assert isinstance(outcome, StaleEpoch)
        assert epoch not in own

        await store.delete_session(ANA)


async def test_many_who_take_over_at_once_leave_one_epoch_behind(
    open_store: Callable[[], Store],
) -> None:
    one, other = open_store(), open_store()
    await one.create_session(ANA)
    found = await one.epochs()
    assert sorted(await asyncio.gather(one.fence(found), other.fence(found))) == [False, True]
    assert await one.epochs() == {ANA: found[ANA] + 1}
