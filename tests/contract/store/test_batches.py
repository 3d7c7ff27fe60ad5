"""A batch means what its units mean one by one: group commit is only faster."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import Fate, MessageKey, Status
from perene.core.unit import (
    AddressPair,
    Committed,
    HolderChange,
    PreKeyWrite,
    RatchetWrite,
    SenderKeyWrite,
    Unit,
)
from perene.store import schema
from perene.store.store import Store
from tests.support.units import START, Bytes, entry, event, message, status, unit

pytestmark = pytest.mark.requirement("C8", "C9", "C13")

_names = count()

PNS = [f"551190000000{n}@s.whatsapp.net" for n in range(3)]
LIDS = [f"10000000000000{n}@lid" for n in range(3)]
GROUPS = ["1@g.us", "2@g.us"]
ADDRESSES = ["1.0", "1.1", "2_1.0"]

IDS = ["A", "B", "C", "D"]
CIPHERTEXTS = [b"1" * 32, b"2" * 32, b"3" * 32]

ids = st.sampled_from(IDS)


def tuples(strategy: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=most).map(tuple)


@st.composite
def message_keys(draw: st.DrawFn, people: Sequence[str]) -> MessageKey:
    """Draw a key of a small world, so that keys meet."""
    sender = draw(st.sampled_from(people))
    chat = draw(st.sampled_from([sender, *GROUPS]))
    from_me = draw(st.booleans())
    if from_me:
        chat, sender = draw(st.sampled_from([*people, *GROUPS])), "99@lid"
    return MessageKey(chat=chat, sender=sender, id=MessageId(draw(ids)), from_me=from_me)


def _pair(pn: str, lid: str) -> AddressPair:
    return AddressPair(pn=pn, lid=lid)


def states() -> st.SearchStrategy[Bytes | None]:
    return st.none() | st.binary(min_size=1, max_size=3).map(Bytes)


Fields = dict[str, st.SearchStrategy[Any]]
"""Fields of a unit, and what they are drawn from."""


def key_material() -> Fields:
    """Draw what is kept of keys: the session's own, those with peers and groups, and pre-keys."""
    addresses, groups = st.sampled_from(ADDRESSES), st.sampled_from(GROUPS)
    pre_keys = st.integers(1, 4)
    return {
        "credentials": st.none() | st.binary(max_size=3).map(Bytes),
        "ratchets": tuples(st.builds(RatchetWrite, address=addresses, state=states())),
        "sender_keys": tuples(
            st.builds(SenderKeyWrite, group=groups, address=addresses, state=states())
        ),
        "holders": tuples(
            st.builds(
                HolderChange,
                group=groups,
                added=tuples(addresses),
                removed=tuples(addresses),
                forget_all=st.booleans(),
            )
        ),
        "pre_keys_added": tuples(
            st.builds(PreKeyWrite, id=pre_keys, private=st.binary(max_size=2))
        ),
        "pre_keys_uploaded": tuples(pre_keys),
        "pre_keys_consumed": tuples(pre_keys),
    }


def conversation(keys: st.SearchStrategy[MessageKey]) -> Fields:
    """Draw messages, and what becomes of them."""
    return {
        "messages": tuples(st.builds(message, keys, text=st.text(max_size=3), body=st.binary())),
        "status_changes": tuples(
            st.builds(status, ids, st.sampled_from([s for s in Status if s != Status.RECEIVED]))
        ),
        "ledger": tuples(
            st.builds(
                entry,
                keys,
                st.sampled_from(Fate),
                reason=st.none() | st.sampled_from(["bad_mac", "no_ratchet"]),
                retries=st.integers(0, 3),
            )
        ),
        "ciphertexts": tuples(st.sampled_from(CIPHERTEXTS)),
    }


AGREEING = st.sampled_from(list(map(_pair, PNS, LIDS)))
"""Numbers that change hands are told apart in test_one_conversation."""
ANY_PAIR = st.builds(_pair, st.sampled_from(PNS), st.sampled_from(LIDS))


