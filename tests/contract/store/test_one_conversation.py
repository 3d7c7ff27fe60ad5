"""One conversation for a person, whichever address their messages arrive with (C9)."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine, event, select

from perene.core.errors import StorageUnavailable
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import Fate, MessageKey, Status
from perene.core.unit import AddressPair, Committed, Profile, Unit
from perene.store import schema
from perene.store.conversations import find_conversations
from perene.store.database import after_commit
from perene.store.places import Place
from perene.store.store import Store
from perene.store.units import commit_units
from tests.support.units import (
    ANA,
    GROUP,
    LID,
    OTHER_LID,
    PN,
    START,
    entry,
    key,
    message,
    status,
    unit,
)

pytestmark = [pytest.mark.usefixtures("ana"), pytest.mark.requirement("C9")]

OTHER_PN = "5511900000002@s.whatsapp.net"


def pair(pn: str = PN, lid: str = LID) -> Unit:
    return unit(address_pairs=(AddressPair(pn=pn, lid=lid),))


def said(id_: str, chat: str) -> Unit:
    one = key(id_, chat=chat)
    return unit(messages=(message(one),), ledger=(entry(one, Fate.DELIVERED),))


async def chats(store: Store, session: SessionId = ANA) -> dict[str, list[str]]:
    """Return the ids of each conversation's messages, oldest first, by its address."""
    found: dict[str, list[str]] = {}
    for conversation in await store.list_conversations(session):
        stored = await store.list_messages(session, chat=conversation.chat, newest_first=False)
        found[conversation.chat] = [row.message.key.id for row in stored]
    return found


@pytest.mark.parametrize("order", list(itertools.permutations(["pn", "lid", "pair"])))
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "one by one"])
async def test_both_addresses_lead_to_one_conversation_in_any_order(
    store: Store, order: Sequence[str], together: bool
) -> None:
    units = {"pn": said("A", PN), "lid": said("B", LID), "pair": pair()}
    batch = [units[name] for name in order]
    for part in [batch] if together else [[one] for one in batch]:
        await store.commit(part)
    after = said("C", PN)
    await store.commit([after])

    [conversation] = await store.list_conversations(ANA)
    assert (conversation.chat, conversation.pn) == (LID, PN)
    for address in (PN, LID):
        stored = await store.list_messages(ANA, chat=address, newest_first=False)
        assert {row.message.key.id for row in stored} == {"A", "B", "C"}
        assert {(row.message.key.chat, row.message.key.sender) for row in stored} == {(LID, LID)}


@pytest.mark.parametrize(
    "units",
    [
        [said("A", LID), pair()],
        [pair(), said("A", LID)],
        [said("A", PN), said("B", LID), pair()],
        [unit(messages=(message(key("A", chat=GROUP, sender=PN)),)), said("B", LID), pair()],
    ],
    ids=["pair last", "pair first", "both used", "number used in a group"],
)
async def test_every_address_of_a_person_leads_to_their_conversation(
    store: Store, units: Sequence[Unit]
) -> None:
    for one in units:
        await store.commit([one])

    def leading_there(connection: Connection) -> dict[Place, int]:
        session = connection.execute(select(schema.sessions.c.key)).scalar_one()
        return find_conversations(connection, [(session, PN), (session, LID)])

    found = await store.database.read(leading_there)
    assert {address for _session, address in found} == {PN, LID}
    assert len(set(found.values())) == 1


@pytest.mark.requirement("C8")
@pytest.mark.parametrize("order", list(itertools.permutations(["pn", "lid", "pair"])))
async def test_one_message_under_both_addresses_is_stored_once(
    store: Store, order: Sequence[str]
) -> None:
    units = {"pn": said("A", PN), "lid": said("A", LID), "pair": pair()}
    first = next(name for name in order if name != "pair")
    for name in order:
        await store.commit([units[name]])
    [stored] = await store.list_messages(ANA)
    kept = units[first].messages[0]
    assert stored.message.body == kept.body
    assert stored.message.key == MessageKey(chat=LID, sender=LID, id=kept.key.id, from_me=False)
    assert (await store.counts(ANA)).fates[Fate.DELIVERED] == 1


async def test_the_conversation_that_was_first_survives_a_merge(store: Store) -> None:
    await store.commit([said("A", PN)])
    [before] = await store.list_conversations(ANA)
    await store.commit([said("B", LID)])
    await store.commit([pair()])
    [after] = await store.list_conversations(ANA)
    assert after.id == before.id


