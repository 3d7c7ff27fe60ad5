"""Staged state: drafts over a stage over a store, true only by a commit."""

from unittest.mock import patch

import pytest

from perene.core.errors import UnreadableState
from perene.core.messages import Fate
from perene.core.unit import HolderChange
from perene.crypto import KeyPair
from perene.engine.addresses import signal_address
from perene.engine.draft import Draft
from perene.engine.stage import Stage
from perene.signal import (
    PreKey,
    SenderKeyRecord,
    create_sender_key,
)
from perene.signal.address import Address
from perene.wire.jid import Jid
from tests.support.units import GROUP, entry, key
from tests.unit.engine.fakes import MemoryStore, committed, some_ratchet, stage_on

RATCHET = some_ratchet()
OLD, NEW = Address("15550000002", 0), Address("200000000000002_1", 0)


async def test_a_dropped_draft_leaves_no_trace(stage: Stage, store: MemoryStore) -> None:
    draft = Draft(stage)
    draft.set_ratchet(NEW, some_ratchet())
    draft.set_sender_key(GROUP, NEW, create_sender_key(SenderKeyRecord.empty))
    draft.consume_pre_key(7)
    draft.credentials = stage.credentials.changed(next_pre_key_id=99)

    after = Draft(stage)
    assert (await after.ratchet(NEW)).is_empty
    assert (await after.sender_key(GROUP, NEW)).is_empty
    assert stage.credentials.next_pre_key_id == 1
    assert (stage.consumed, store.pending) == (set(), [])


async def test_the_next_draft_builds_on_a_submitted_one_before_its_commit(
    stage: Stage, store: MemoryStore
) -> None:
    ratchet = some_ratchet()
    draft = Draft(stage)
    draft.set_ratchet(NEW, ratchet)
    draft.credentials = stage.credentials.changed(next_pre_key_id=99)
    draft.submit()
    assert store.ratchet_rows == {}
    assert await Draft(stage).ratchet(NEW) is ratchet
    assert stage.credentials is draft.credentials
    store.settle()
    assert store.stored_credentials == draft.credentials.serialize()


async def test_what_is_dropped_is_none_from_then_on(stage: Stage, store: MemoryStore) -> None:
    store.ratchet_rows[str(OLD)] = RATCHET.serialize()
    store.sender_key_rows[GROUP, str(OLD)] = create_sender_key(SenderKeyRecord.empty).serialize()
    draft = Draft(stage)
    draft.drop_ratchet(OLD)
    draft.drop_sender_key(GROUP, OLD)
    for one in (draft, Draft(stage)):
        dropped = one is draft
        assert (await one.ratchet(OLD)).is_empty == dropped
        assert (await one.sender_key(GROUP, OLD)).is_empty == dropped
    draft.submit()
    after = Draft(stage)
    assert (await after.ratchet(OLD)).is_empty
    assert (await after.sender_key(GROUP, OLD)).is_empty
    store.settle()
    assert (store.ratchet_rows, store.sender_key_rows) == ({}, {})


@pytest.mark.requirement("C13")
async def test_another_stage_sees_only_what_is_committed(stage: Stage, store: MemoryStore) -> None:
    first, second = Draft(stage), Draft(stage)
    first.set_ratchet(OLD, some_ratchet())
    first.submit()
    store.settle()
    second.set_ratchet(NEW, some_ratchet())
    second.submit()

    next_connection = Draft(stage_on(store))
    assert not (await next_connection.ratchet(OLD)).is_empty
    assert (await next_connection.ratchet(NEW)).is_empty


async def test_a_pre_key_is_used_up_from_the_moment_its_use_is_submitted(
    stage: Stage, store: MemoryStore
) -> None:
    pair = KeyPair.generate()
    store.pre_key_rows[7] = pair.private
    draft = Draft(stage)
    assert await draft.pre_key(7) == PreKey(id=7, key_pair=pair)
    draft.consume_pre_key(7)
    assert await draft.pre_key(7) is None
    assert await Draft(stage).pre_key(7) is not None
    draft.submit()
    assert await Draft(stage).pre_key(7) is None
    store.settle()
    assert await Draft(stage).pre_key(7) is None