def units_of(
    people: Sequence[str], *, pairs: st.SearchStrategy[AddressPair] | None
) -> st.SearchStrategy[Unit]:
    """Draw units; without pairs, each person keeps to one address."""
    return st.builds(
        unit,
        **key_material(),
        **conversation(message_keys(people)),
        address_pairs=st.just(()) if pairs is None else tuples(pairs, 1),
        events=tuples(st.builds(event), 1),
    )


def stored(connection: Connection, session: SessionId) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a session in comparable form: without row ids and sealed bytes."""
    key = connection.execute(
        select(schema.sessions.c.key).where(schema.sessions.c.id == session)
    ).scalar_one()
    chats = {
        row.id: row.chat
        for row in connection.execute(
            select(schema.conversations).where(schema.conversations.c.session == key)
        )
    }
    found: dict[str, list[tuple[object, ...]]] = {}
    for table in schema.metadata.sorted_tables:
        if table is schema.outbox or "session" not in table.c:
            continue
        hidden = {"session", "sealed"} | ({"id"} if table is not schema.pre_keys else set())
        rows = connection.execute(select(table).where(table.c.session == key)).mappings()
        found[table.name] = sorted(
            (
                tuple(
                    chats[value] if name == "conversation" else value
                    for name, value in row.items()
                    if name not in hidden
                )
                for row in rows
            ),
            key=repr,
        )
    return found


async def read_by_owner(store: Store, session: SessionId) -> list[object]:
    """Return all that the owner of a session is answered, as this small world asks."""
    reader = store.reader(session, Epoch(0))
    names = [address.split(".")[0] for address in ADDRESSES]
    return [
        await opened(store, session),
        await store.archived_credentials(session),
        await reader.pre_keys_not_uploaded(9),
        sorted(await reader.ratchet_addresses(names)),
        sorted(await reader.sender_key_addresses(names)),
        [await reader.sender_key_holders(group) for group in GROUPS],
        sorted(await reader.known_ciphertexts(CIPHERTEXTS)),
        sorted((one.pn, one.lid) for one in await reader.address_pairs([*PNS, *LIDS])),
        [await reader.own_message(MessageId(one)) for one in IDS],
        await reader.queued_messages(9),
        [one.chat for one in await store.list_conversations(session)],
        await store.counts(session),
        [one.event for one in await store.events_after(0, session=session, limit=1000)],
    ]


async def opened(store: Store, session: SessionId) -> list[object]:
    """Return everything of a session that is sealed, opened."""
    reader = store.reader(session, Epoch(0))
    messages = await store.list_messages(session, limit=100, newest_first=False)
    return [
        await reader.credentials(),
        await reader.ratchets(ADDRESSES),
        [await reader.sender_key(group, one) for group in GROUPS for one in ADDRESSES],
        [(await reader.pre_keys([n])).get(n) for n in range(1, 5)],
        [(one.message.key, one.message.body, one.message.text) for one in messages],
    ]


def _in_its_moment(one: Unit, number: int) -> Unit:
    """Return a unit with ledger entries of times of their own.

    Where two addresses turn out to be one person's, the entry that came first stays; which that is
    can only be told by its time.
    """
    moments = (START + timedelta(seconds=number, milliseconds=place) for place in count())
    lines = tuple(replace(line, at=at) for line, at in zip(one.ledger, moments, strict=False))
    return replace(one, ledger=lines)


async def _compare(store: Store, units: list[Unit], *, exactly: bool) -> None:
    units = [_in_its_moment(one, number) for number, one in enumerate(units)]
    batched = SessionId(f"batched{next(_names)}")
    single = SessionId(f"single{next(_names)}")
    for session in (batched, single):
        await store.create_session(session)
    as_batch = [_renamed(one, batched, "b") for one in units]
    one_by_one = [_renamed(one, single, "s") for one in units]

    together = await store.commit(as_batch)
    alone = [(await store.commit([one]))[0] for one in one_by_one]

    left = await store.database.read(stored, batched)
    assert left == await store.database.read(stored, single)
    told = [
        [one.event.id[1:] for one in await store.events_after(0, session=session, limit=1000)]
        for session in (batched, single)
    ]
    if exactly:
        assert together == alone
        assert told[0] == told[1]
        assert await opened(store, batched) == await opened(store, single)
    else:
        # A pair that comes later in the batch already unites the copies that come before it.
        assert set(told[0]) <= set(told[1])
    again = await store.commit(as_batch)
    assert again == [Committed(new_messages=0)] * len(units)


def _renamed(one: Unit, session: SessionId, mark: str) -> Unit:
    """Return the unit for another session; its events get ids of their own."""

    def marked(told: Any) -> Any:
        return None if told is None else replace(told, id=mark + told.id)

    return replace(
        one,
        session=session,
        messages=tuple(replace(each, event=marked(each.event)) for each in one.messages),
        status_changes=tuple(
            replace(each, event=marked(each.event)) for each in one.status_changes
        ),
        events=tuple(marked(each) for each in one.events),
    )


# One database serves all examples of a test: each makes sessions of its own.
_examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_examples
@given(units=st.lists(units_of([*LIDS[:2], PNS[2]], pairs=None), max_size=6))
async def test_a_batch_means_what_its_units_mean_one_by_one(
    store: Store, units: list[Unit]
) -> None:
    await _compare(store, units, exactly=True)


@_examples
@given(units=st.lists(units_of([*LIDS, *PNS], pairs=AGREEING), max_size=6))
async def test_a_batch_that_learns_addresses_stores_what_its_units_store_one_by_one(
    store: Store, units: list[Unit]
) -> None:
    await _compare(store, units, exactly=False)


@_examples
@given(
    units=st.lists(units_of([*LIDS, *PNS], pairs=AGREEING), min_size=1, max_size=5),
    cut=st.integers(0, 5),
)
async def test_what_is_committed_again_in_parts_changes_nothing(
    store: Store, units: list[Unit], cut: int
) -> None:
    """Nobody heard of the first commit, and less is tried at once from then on."""
    session = SessionId(f"again{next(_names)}")
    await store.create_session(session)
    units = [_renamed(one, session, "a") for one in _in_order(units)]
    await store.commit(units)
    left = await store.database.read(stored, session)
    open_before = await opened(store, session)
    told = await store.events_after(0, session=session, limit=1000)

    again = [*await store.commit(units[:cut]), *await store.commit(units[cut:])]

    assert again == [Committed(new_messages=0)] * len(units)
    assert await store.database.read(stored, session) == left
    assert await opened(store, session) == open_before
    assert await store.events_after(0, session=session, limit=1000) == told


@settings(_examples, max_examples=12)
@given(
    both=st.lists(units_of([*LIDS, *PNS], pairs=ANY_PAIR), min_size=1, max_size=4),
    more=st.lists(units_of([*LIDS, *PNS], pairs=ANY_PAIR), min_size=1, max_size=4),
)
async def test_what_one_session_commits_leaves_another_with_the_same_ids_as_it_was(
    store: Store, both: list[Unit], more: list[Unit]
) -> None:
    number = next(_names)
    one, other = SessionId(f"one{number}"), SessionId(f"other{number}")
    for session in (one, other):
        await store.create_session(session)
        await store.commit([unit(session=session, credentials=Bytes(b"of old"))])
        await store.archive_credentials(session, Epoch(0), "unlinked")
        await store.commit([_renamed(each, session, session) for each in both])
    left = await store.database.read(stored, other)
    known = await read_by_owner(store, other)

    await store.commit([_renamed(each, one, "more") for each in more])
    await store.archive_credentials(one, Epoch(0), "unlinked")
    await store.commit([_renamed(each, one, "again") for each in more])
    await store.destroy_credentials(one, Epoch(0))

    assert await store.database.read(stored, other) == left
    assert await read_by_owner(store, other) == known


def _in_order(units: list[Unit]) -> list[Unit]:
    """Leave out what is said of a message before it comes: it would be taken the second time."""
    kept = []
    for place, one in enumerate(units):
        later = {each.key.id for unit in units[place + 1 :] for each in unit.messages}
        said = tuple(each for each in one.status_changes if each.id not in later)
        kept.append(replace(one, status_changes=said))
    return kept
