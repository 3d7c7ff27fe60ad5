"""Messages to send: stored before they are answered for, and once for each idempotency key."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypedDict

import pytest

from perene.core.errors import Conflict
from perene.core.ids import Epoch, SessionId
from perene.core.messages import Status
from perene.core.unit import AddressPair
from perene.store.store import Store
from tests.support.units import ANA, LID, ME, PN, START, key, message, status, unit


class Asked(TypedDict):
    idempotency_key: str
    request_hash: bytes


ASKED: Asked = {"idempotency_key": "k", "request_hash": b"hash"}

pytestmark = pytest.mark.usefixtures("ana")


async def test_a_message_is_queued_with_its_event(store: Store) -> None:
    one = message(key("A", from_me=True), body=b"to send")
    queued = await store.queue_message(ANA, one)
    assert queued.message.key == one.key
    assert queued.message.status is Status.QUEUED
    assert await store.list_messages(ANA) == [queued]
    assert (await store.reader(ANA, Epoch(0)).queued_messages(9))[0].body == b"to send"
    [told] = await store.events_after(0)
    assert told.event == one.event


@pytest.mark.requirement("C8")
async def test_the_same_request_under_the_same_key_returns_the_same_message(store: Store) -> None:
    first = await store.queue_message(ANA, message(key("A", from_me=True)), **ASKED)
    await store.commit([unit(status_changes=(status("A", Status.SENT),))])
    second = await store.queue_message(ANA, message(key("B", from_me=True)), **ASKED)
    assert (first.message.key.id, second.message.key.id) == ("A", "A")
    assert second.row == first.row
    assert second.message.status is Status.SENT
    assert len(await store.list_messages(ANA)) == 1


async def test_another_request_under_the_same_key_is_a_conflict(store: Store) -> None:
    await store.queue_message(
        ANA, message(key("A", from_me=True)), idempotency_key="k", request_hash=b"one"
    )
    with pytest.raises(Conflict, match="another request"):
        await store.queue_message(
            ANA, message(key("B", from_me=True)), idempotency_key="k", request_hash=b"two"
        )
    assert len(await store.list_messages(ANA)) == 1
    assert len(await store.events_after(0)) == 1


async def test_keys_of_two_sessions_do_not_meet(store: Store) -> None:
    bob = SessionId("bob")
    await store.create_session(bob)
    for session in (ANA, bob):
        queued = await store.queue_message(
            session, message(key("A", from_me=True)), idempotency_key="k", request_hash=b"one"
        )
        assert await store.list_messages(session) == [queued]


async def test_a_refused_message_does_not_use_up_its_key(store: Store) -> None:
    await store.queue_message(ANA, message(key("A", from_me=True)))
    with pytest.raises(Conflict, match="exists"):
        await store.queue_message(ANA, message(key("A", from_me=True)), idempotency_key="k")
    again = await store.queue_message(ANA, message(key("B", from_me=True)), idempotency_key="k")
    assert again.message.key.id == "B"


async def test_requests_at_the_same_time_create_one_message(store: Store) -> None:
    queued = await asyncio.gather(
        *(
            store.queue_message(
                ANA, message(key(f"A{n}", from_me=True)), idempotency_key="k", request_hash=b"h"
            )
            for n in range(8)
        )
    )
    assert await store.list_messages(ANA) == [queued[0]]
    assert queued == [queued[0]] * 8


@pytest.mark.requirement("C9")
async def test_a_message_to_a_phone_number_goes_into_the_persons_conversation(
    store: Store,
) -> None:
    await store.commit([unit(messages=(message(key("A")),))])
    await store.commit([unit(address_pairs=(AddressPair(pn=PN, lid=LID),))])
    queued = await store.queue_message(ANA, message(key("B", chat=PN, from_me=True)))
    assert queued.message.key.chat == LID
    assert len(await store.list_conversations(ANA)) == 1


@pytest.mark.requirement("C9")
async def test_a_first_message_makes_the_conversation_that_answers_arrive_in(
    store: Store,
) -> None:
    queued = await store.queue_message(ANA, message(key("A", chat=PN, from_me=True)))
    answer = unit(
        address_pairs=(AddressPair(pn=PN, lid=LID),), messages=(message(key("B", chat=LID)),)
    )
    await store.commit([answer])
    [conversation] = await store.list_conversations(ANA)
    assert (conversation.id, conversation.chat) == (queued.conversation, LID)


async def test_a_key_returns_its_message_after_the_conversation_was_merged(store: Store) -> None:
    first = await store.queue_message(
        ANA, message(key("A", chat=PN, sender=ME, from_me=True)), **ASKED
    )
    await store.commit([unit(address_pairs=(AddressPair(pn=PN, lid=LID),))])
    again = await store.queue_message(ANA, message(key("B", chat=PN, from_me=True)), **ASKED)
    assert again.row == first.row
    assert again.message.body == b"body"


async def test_idempotency_keys_are_forgotten_after_their_time(store: Store) -> None:
    await store.queue_message(ANA, message(key("A", from_me=True)), idempotency_key="k")
    assert await store.purge(idempotency_keys_before=START) == 0
    assert await store.purge(idempotency_keys_before=START + timedelta(days=1)) == 1
    again = await store.queue_message(ANA, message(key("B", from_me=True)), idempotency_key="k")
    assert again.message.key.id == "B"


async def test_old_idempotency_keys_are_purged_a_little_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    purged, write = list[int](), store.database.write

    async def watched(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        purged.append(await write(fn, *args, **kwargs))
        return purged[-1]

    for number in range(5):
        await store.queue_message(
            ANA, message(key(from_me=True)), idempotency_key=f"k{number}", request_hash=b"h"
        )
    monkeypatch.setattr(store.database, "write", watched)
    later = START + timedelta(days=1)
    assert await store.purge(idempotency_keys_before=later, at_once=2) == 5
    assert purged == [2, 2, 1, 0]