async def test_the_fate_of_a_message_is_known_before_its_commit(
    stage: Stage, store: MemoryStore
) -> None:
    one = key()
    draft = Draft(stage)
    draft.ledger.append(entry(one, Fate.DELIVERED))
    draft.submit()
    found = await stage.ledger_entry(one)
    assert found is not None
    assert found.fate is Fate.DELIVERED
    await committed(store)
    assert await stage.ledger_entry(one) == store.ledger[one]


async def test_a_ciphertext_is_in_flight_until_its_commit(stage: Stage, store: MemoryStore) -> None:
    draft = Draft(stage)
    draft.ciphertexts.append(b"h" * 32)
    done = draft.submit()
    assert stage.in_flight == {b"h" * 32: done}
    await committed(store)
    assert stage.in_flight == {}


async def test_what_is_committed_may_be_forgotten_and_is_read_again(store: MemoryStore) -> None:
    stage = stage_on(store)
    kept = some_ratchet()
    for number in range(700):
        draft = Draft(stage)
        draft.set_ratchet(Address(str(number), 0), kept)
        draft.submit()
    assert len(stage.ratchets) == 700  # nothing is committed yet, so nothing may go
    await committed(store)
    draft = Draft(stage)
    draft.set_ratchet(NEW, kept)
    draft.submit()
    await committed(store)
    assert len(stage.ratchets) <= 513
    assert not (await Draft(stage).ratchet(Address("0", 0))).is_empty


async def test_many_ratchets_are_read_in_one_go_and_those_at_hand_not_again(
    stage: Stage, store: MemoryStore
) -> None:
    ratchet = some_ratchet()
    store.ratchet_rows[str(OLD)] = ratchet.serialize()
    await stage.load_ratchets([OLD, NEW])
    await stage.load_ratchets([NEW, OLD])
    draft = Draft(stage)
    assert (await draft.ratchet(OLD)).base_key == ratchet.base_key
    assert (await draft.ratchet(NEW)).is_empty
    assert store.reads == ["ratchets"]


async def test_what_is_not_committed_is_never_forgotten(store: MemoryStore) -> None:
    """However much is: read again, it would be what it was before."""
    stage = stage_on(store)
    record = create_sender_key(SenderKeyRecord.empty)
    holder = HolderChange(group="kept", added=("1.0",))
    await stage.holders.of("kept")
    first = Draft(stage)
    first.set_ratchet(NEW, some_ratchet())
    first.set_sender_key("kept", NEW, record)
    first.holders.change(holder)
    first.submit()
    for number in range(600):
        draft = Draft(stage)
        draft.set_ratchet(Address(str(number), 0), RATCHET)
        draft.set_sender_key(str(number), NEW, record)
        await stage.holders.of(str(number))
        draft.submit()
    first_unit = store.pending.pop(0)
    await committed(store)
    for cache in (stage.ratchets, stage.sender_keys, stage.holders.staged):
        assert len(cache) == 601

    store.pending.append(first_unit)
    await committed(store)
    for cache in (stage.ratchets, stage.sender_keys, stage.holders.staged):
        assert len(cache) == 512
    assert not (await Draft(stage).sender_key("kept", NEW)).is_empty
    assert await stage.holders.of("kept") == {"1.0"}


async def test_a_ratchet_in_use_is_not_the_one_to_be_forgotten(store: MemoryStore) -> None:
    stage = stage_on(store)
    record = create_sender_key(SenderKeyRecord.empty)
    for number in range(512):
        draft = Draft(stage)
        draft.set_ratchet(Address(str(number), 0), RATCHET)
        draft.set_sender_key(str(number), NEW, record)
        draft.submit()
    await Draft(stage).ratchet(Address("0", 0))
    await Draft(stage).sender_key("0", NEW)
    last = Draft(stage)
    last.set_ratchet(NEW, RATCHET)
    last.set_sender_key(GROUP, NEW, record)
    last.submit()
    await committed(store)
    assert ("0.0" in stage.ratchets, "1.0" in stage.ratchets) == (True, False)
    kept = [("0", str(NEW)) in stage.sender_keys, ("1", str(NEW)) in stage.sender_keys]
    assert kept == [True, False]


