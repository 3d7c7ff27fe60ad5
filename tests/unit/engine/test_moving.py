"""Ratchets and sender keys of a phone number, once its LID is known."""

from perene.core.unit import AddressPair
from perene.engine.draft import Draft
from perene.engine.moving import learn
from perene.engine.stage import Stage
from perene.signal import Ratchet, SenderKeyRecord, create_sender_key
from perene.signal.address import Address
from perene.wire.jid import Jid
from tests.support.units import GROUP
from tests.unit.engine.fakes import MemoryStore, some_ratchet

PN, LID = "15550000002@s.whatsapp.net", "200000000000002@lid"
OLD, NEW = Address("15550000002", 0), Address("200000000000002_1", 0)
PAIR = AddressPair(pn=PN, lid=LID)


async def test_a_ratchet_under_the_number_moves_to_the_lid(
    stage: Stage, store: MemoryStore
) -> None:
    ratchet = some_ratchet()
    store.ratchet_rows[str(OLD)] = ratchet.serialize()
    record = create_sender_key(SenderKeyRecord.empty)
    store.sender_key_rows[GROUP, str(OLD)] = record.serialize()

    draft = Draft(stage)
    await learn(draft, [PAIR])
    draft.submit()
    store.settle()

    assert set(store.ratchet_rows) == {str(NEW)}
    assert Ratchet.parse(store.ratchet_rows[str(NEW)]).base_key == ratchet.base_key
    assert set(store.sender_key_rows) == {(GROUP, str(NEW))}
    assert store.pairs == [PAIR]
    assert stage.book.canonical(Jid.parse("15550000002:4@s.whatsapp.net")) == Jid.parse(
        "200000000000002:4@lid"
    )


async def test_a_ratchet_that_is_only_staged_moves_too(stage: Stage, store: MemoryStore) -> None:
    draft = Draft(stage)
    draft.set_ratchet(OLD, some_ratchet())
    draft.set_sender_key(GROUP, OLD, create_sender_key(SenderKeyRecord.empty))
    draft.submit()
    second = Draft(stage)
    await learn(second, [PAIR])
    second.submit()
    store.settle()
    assert set(store.ratchet_rows) == {str(NEW)}
    assert set(store.sender_key_rows) == {(GROUP, str(NEW))}


async def test_of_two_ratchets_the_numbers_is_sent_with_and_both_still_decrypt(
    stage: Stage, store: MemoryStore
) -> None:
    by_number, by_lid = some_ratchet(), some_ratchet()
    store.ratchet_rows = {str(OLD): by_number.serialize(), str(NEW): by_lid.serialize()}
    draft = Draft(stage)
    await learn(draft, [PAIR])
    joined = await draft.ratchet(NEW)
    assert joined.base_key == by_number.base_key
    assert by_lid.base_key in [state.base_key for state in joined.archived]
    assert (await draft.ratchet(OLD)).is_empty


async def test_a_ratchet_that_only_decrypts_does_not_take_the_place_of_one_that_is_sent_with(
    stage: Stage, store: MemoryStore
) -> None:
    """All that either could decrypt is decrypted, whichever is sent with."""
    by_number, by_lid = (some_ratchet().archive_current() for _ in range(2))
    current = some_ratchet().current
    by_lid = Ratchet(current=current, archived=by_lid.archived)
    store.ratchet_rows = {str(OLD): by_number.serialize(), str(NEW): by_lid.serialize()}
    draft = Draft(stage)
    await learn(draft, [PAIR])
    joined = await draft.ratchet(NEW)
    assert joined.base_key == by_lid.base_key
    kept = {state.base_key for state in joined.archived}
    assert kept == {state.base_key for one in (by_number, by_lid) for state in one.archived}


async def test_of_two_ratchets_the_archives_of_both_still_decrypt(
    stage: Stage, store: MemoryStore
) -> None:
    both = [
        Ratchet(current=some_ratchet().current, archived=some_ratchet().archive_current().archived)
        for _ in range(2)
    ]
    for address, ratchet in zip((OLD, NEW), both, strict=True):
        store.ratchet_rows[str(address)] = ratchet.serialize()
    draft = Draft(stage)
    await learn(draft, [PAIR])
    joined = await draft.ratchet(NEW)
    assert joined.base_key == both[0].base_key
    kept = {state.base_key for state in joined.archived}
    assert kept == {both[1].base_key, *(one.archived[0].base_key for one in both)}


async def test_of_two_sender_keys_both_still_decrypt(stage: Stage, store: MemoryStore) -> None:
    by_number, by_lid = (create_sender_key(SenderKeyRecord.empty) for _ in range(2))
    store.sender_key_rows[GROUP, str(OLD)] = by_number.serialize()
    store.sender_key_rows[GROUP, str(NEW)] = by_lid.serialize()
    draft = Draft(stage)
    await learn(draft, [PAIR])
    joined = await draft.sender_key(GROUP, NEW)
    assert [one.key_id for one in joined.states] == [
        one.key_id for record in (by_number, by_lid) for one in record.states
    ]


async def test_a_known_pair_is_not_written_again(stage: Stage, store: MemoryStore) -> None:
    first, second = Draft(stage), Draft(stage)
    await learn(first, [PAIR])
    await learn(second, [PAIR])
    assert (first.pairs, second.pairs) == ([PAIR], [])


async def test_what_is_of_a_number_that_begins_the_same_stays_where_it_is(stage: Stage) -> None:
    longer = Address(OLD.name + "1", 0)
    draft = Draft(stage)
    for address in (OLD, longer):
        draft.set_ratchet(address, some_ratchet())
        draft.set_sender_key(GROUP, address, create_sender_key(SenderKeyRecord.empty))
    draft.submit()
    second = Draft(stage)
    await learn(second, [PAIR])
    second.submit()
    assert not stage.ratchets[str(longer)].is_empty
    assert not stage.sender_keys[GROUP, str(longer)].is_empty
    assert stage.ratchets[str(OLD)].is_empty
    assert set(stage.ratchets) == {str(OLD), str(longer), str(NEW)}
