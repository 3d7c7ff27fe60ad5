"""The end of a session: at once for whoever asks, and bit by bit in the database."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from perene.core.errors import NotFound
from perene.core.events import EventType
from perene.core.ids import Epoch
from perene.core.messages import Fate
from perene.core.sessions import SessionOptions
from perene.store.deleting import remove_remains
from perene.store.store import Store
from tests.contract.store.make_golden import ALERT
from tests.contract.store.whole import BOB, full, rows
from tests.support.units import ANA, START, entry, event, key, message, unit

COUNTED = ("outbox", "first_epoch")
"""How far the events have come, and the epochs of sessions that are gone, is known for good."""


async def grow(store: Store, messages: int) -> None:
    """Give a session so many messages."""
    for _ in range(messages):
        one = key()
        hashes = (os.urandom(32),)
        ledger = (entry(one, Fate.DELIVERED),)
        await store.commit([unit(messages=(message(one),), ledger=ledger, ciphertexts=hashes)])


async def test_a_deleted_session_leaves_nothing_but_the_news(store: Store) -> None:
    await store.create_session(BOB)
    before = await rows(store)
    await store.create_session(ANA, options=SessionOptions(proxy="http://p"), event=event())
    await store.commit([full()])
    await store.queue_message(ANA, message(key(from_me=True)), idempotency_key="k")
    await store.archive_credentials(ANA, Epoch(0), "unlinked")
    await store.commit([full()])
    await store.save_alerts([replace(ALERT, subject=ANA)])
    await store.save_alert_conditions({(ALERT.rule, ANA): START})
    await store.save_hearing({ANA: b"learned"})
    during = await rows(store)
    emptied = {name for name in before if during[name] == before[name]}
    assert emptied == {"keyring", "api_keys", "client_versions", "remains"}

    gone = event(EventType.SESSION_DELETED)
    await store.delete_session(ANA, event=gone)
    removed = await store.remove_remains()

    after = await rows(store)
    assert removed > 0
    assert after == before | {"outbox": 1, "counters": len(COUNTED)}
    [stored] = await store.events_after(0)
    assert (stored.session, stored.event) == (ANA, gone)
    assert [record.id for record in await store.list_sessions()] == [BOB]


@pytest.mark.requirement("C1")
async def test_a_session_with_much_in_it_is_removed_a_little_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, write = list[int](), store.database.write

    async def watched(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        before = sum((await rows(store)).values())
        result = await write(fn, *args, **kwargs)
        sizes.append(before - sum((await rows(store)).values()))
        return result

    await store.create_session(BOB)
    await store.commit([full(BOB)])
    kept = await rows(store)
    await store.create_session(ANA)
    await store.commit([full()])
    await grow(store, messages=10)
    monkeypatch.setattr(store.database, "write", watched)
    await store.delete_session(ANA)
    removed = await store.remove_remains(at_once=3)
    assert await rows(store) == kept | {"counters": len(COUNTED)}
    assert removed == sum(sizes[1:])
    assert len(sizes) > 10
    # The first takes the session itself, its credentials and its data key.
    assert all(size <= 3 for size in sizes), sizes


@pytest.mark.requirement("E8")
async def test_a_session_is_deleted_whole_though_the_service_ends_over_it(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.create_session(BOB)
    kept = await rows(store)
    await store.create_session(ANA)
    await store.commit([full()])
    await grow(store, messages=10)
    await store.delete_session(ANA)

    later = open_store()
    with pytest.raises(NotFound):
        await later.get_session(ANA)
    assert [record.id for record in await later.list_sessions()] == [BOB]
    await later.remove_remains()
    assert await rows(later) == kept | {"counters": len(COUNTED)}


async def test_deleting_one_session_leaves_the_others_whole(store: Store) -> None:
    await store.create_session(ANA)
    await store.create_session(BOB)
    await store.commit([full(), full(BOB)])
    await store.delete_session(ANA)
    await store.remove_remains()
    reader = store.reader(BOB, Epoch(0))
    assert await reader.credentials() == b"credentials"
    assert await reader.ratchets(["1.0"]) == {"1.0": b"r"}
    assert len(await store.list_messages(BOB)) == 1
    assert len(await store.events_after(0, session=BOB)) == 1


async def test_a_session_made_again_starts_empty_and_stays_whole(store: Store) -> None:
    await store.create_session(ANA)
    await store.commit([full()])
    await store.delete_session(ANA, event=event(EventType.SESSION_DELETED))
    made = event(EventType.SESSION_CREATED)
    epoch = (await store.create_session(ANA, event=made)).epoch
    reader = store.reader(ANA, epoch)
    assert await reader.credentials() is None
    assert await reader.ratchets(["1.0"]) == {}
    assert await store.list_messages(ANA) == []
    await store.commit([full(epoch=epoch)])

    await store.remove_remains()

    assert await reader.credentials() == b"credentials"
    assert await reader.ratchets(["1.0"]) == {"1.0": b"r"}
    assert len(await store.list_messages(ANA)) == 1
    told = [one.event.type for one in await store.events_after(0, session=ANA)]
    assert told[:2] == [EventType.SESSION_DELETED, EventType.SESSION_CREATED]


async def test_events_of_a_deleted_session_go_first_for_its_id_is_free(store: Store) -> None:
    await store.create_session(ANA, event=event(EventType.SESSION_CREATED))
    await store.commit([full()])
    await grow(store, messages=3)
    told = len(await store.events_after(0, session=ANA))
    await store.delete_session(ANA)
    await store.database.write(remove_remains, limit=told)
    assert await store.events_after(0, session=ANA) == []
    assert (await rows(store))["messages"] == 4


async def test_several_deleted_sessions_are_all_removed(store: Store) -> None:
    kept = await rows(store)
    for _ in range(2):
        epoch = (await store.create_session(ANA)).epoch
        await store.commit([full(epoch=epoch)])
        await store.delete_session(ANA)
    await store.remove_remains()
    assert await rows(store) == kept | {"counters": len(COUNTED)}
    assert await store.remove_remains() == 0