def write(stage: Stage, what: str) -> None:
    """Hand over the first ratchet, or sender key, of somebody."""
    draft = Draft(stage)
    if what == "ratchet":
        draft.set_ratchet(OLD, RATCHET)
    else:
        draft.set_sender_key(GROUP, OLD, create_sender_key(SenderKeyRecord.empty))
    draft.submit()


@pytest.mark.parametrize("what", ["ratchet", "sender key"])
async def test_a_stranger_is_one_until_something_is_written_under_the_name(
    stage: Stage, store: MemoryStore, what: str
) -> None:
    store.ratchet_rows[str(Address("known", 2))] = b""
    store.sender_key_rows[GROUP, str(Address("writer", 0))] = b""
    names = ["known", "writer", OLD.name, "nobody"]
    await stage.look_for_strangers(names)
    assert [stage.is_stranger(name) for name in names] == [False, False, True, True]
    write(stage, what)
    assert [stage.is_stranger(name) for name in names] == [False, False, False, True]
    await stage.look_for_strangers([])
    assert not stage.is_stranger("nobody")


@pytest.mark.parametrize("what", ["ratchet", "sender key"])
async def test_whose_first_ratchet_is_being_committed_is_no_stranger(
    stage: Stage, store: MemoryStore, what: str
) -> None:
    """It is in the store before it is forgotten here, and has to be found there."""
    write(stage, what)
    await stage.look_for_strangers([OLD.name, "nobody"])
    await committed(store)
    stage.ratchets.clear()
    stage.sender_keys.clear()
    assert await Draft(stage).ratchets_of(OLD.name) == ({OLD} if what == "ratchet" else set())
    assert await Draft(stage).sender_keys_of(OLD.name) == (
        {(GROUP, OLD)} if what == "sender key" else set()
    )
    assert stage.is_stranger("nobody")


async def test_what_is_committed_and_forgotten_while_the_store_answers_is_found(
    stage: Stage, store: MemoryStore
) -> None:
    draft = Draft(stage)
    draft.set_ratchet(OLD, RATCHET)
    draft.set_sender_key(GROUP, OLD, create_sender_key(SenderKeyRecord.empty))
    draft.submit()

    async def forgotten(_names: object) -> list[str]:
        await committed(store)
        stage.ratchets.clear()
        stage.sender_keys.clear()
        return []

    with (
        patch.object(store, "ratchet_addresses", forgotten),
        patch.object(store, "sender_key_addresses", forgotten),
    ):
        assert await Draft(stage).sender_keys_of(OLD.name) == {(GROUP, OLD)}
        draft = Draft(stage)
        draft.set_ratchet(OLD, RATCHET)
        draft.submit()
        assert await Draft(stage).ratchets_of(OLD.name) == {OLD}


async def test_pre_keys_of_a_batch_are_read_in_one_go_but_for_those_used_up(
    stage: Stage, store: MemoryStore
) -> None:
    for key_id in (7, 8, 9):
        store.pre_key_rows[key_id] = KeyPair.generate().private
    draft = Draft(stage)
    draft.consume_pre_key(7)
    draft.submit()
    await stage.load_pre_keys([7, 8, 9])
    await committed(store)
    for key_id in (8, 9):
        assert await stage.pre_key(key_id) == store.pre_key_rows[key_id]
    await stage.load_pre_keys([])
    assert store.reads.count("pre_keys") == 1
    assert await stage.pre_key(7) is None
    second = Draft(stage)
    second.consume_pre_key(8)
    second.submit()
    await committed(store)
    assert await stage.pre_key(8) is None


@pytest.mark.parametrize("what", ["ratchet", "sender key"])
async def test_a_damaged_row_is_never_taken_for_none(
    stage: Stage, store: MemoryStore, what: str
) -> None:
    store.ratchet_rows[str(NEW)] = b"damaged"
    store.sender_key_rows[GROUP, str(NEW)] = b"damaged"
    draft = Draft(stage)
    with pytest.raises(UnreadableState):
        await (draft.ratchet(NEW) if what == "ratchet" else draft.sender_key(GROUP, NEW))


def test_addresses_of_devices_have_the_names_of_their_kind() -> None:
    assert str(signal_address(Jid.parse("15550000002:4@s.whatsapp.net"))) == "15550000002.4"
    assert str(signal_address(Jid.parse("200000000000002@lid"))) == "200000000000002_1.0"