async def test_own_messages_move_with_their_conversation(store: Store) -> None:
    own = unit(messages=(message(key("A", chat=PN, from_me=True)),))
    await store.commit([own])
    await store.commit([pair()])
    assert await store.commit([own]) == [Committed(new_messages=0)]
    await store.commit([unit(status_changes=(status("A", Status.SENT),))])
    [stored] = await store.list_messages(ANA)
    assert (stored.message.key.chat, stored.message.status) == (LID, Status.SENT)
    found = await store.reader(ANA, Epoch(0)).own_message(MessageId("A"))
    assert found is not None
    assert found.body == b"body"


@pytest.mark.requirement("C8")
async def test_a_senders_messages_in_groups_become_one_senders(store: Store) -> None:
    under_pn, under_lid = key("A", chat=GROUP, sender=PN), key("A", chat=GROUP, sender=LID)
    await store.commit([unit(messages=(message(under_pn),))])
    await store.commit([unit(messages=(message(under_lid, text="again"),))])
    await store.commit([pair()])
    [stored] = await store.list_messages(ANA, chat=GROUP)
    assert (stored.message.key.sender, stored.message.text) == (LID, "hello")
    again = await store.commit([unit(messages=(message(under_pn),))])
    assert again == [Committed(new_messages=0)]


@pytest.mark.requirement("C8")
async def test_others_may_use_the_id_of_a_message_that_finds_its_sender(store: Store) -> None:
    """Ids are the senders' own: the same one elsewhere, or of somebody else, is no copy."""
    kept = [
        key("A", chat=GROUP, sender=OTHER_LID),
        key("A", chat="1@g.us", sender=LID),
        key("B", chat=GROUP, sender=LID),
        key("A", chat=GROUP, sender=PN),
        key("A", chat=GROUP, sender="3@lid"),
    ]
    for one in kept:
        await store.commit([unit(messages=(message(one),))])
    await store.commit([pair()])
    stored = await store.list_messages(ANA, newest_first=False)
    kept[3] = replace(kept[3], sender=LID)
    assert [row.message.key for row in stored] == kept


@pytest.mark.requirement("C8")
@pytest.mark.parametrize("chats", [(PN, LID), (LID, PN)])
async def test_one_message_of_ours_under_both_addresses_is_stored_once(
    store: Store, chats: Sequence[str]
) -> None:
    first, second = chats
    kept = [key("A", chat=GROUP, from_me=True), key("A", chat=first, from_me=True)]
    others = [key("A", chat=second, sender=LID), key("B", chat=second, from_me=True)]
    copy = key("A", chat=second, from_me=True)
    for one in (*kept, *others, copy):
        await store.commit([unit(messages=(message(one, text=one.chat),))])
    await store.commit([pair()])
    stored = [row.message for row in await store.list_messages(ANA, newest_first=False)]
    assert [(one.key.id, one.key.from_me, one.text) for one in stored] == [
        ("A", True, GROUP),
        ("A", True, first),
        ("A", False, second),
        ("B", True, second),
    ]
    assert await store.commit([unit(messages=(message(copy),))]) == [Committed(new_messages=0)]


@pytest.mark.requirement("C8")
@pytest.mark.parametrize("chats", [(PN, LID), (LID, PN)])
async def test_of_two_copies_the_older_one_stays_though_its_conversation_goes(
    store: Store, chats: Sequence[str]
) -> None:
    first, second = chats
    in_first, in_second = (key("A", chat=one, from_me=True) for one in chats)
    later = key("A", chat=GROUP, from_me=True)
    await store.commit([said("B", first)])
    for one in (in_second, in_first, later):
        await store.commit([unit(messages=(message(one, text=one.chat),))])
    await store.commit([pair()])
    stored = await store.list_messages(ANA, newest_first=False)
    assert [row.message.text for row in stored] == ["hello", second, GROUP]


async def test_a_merge_leaves_the_conversations_of_others_as_they_are(store: Store) -> None:
    await store.commit([said("A", OTHER_LID), said("B", PN), said("C", LID), said("D", "3@lid")])
    await store.commit([pair()])
    await store.commit([said("E", OTHER_LID), said("F", "3@lid"), said("G", PN)])
    assert await chats(store) == {
        OTHER_LID: ["A", "E"],
        LID: ["B", "C", "G"],
        "3@lid": ["D", "F"],
    }


