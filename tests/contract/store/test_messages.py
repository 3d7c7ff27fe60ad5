"""Messages: each stored once, found again by whoever asks."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from perene.core.errors import NotFound, StorageError
from perene.core.failures import Failure, FailureCode
from perene.core.ids import Epoch, MessageId
from perene.core.messages import Fate, Message, Status
from perene.core.unit import Committed
from perene.store import schema
from perene.store.store import Store
from tests.support.units import (
    ANA,
    GROUP,
    LID,
    ME,
    OTHER_LID,
    START,
    entry,
    event,
    key,
    message,
    status,
    unit,
)

pytestmark = pytest.mark.usefixtures("ana")


@pytest.mark.requirement("C8")
async def test_a_message_received_twice_is_stored_and_told_once(store: Store) -> None:
    one = key("A")
    first, second = message(one, text="first"), message(one, text="second")
    assert await store.commit([unit(messages=(first,))]) == [Committed(new_messages=1)]
    assert await store.commit([unit(messages=(second,))]) == [Committed(new_messages=0)]
    [stored] = await store.list_messages(ANA)
    assert stored.message.text == "first"
    [told] = await store.events_after(0)
    assert told.event == first.event


@pytest.mark.requirement("C8")
async def test_a_message_twice_in_one_batch_is_stored_and_told_once(store: Store) -> None:
    one = key("A")
    units = [unit(messages=(message(one),)) for _ in range(3)]
    results = await store.commit(units)
    assert results == [Committed(new_messages=n) for n in (1, 0, 0)]
    assert len(await store.list_messages(ANA)) == 1
    assert len(await store.events_after(0)) == 1


@pytest.mark.requirement("C8")
async def test_a_large_batch_tells_the_new_messages_from_those_it_had(store: Store) -> None:
    # More than one statement of many rows, and a rest.
    keys = [key(f"{n:03}", chat=LID if n % 2 else OTHER_LID) for n in range(137)]
    before = [unit(messages=(message(one),)) for one in keys[::5]]
    assert await store.commit(before) == [Committed(new_messages=1)] * len(before)

    results = await store.commit([unit(messages=(message(one),)) for one in keys])

    assert results == [Committed(new_messages=0 if n % 5 == 0 else 1) for n in range(137)]
    stored = await store.list_messages(ANA, limit=200, newest_first=False)
    assert sorted(one.message.key.id for one in stored) == sorted(one.id for one in keys)


@pytest.mark.requirement("C8")
async def test_an_id_is_unique_only_within_chat_sender_and_direction(store: Store) -> None:
    keys = [
        key("A", chat=LID),
        key("A", chat=OTHER_LID),
        key("A", chat=GROUP, sender=LID),
        key("A", chat=GROUP, sender=OTHER_LID),
        key("A", chat=LID, from_me=True),
        key("B", chat=LID),
    ]
    await store.commit([unit(messages=tuple(message(one) for one in keys))])
    stored = await store.list_messages(ANA, newest_first=False)
    assert [row.message.key for row in stored] == keys
    found = await store.find_messages(ANA, MessageId("A"))
    assert [row.message.key for row in found] == keys[:5]


@pytest.mark.requirement("C8")
async def test_the_database_itself_refuses_a_second_copy(store: Store) -> None:
    await store.commit([unit(messages=(message(),))])

    def copy(connection: Connection) -> None:
        row = connection.execute(select(schema.messages)).mappings().one()
        values = {name: value for name, value in row.items() if name != "id"}
        connection.execute(insert(schema.messages).values(**values))

    with pytest.raises(StorageError) as refused:
        await store.database.write(copy)
    assert isinstance(refused.value.__cause__, IntegrityError)


async def test_a_message_comes_back_as_it_went_in(store: Store) -> None:
    whole = Message(
        key=key("A", chat=GROUP, sender=LID),
        kind="image",
        text="a caption \N{GRINNING FACE}",
        body=bytes(range(256)) * 20,
        timestamp=START + timedelta(microseconds=1),
        status=Status.RECEIVED,
        push_name="Ana",
        sender_device=12,
    )
    await store.commit([unit(messages=(whole,))])
    [stored] = await store.list_messages(ANA)
    assert stored.message == whole
    assert stored.session == ANA
    assert stored.received_at == START
    assert await store.get_message(ANA, stored.row) == stored
    with pytest.raises(NotFound):
        await store.get_message(ANA, stored.row + 1)


async def test_pages_of_messages_follow_each_other_without_gap_or_overlap(store: Store) -> None:
    keys = [key(f"{n:02}", chat=LID if n % 2 else OTHER_LID) for n in range(20)]
    for one in keys:
        await store.commit([unit(messages=(message(one),))])

    async def pages(*, chat: str | None, newest_first: bool) -> list[str]:
        ids: list[str] = []
        cursor: int | None = None
        while page := await store.list_messages(
            ANA, chat=chat, cursor=cursor, limit=3, newest_first=newest_first
        ):
            assert len(page) <= 3
            ids += [stored.message.key.id for stored in page]
            cursor = page[-1].row
        return ids

    ids = [one.id for one in keys]
    assert await pages(chat=None, newest_first=False) == ids
    assert await pages(chat=None, newest_first=True) == ids[::-1]
    assert await pages(chat=LID, newest_first=False) == ids[1::2]
    assert await pages(chat="nobody@lid", newest_first=True) == []


async def test_receipts_move_a_status_up_and_never_down(store: Store) -> None:
    await store.commit([unit(messages=(message(key("A", from_me=True), tell=False),))])
    moves = [
        status("A", Status.SENT, minutes=1),
        status("A", Status.READ, minutes=2),
        status("A", Status.DELIVERED, minutes=3),
        status("A", Status.READ, minutes=4),
        status("A", Status.PLAYED, minutes=5),
        status("A", Status.FAILED, minutes=6),
    ]
    for move in moves:
        await store.commit([unit(status_changes=(move,))])
    [stored] = await store.list_messages(ANA)
    assert stored.message.status is Status.PLAYED
    assert stored.status_at == moves[4].at
    told = [stored.event for stored in await store.events_after(0)]
    assert told == [moves[0].event, moves[1].event, moves[4].event]


async def test_status_changes_of_one_batch_are_applied_in_their_order(store: Store) -> None:
    moves = [status("A", Status.DELIVERED), status("A", Status.SENT), status("A", Status.READ)]
    await store.commit(
        [
            unit(status_changes=(status("A", Status.PLAYED),)),
            unit(messages=(message(key("A", from_me=True), tell=False),)),
            *(unit(status_changes=(move,)) for move in moves),
        ]
    )
    [stored] = await store.list_messages(ANA)
    assert stored.message.status is Status.READ
    assert [e.event for e in await store.events_after(0)] == [moves[0].event, moves[2].event]


@pytest.mark.parametrize(
    "failure", [Failure.of_refusal("463"), Failure(code=FailureCode.NO_DEVICES)], ids=str
)
async def test_a_failure_keeps_its_reason_until_a_receipt_proves_it_wrong(
    store: Store, failure: Failure
) -> None:
    await store.commit([unit(messages=(message(key("A", from_me=True)),))])
    await store.commit([unit(status_changes=(status("A", Status.FAILED, failure=failure),))])
    [stored] = await store.list_messages(ANA)
    assert (stored.message.status, stored.failure) == (Status.FAILED, failure)
    [found] = await store.find_messages(ANA, MessageId("A"))
    assert found.failure == failure
    await store.commit([unit(status_changes=(status("A", Status.DELIVERED),))])
    [stored] = await store.list_messages(ANA)
    assert (stored.message.status, stored.failure) == (Status.DELIVERED, None)


async def test_a_failure_that_comes_too_late_or_is_taken_back_at_once_leaves_no_reason(
    store: Store,
) -> None:
    await store.commit([unit(messages=(message(key("A", from_me=True)),))])
    refused = status("A", Status.FAILED, failure=Failure.of_refusal("479"))
    await store.commit(
        [unit(status_changes=(refused,)), unit(status_changes=(status("A", Status.READ),))]
    )
    await store.commit([unit(status_changes=(refused,))])
    [stored] = await store.list_messages(ANA)
    assert (stored.message.status, stored.failure) == (Status.READ, None)


async def test_a_server_code_of_odd_characters_is_kept_as_far_as_can_be(store: Store) -> None:
    await store.commit([unit(messages=(message(key("A", from_me=True)),))])
    odd = status("A", Status.FAILED, failure=Failure.of_refusal("4\x0063\ud800"))
    await store.commit([unit(status_changes=(odd,))])
    [stored] = await store.list_messages(ANA)
    assert stored.failure is not None
    assert stored.failure.code is FailureCode.REFUSED


async def test_a_receipt_never_touches_a_received_message(store: Store) -> None:
    await store.commit([unit(messages=(message(key("A"), tell=False),))])
    await store.commit(
        [unit(status_changes=(status("A", Status.READ), status("nobody's", Status.READ)))]
    )
    [stored] = await store.list_messages(ANA)
    assert stored.message.status is Status.RECEIVED
    assert await store.events_after(0) == []


async def test_own_messages_are_found_by_their_id_alone(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    others = [message(key("A"), body=b"not ours"), message(key("B"), body=b"not ours")]
    earlier = message(key("A", from_me=True), body=b"sent before")
    own = message(key("A", chat=GROUP, from_me=True), body=b"to be sent again", tell=False)
    later = message(key("A", chat="2@lid"), body=b"not ours")
    await store.commit([unit(messages=(*others, earlier, own, later))])
    assert await reader.own_message(MessageId("A")) == own
    assert await reader.own_message(MessageId("B")) is None


async def test_queued_messages_come_oldest_first_until_they_are_answered(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    own = [message(key(f"Q{n}", from_me=True), tell=False) for n in range(4)]
    await store.commit([unit(messages=(message(), *own))])
    assert await reader.queued_messages(9) == own
    assert await reader.queued_messages(2) == own[:2]
    await store.commit([unit(status_changes=(status("Q0", Status.SENT),))])
    await store.commit([unit(status_changes=(status("Q2", Status.FAILED),))])
    assert await reader.queued_messages(9) == [own[1], own[3]]


async def test_conversations_are_listed_by_their_last_message(store: Store) -> None:
    chats = ["1@lid", "2@lid", "3@lid"]
    for n, chat in enumerate(chats):
        at = START + timedelta(minutes=n)
        await store.commit([unit(messages=(message(key(chat=chat), at=at),))])
    await store.commit(
        [unit(messages=(message(key(chat="1@lid"), at=START + timedelta(hours=1)),))]
    )
    page = await store.list_conversations(ANA, limit=2)
    assert [conversation.chat for conversation in page] == ["1@lid", "3@lid"]
    assert page[0].last_message_at == START + timedelta(hours=1)
    rest = await store.list_conversations(ANA, cursor=page[-1].last_row, limit=2)
    assert [conversation.chat for conversation in rest] == ["2@lid"]


async def test_counts_tell_how_much_a_session_holds(store: Store) -> None:
    one, two = key(), key()
    await store.commit(
        [
            unit(
                messages=(message(one), message(key(from_me=True)), message(key(chat=GROUP))),
                ledger=(entry(one, Fate.DELIVERED), entry(two, Fate.PENDING, minutes=5)),
            )
        ]
    )
    counts = await store.counts(ANA)
    assert counts.messages[Status.RECEIVED] == 2
    assert counts.messages[Status.QUEUED] == 1
    assert counts.fates[Fate.DELIVERED] == 1
    assert counts.fates[Fate.LOST] == 0
    assert counts.conversations == 2
    later = await store.counts(ANA, since=START + timedelta(minutes=1))
    assert (later.fates[Fate.DELIVERED], later.fates[Fate.PENDING]) == (0, 1)


async def test_events_of_a_unit_follow_those_of_its_messages_and_receipts(store: Store) -> None:
    await store.commit([unit(messages=(message(key("A", from_me=True, sender=ME), tell=False),))])
    last, one, move = event(), message(), status("A", Status.SENT)
    await store.commit([unit(events=(last,), messages=(one,), status_changes=(move,))])
    told = [stored.event for stored in await store.events_after(0)]
    assert told == [one.event, move.event, last]
