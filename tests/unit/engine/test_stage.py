"""Staged state: drafts over a stage over a store, true only by a commit."""

import pytest

from perene.core.errors import UnreadableState
from perene.core.messages import Fate
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
    draft.submit()
    assert store.ratchet_rows == {}
    assert await Draft(stage).ratchet(NEW) is ratchet


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