async def test_the_ledger_follows_the_canonical_address(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    under_pn, under_lid = key("A", chat=PN), key("A", chat=LID)
    await store.commit([unit(ledger=(entry(under_pn, Fate.PENDING, retries=2),))])
    await store.commit([unit(ledger=(entry(under_lid, Fate.DELIVERED, minutes=1),))])
    await store.commit([pair()])
    for one in (under_pn, under_lid):
        found = await reader.ledger_entry(one)
        assert found is not None
        assert (found.fate, found.retries, found.key) == (Fate.RECOVERED, 2, under_lid)
    assert sum((await store.counts(ANA)).fates.values()) == 1


async def test_entries_of_own_devices_follow_their_chat(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    under_pn = key("A", chat=PN, from_me=True)
    await store.commit([unit(ledger=(entry(under_pn, Fate.PENDING),))])
    await store.commit([pair()])
    found = await reader.ledger_entry(key("A", chat=LID, from_me=True))
    assert found is not None
    assert found.key.chat == LID


async def test_a_pair_is_found_from_either_side(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    await store.commit([pair(), pair(OTHER_PN, OTHER_LID)])
    known = AddressPair(pn=PN, lid=LID)
    assert await reader.address_pairs([PN]) == [known]
    assert await reader.address_pairs([LID, PN]) == [known]
    assert await reader.address_pairs([]) == []
    both = await reader.address_pairs([PN, OTHER_LID, "nobody@lid"])
    assert {found.pn for found in both} == {PN, OTHER_PN}


async def test_many_pairs_are_learnt_at_once(store: Store) -> None:
    pairs = tuple(AddressPair(pn=f"{n}@s.whatsapp.net", lid=f"{n}@lid") for n in range(1200))
    await store.commit([said("A", "7@lid"), said("B", "8@s.whatsapp.net")])
    await store.commit([unit(address_pairs=pairs)])
    await store.commit([said("C", "7@s.whatsapp.net"), said("D", "8@lid")])
    assert await chats(store) == {"7@lid": ["A", "C"], "8@lid": ["B", "D"]}
    assert len(await store.reader(ANA, Epoch(0)).address_pairs([p.pn for p in pairs])) == 1200


@pytest.mark.requirement("C8", "C13", "E1")
async def test_what_was_joined_unheard_is_one_conversation_for_what_follows(store: Store) -> None:
    """The row of a conversation that went up into another must not be written to any more."""

    def commit_unheard(connection: Connection, units: list[Unit]) -> None:
        after_commit(connection, fail)
        commit_units(connection, store.keyring, store.caches, units, now=START)

    def fail() -> None:
        raise StorageUnavailable("the connection broke with the commit under way")

    await store.commit([said("A", PN), said("B", LID)])
    units = [replace(pair(), messages=said("C", LID).messages)]
    with pytest.raises(StorageUnavailable):
        await store.database.write(commit_unheard, units)
    assert await store.commit(units) == [Committed(new_messages=0)]
    await store.commit([said("D", LID), said("E", PN)])

    assert await chats(store) == {LID: ["A", "B", "C", "D", "E"]}
    stored = await store.list_messages(ANA)
    assert {row.message.key.sender for row in stored} == {LID}
    assert (await store.counts(ANA)).messages[Status.RECEIVED] == len(stored)


async def test_another_process_finds_what_was_learnt(
    store: Store, open_store: Callable[[], Store]
) -> None:
    """For messages and for entries of the ledger alike, whichever it stores first."""
    await store.commit([pair(), pair(OTHER_PN, OTHER_LID), said("A", PN)])
    under_pn = key("B", chat=OTHER_PN)
    other = open_store()
    await other.commit([unit(ledger=(entry(under_pn, Fate.PENDING),))])
    found = await other.reader(ANA, Epoch(0)).ledger_entry(under_pn)
    assert found is not None
    assert found.key == key("B", chat=OTHER_LID)

    other = open_store()
    await other.commit([unit(messages=(message(key("C", chat=PN)),))])
    assert await chats(other) == {LID: ["A", "C"]}
    assert {row.message.key.sender for row in await other.list_messages(ANA)} == {LID}


async def test_what_was_found_once_is_not_looked_for_again(store: Store) -> None:
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await store.commit([pair(), said("A", PN)])
        assert any("address_map" in statement for statement in asked)
        asked.clear()
        await store.commit([pair(), said("B", PN)])
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not [each for each in asked if "address_map" in each or "conversation_addr" in each]


async def test_a_number_that_changed_hands_leads_to_its_new_owner(store: Store) -> None:
    await store.commit([pair(), said("A", PN)])
    await store.commit([pair(PN, OTHER_LID), said("B", PN)])
    assert await chats(store) == {LID: ["A"], OTHER_LID: ["B"]}


async def test_a_person_with_a_new_number_keeps_their_conversation(store: Store) -> None:
    await store.commit([pair(), said("A", PN)])
    await store.commit([pair(OTHER_PN, LID), said("B", OTHER_PN)])
    assert await chats(store) == {LID: ["A", "B"]}
    await store.commit([said("C", PN)])
    assert await chats(store) == {LID: ["A", "B"], PN: ["C"]}


async def test_an_old_number_leads_nowhere_once_the_new_one_is_known(store: Store) -> None:
    """Also for what is committed with that, and though it was used just before."""
    await store.commit([pair(), said("A", PN)])
    await store.commit([pair(OTHER_PN, LID), said("B", PN), said("C", OTHER_PN)])
    assert await chats(store) == {LID: ["A", "C"], PN: ["B"]}


async def test_who_has_not_written_yet_may_change_numbers_too(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    await store.commit([pair(), pair(OTHER_PN, OTHER_LID)])
    await store.commit([pair(PN, "3@lid")])
    assert await reader.address_pairs([PN, LID]) == [AddressPair(pn=PN, lid="3@lid")]
    await store.commit([pair("3@s.whatsapp.net", "3@lid")])
    assert await reader.address_pairs([PN]) == []
    found = await reader.address_pairs(["3@lid", OTHER_PN])
    assert {one.pn: one.lid for one in found} == {
        "3@s.whatsapp.net": "3@lid",
        OTHER_PN: OTHER_LID,
    }
    await store.commit([said("A", PN)])
    assert await chats(store) == {PN: ["A"]}


async def test_of_contradicting_pairs_in_one_batch_the_last_one_counts(store: Store) -> None:
    await store.commit([pair(PN, LID), pair(PN, OTHER_LID), pair(PN, LID), said("A", PN)])
    assert await chats(store) == {LID: ["A"]}
    assert await store.reader(ANA, Epoch(0)).address_pairs([PN]) == [AddressPair(pn=PN, lid=LID)]
    await store.commit([pair(PN, "5@lid"), pair(PN, OTHER_LID), said("B", PN)])
    assert await chats(store) == {LID: ["A"], OTHER_LID: ["B"]}
    await store.commit([pair("3@s.whatsapp.net", "3@lid"), pair("4@s.whatsapp.net", "3@lid")])
    found = await store.reader(ANA, Epoch(0)).address_pairs(["3@lid", "3@s.whatsapp.net"])
    assert found == [AddressPair(pn="4@s.whatsapp.net", lid="3@lid")]


@pytest.mark.parametrize("between", [(PN, OTHER_LID), (OTHER_PN, LID)])
async def test_a_pair_that_is_told_again_after_another_counts(
    store: Store, between: tuple[str, str]
) -> None:
    """Also if it was known before that other one came with it in one batch."""
    await store.commit([pair(), said("A", PN)])
    await store.commit([pair(*between), pair(), said("B", PN)])
    assert await chats(store) == {LID: ["A", "B"]}
    reader = store.reader(ANA, Epoch(0))
    assert await reader.address_pairs([PN, *between]) == [AddressPair(pn=PN, lid=LID)]


async def test_addresses_with_a_device_are_the_persons(store: Store) -> None:
    await store.commit([pair(PN.replace("@", ":4@"), LID.replace("@", ":4@")), said("A", PN)])
    assert await chats(store) == {LID: ["A"]}


async def test_a_session_knows_its_own_two_addresses(store: Store) -> None:
    me = Profile(pn="5511900000009:3@s.whatsapp.net", lid="99:3@lid")
    own = key("A", chat=LID, sender="5511900000009@s.whatsapp.net", from_me=True)
    await store.commit([unit(profile=me), unit(messages=(message(own),))])
    [stored] = await store.list_messages(ANA)
    assert stored.message.key.sender == "99@lid"


@pytest.mark.parametrize("half", [Profile(lid="99:3@lid"), Profile(pn="5511:3@s.whatsapp.net")])
async def test_one_address_of_a_session_alone_is_no_pair(store: Store, half: Profile) -> None:
    assert await store.commit([unit(profile=half)]) == [Committed(new_messages=0)]
    reader = store.reader(ANA, Epoch(0))
    assert await reader.address_pairs(["99@lid", "5511@s.whatsapp.net"]) == []


async def test_sessions_share_no_addresses(store: Store) -> None:
    bob = SessionId("bob")
    await store.create_session(bob)
    await store.commit([pair(), said("A", PN)])
    one = key("A", chat=PN)
    await store.commit([unit(session=bob, messages=(message(one),))])
    assert await chats(store) == {LID: ["A"]}
    assert await chats(store, bob) == {PN: ["A"]}
    # What the one knows already is news for the other.
    await store.commit([unit(session=bob, address_pairs=(AddressPair(pn=PN, lid=LID),))])
    assert await chats(store, bob) == {LID: ["A"]}
