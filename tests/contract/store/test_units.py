"""Committing units: all of a stanza's changes, or none."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, update

from perene.core.errors import ForgottenEpoch, StaleEpoch, UnreadableState
from perene.core.events import EventType
from perene.core.ids import Epoch, SessionId
from perene.core.messages import Fate, Message
from perene.core.unit import (
    Committed,
    HolderChange,
    PeerMessage,
    PreKeyWrite,
    Profile,
    RatchetWrite,
    SenderKeyWrite,
    Unit,
)
from perene.store.ownership import acquire
from perene.store.schema import sessions
from perene.store.store import Store
from perene.store.units import commit_units
from tests.contract.store.together import together
from tests.support.units import (
    ANA,
    GROUP,
    START,
    Bytes,
    ManualClock,
    entry,
    event,
    key,
    message,
    unit,
)

pytestmark = pytest.mark.usefixtures("ana")

BOB = SessionId("bob")


class Broken:
    """A value that cannot be serialised: a bug, in the middle of a transaction."""

    def serialize(self) -> bytes:
        raise ZeroDivisionError


@pytest.mark.requirement("C13")
async def test_a_unit_becomes_true_as_a_whole(store: Store) -> None:
    one = key()
    whole = unit(
        credentials=Bytes(b"credentials"),
        profile=Profile(pn="5511:3@s.whatsapp.net", push_name="Ana"),
        ratchets=(RatchetWrite(address="5511_1.2", state=Bytes(b"ratchet")),),
        sender_keys=(SenderKeyWrite(group=GROUP, address="5511_1.2", state=Bytes(b"sender")),),
        holders=(HolderChange(group=GROUP, added=("5511_1.2",)),),
        pre_keys_added=(PreKeyWrite(id=7, private=b"7" * 32),),
        messages=(message(one),),
        peer_messages=(PeerMessage(id="P1", kind="app_state_key_share", body=b"peer"),),
        ledger=(entry(one, Fate.DELIVERED),),
        ciphertexts=(b"h" * 32,),
        events=(event(EventType.SESSION_PAIRED),),
    )
    assert await store.commit([whole]) == [Committed(new_messages=1)]

    reader = store.reader(ANA, Epoch(0))
    record = await store.get_session(ANA)
    assert (record.has_credentials, record.pn, record.push_name) == (
        True,
        "5511:3@s.whatsapp.net",
        "Ana",
    )
    assert await reader.credentials() == b"credentials"
    assert await reader.ratchets(["5511_1.2", "5511_1.3"]) == {"5511_1.2": b"ratchet"}
    assert await reader.sender_key(GROUP, "5511_1.2") == b"sender"
    assert await reader.sender_key_holders(GROUP) == {"5511_1.2"}
    assert (await reader.pre_keys([7])).get(7) == b"7" * 32
    assert await store.peer_messages(ANA, limit=9) == list(whole.peer_messages)
    assert await reader.ledger_entry(one) == entry(one, Fate.DELIVERED)
    assert await reader.known_ciphertexts([b"h" * 32, b"i" * 32]) == {b"h" * 32}
    events = await store.events_after(0)
    assert [stored.event.type for stored in events] == [
        EventType.MESSAGE_RECEIVED,
        EventType.SESSION_PAIRED,
    ]


@pytest.mark.requirement("C13")
async def test_a_failure_half_way_leaves_nothing_behind(store: Store) -> None:
    def fail_at_the_end(connection: Connection, units: list[Unit]) -> None:
        commit_units(connection, store.keyring, store.caches, units, now=START)
        raise UnreadableState("something else in this transaction")

    one = key()
    doomed = unit(
        credentials=Bytes(b"credentials"),
        ratchets=(RatchetWrite(address="5511.0", state=Bytes(b"ratchet")),),
        messages=(message(one),),
        ledger=(entry(one, Fate.DELIVERED),),
        ciphertexts=(b"h" * 32,),
    )
    with pytest.raises(UnreadableState):
        await store.database.write(fail_at_the_end, [doomed])

    reader = store.reader(ANA, Epoch(0))
    assert await reader.credentials() is None
    assert await reader.ratchets(["5511.0"]) == {}
    assert await reader.ledger_entry(one) is None
    assert await reader.known_ciphertexts([b"h" * 32]) == frozenset()
    assert await store.list_messages(ANA) == []
    assert await store.events_after(0) == []


@pytest.mark.requirement("C13")
async def test_after_a_failed_transaction_the_next_one_trusts_no_cache(store: Store) -> None:
    def fail_at_the_end(connection: Connection, units: list[Unit]) -> None:
        commit_units(connection, store.keyring, store.caches, units, now=START)
        raise UnreadableState("something else in this transaction")

    again = unit(messages=(message(key(chat="1@lid")), message(key(chat="2@lid"))))
    with pytest.raises(UnreadableState):
        await store.database.write(fail_at_the_end, [again])
    assert await store.commit([again]) == [Committed(new_messages=2)]
    chats = {stored.message.key.chat for stored in await store.list_messages(ANA)}
    assert chats == {"1@lid", "2@lid"}


async def test_a_unit_that_cannot_be_serialised_fails_its_transaction(store: Store) -> None:
    good = unit(messages=(message(),))
    bad = unit(ratchets=(RatchetWrite(address="1.0", state=Broken()),))
    with pytest.raises(Exception, match="ZeroDivisionError"):
        await store.commit([good, bad])
    assert await store.list_messages(ANA) == []


@pytest.mark.requirement("C8", "C13")
async def test_committing_the_same_units_again_changes_nothing(store: Store) -> None:
    one = key()
    units = [
        unit(
            messages=(message(one),),
            ledger=(entry(one, Fate.DELIVERED),),
            ciphertexts=(b"h" * 32,),
            events=(event(EventType.PEER_IDENTITY_CHANGED),),
        )
    ]
    await store.commit(units)
    before = await store.events_after(0)
    assert await store.commit(units) == [Committed(new_messages=0)]
    assert await store.events_after(0) == before
    assert len(await store.list_messages(ANA)) == 1


async def test_a_stale_owner_is_refused_and_the_others_go_on(store: Store) -> None:
    await store.create_session(BOB)
    await store.acquire(ANA)
    stale = [unit(messages=(message(),)), unit(ratchets=(RatchetWrite(address="1.0", state=None),))]
    fresh = unit(session=BOB, messages=(message(),))
    results = await store.commit([stale[0], fresh, stale[1]])
    assert [type(result) for result in results] == [StaleEpoch, Committed, StaleEpoch]
    assert await store.list_messages(ANA) == []
    assert len(await store.list_messages(BOB)) == 1


@pytest.mark.requirement("D9", "F9")
@pytest.mark.parametrize("backend", ["postgresql"])
async def test_who_takes_a_session_waits_for_what_its_owner_commits_just_now(
    store: Store, open_store: Callable[[], Store]
) -> None:
    """Else it could read what is there, and go on with keys that the owner has used since."""
    other = open_store()

    def commit(connection: Connection) -> object:
        units = [unit(messages=(message(),))]
        return commit_units(connection, store.keyring, store.caches, units, now=START)

    committed, epoch = await together(store.database, commit, other.acquire(ANA))
    assert (committed, epoch) == ([Committed(new_messages=1)], Epoch(1))
    assert isinstance((await store.commit([unit()]))[0], StaleEpoch)


@pytest.mark.requirement("D9", "F9")
@pytest.mark.parametrize("backend", ["postgresql"])
async def test_an_owner_commits_nothing_while_its_session_is_taken(
    store: Store, open_store: Callable[[], Store]
) -> None:
    other = open_store()

    def take(connection: Connection) -> object:
        return acquire(connection, [(ANA, None)])

    taken, [refused] = await together(
        other.database, take, store.commit([unit(messages=(message(),))])
    )
    assert taken == [Epoch(1)]
    assert isinstance(refused, StaleEpoch)
    assert await store.list_messages(ANA) == []


async def test_units_of_a_session_that_is_not_there_are_nobody_elses(store: Store) -> None:
    await store.delete_session(ANA)
    [result] = await store.commit([unit(messages=(message(),))])
    assert isinstance(result, ForgottenEpoch)
    assert "holds no session ana" in str(result)


async def test_every_acquisition_outdates_the_owners_before(store: Store) -> None:
    first = await store.acquire(ANA)
    second = await store.acquire(ANA)
    assert second > first
    old, new = await store.commit(
        [unit(epoch=first, messages=(message(),)), unit(epoch=second, messages=(message(),))]
    )
    assert isinstance(old, StaleEpoch)
    assert new == Committed(new_messages=1)


@pytest.mark.requirement("E8")
async def test_an_epoch_that_the_database_forgot_is_nobody_elses(store: Store) -> None:
    """A fail-over or a restored backup has taken back the transaction that gave it."""
    await store.acquire(ANA)
    mine = await store.acquire(ANA)
    back = update(sessions).values(epoch=mine - 1)
    await store.database.write(lambda connection: connection.execute(back))

    [refused] = await store.commit([unit(epoch=mine, messages=(message(),))])
    assert isinstance(refused, ForgottenEpoch)
    with pytest.raises(ForgottenEpoch, match="gone back in time"):
        await store.archive_credentials(ANA, mine, "unlinked")
    assert await store.list_messages(ANA) == []

    anew = await store.acquire(ANA, mine)
    assert anew == mine + 1, "no epoch is ever given twice while its owner lives"
    committed = Committed(new_messages=1)
    assert await store.commit([unit(epoch=anew, messages=(message(),))]) == [committed]


async def test_an_owner_renews_its_epoch_only_while_it_still_owns(store: Store) -> None:
    mine = await store.acquire(ANA)
    renewed = await store.acquire(ANA, mine)
    assert renewed > mine
    await store.acquire(ANA)
    with pytest.raises(StaleEpoch):
        await store.acquire(ANA, renewed)


async def test_of_a_ratchet_advanced_many_times_only_the_last_state_is_serialised(
    store: Store,
) -> None:
    class Counted(Bytes):
        calls = 0

        def serialize(self) -> bytes:
            Counted.calls += 1
            return self.data

    states = [Counted(b"state %d" % number) for number in range(5)]
    await store.commit(
        [
            unit(
                ratchets=(RatchetWrite(address="1.0", state=state),),
                sender_keys=(SenderKeyWrite(group=GROUP, address="1.0", state=state),),
                credentials=state,
            )
            for state in states
        ]
    )
    reader = store.reader(ANA, Epoch(0))
    assert await reader.ratchets(["1.0"]) == {"1.0": b"state 4"}
    assert await reader.sender_key(GROUP, "1.0") == b"state 4"
    assert await reader.credentials() == b"state 4"
    assert Counted.calls == 3


async def test_a_ratchet_can_be_removed_and_made_again(store: Store) -> None:
    async def write(state: Bytes | None) -> None:
        await store.commit(
            [
                unit(
                    ratchets=(RatchetWrite(address="1.0", state=state),),
                    sender_keys=(SenderKeyWrite(group=GROUP, address="1.0", state=state),),
                )
            ]
        )

    reader = store.reader(ANA, Epoch(0))
    await write(Bytes(b"one"))
    await write(None)
    assert await reader.ratchets(["1.0"]) == {}
    assert await reader.sender_key(GROUP, "1.0") is None
    await write(Bytes(b"two"))
    assert await reader.ratchets(["1.0"]) == {"1.0": b"two"}


async def test_a_peers_devices_are_found_by_its_name(store: Store) -> None:
    addresses = ["5511.0", "5511.12", "5511_1.0", "55112.0", "7.1"]
    await store.commit(
        [
            unit(
                ratchets=tuple(RatchetWrite(address=a, state=Bytes(b"r")) for a in addresses),
                sender_keys=tuple(
                    SenderKeyWrite(group=GROUP, address=a, state=Bytes(b"s")) for a in addresses
                ),
            )
        ]
    )
    reader = store.reader(ANA, Epoch(0))
    assert set(await reader.ratchet_addresses(["5511", "7"])) == {"5511.0", "5511.12", "7.1"}
    assert set(await reader.sender_key_addresses(["5511_1"])) == {(GROUP, "5511_1.0")}
    assert await reader.ratchet_addresses([]) == []
    assert await reader.ratchets([]) == {}
    assert set(await reader.ratchets([f"{n}.0" for n in range(1200)] + addresses)) == set(addresses)


async def test_nothing_goes_but_what_is_removed(store: Store) -> None:
    """A person has other devices, and other groups."""
    groups, peers = (GROUP, "2@g.us"), ("1.0", "1.1", "2.0")
    places = [(group, peer) for group in groups for peer in peers]
    one = Bytes(b"key")
    await store.commit(
        [
            unit(
                ratchets=tuple(RatchetWrite(address=peer, state=one) for peer in peers),
                sender_keys=tuple(
                    SenderKeyWrite(group=group, address=peer, state=one) for group, peer in places
                ),
                holders=tuple(HolderChange(group=group, added=peers) for group in groups),
                pre_keys_added=tuple(PreKeyWrite(id=n, private=b"p") for n in (1, 2)),
            )
        ]
    )
    gone = unit(
        ratchets=(RatchetWrite(address="1.0", state=None),),
        sender_keys=(SenderKeyWrite(group=GROUP, address="1.0", state=None),),
        holders=(HolderChange(group=GROUP, removed=("1.0",)),),
        pre_keys_consumed=(1,),
    )
    await store.commit([gone])
    reader = store.reader(ANA, Epoch(0))
    assert set(await reader.ratchets(peers)) == {"1.1", "2.0"}
    left = set(await reader.sender_key_addresses(["1", "2"]))
    assert left == {*places} - {(GROUP, "1.0")}
    assert await reader.sender_key_holders(GROUP) == {"1.1", "2.0"}
    assert await reader.sender_key_holders("2@g.us") == {*peers}
    assert set(await reader.pre_keys([1, 2])) == {2}
    await store.commit([unit(holders=(HolderChange(group=GROUP, forget_all=True),))])
    assert await reader.sender_key_holders(GROUP) == frozenset()
    assert await reader.sender_key_holders("2@g.us") == {*peers}


async def test_holders_of_a_sender_key_come_and_go_in_order(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    await store.commit([unit(holders=(HolderChange(group=GROUP, added=("1.0", "2.0", "3.0")),))])
    await store.commit(
        [
            unit(holders=(HolderChange(group=GROUP, removed=("1.0",)),)),
            unit(holders=(HolderChange(group=GROUP, added=("1.0",), removed=("2.0",)),)),
        ]
    )
    assert await reader.sender_key_holders(GROUP) == {"1.0", "3.0"}
    await store.commit(
        [
            unit(holders=(HolderChange(group=GROUP, added=("4.0",)),)),
            unit(holders=(HolderChange(group=GROUP, forget_all=True, added=("5.0",)),)),
        ]
    )
    assert await reader.sender_key_holders(GROUP) == {"5.0"}
    assert await reader.sender_key_holders("other@g.us") == frozenset()


async def test_a_consumed_pre_key_is_gone(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    keys = [PreKeyWrite(id=number, private=bytes([number]) * 32) for number in (1, 2, 3, 4)]
    await store.commit([unit(pre_keys_added=tuple(keys))])
    await store.commit([unit(pre_keys_uploaded=(1, 2))])
    assert await reader.pre_keys_not_uploaded(9) == keys[2:]
    assert await reader.pre_keys_not_uploaded(1) == keys[2:3]
    await store.commit([unit(pre_keys_consumed=(2,)), unit(pre_keys_uploaded=(3,))])
    assert (await reader.pre_keys([2])).get(2) is None
    assert (await reader.pre_keys([1])).get(1) == b"\1" * 32
    assert await reader.pre_keys_not_uploaded(9) == keys[3:]
    assert (await store.counts(ANA)).pre_keys == 3


async def test_a_pre_key_can_be_added_uploaded_and_consumed_in_one_batch(store: Store) -> None:
    await store.commit(
        [
            unit(pre_keys_added=(PreKeyWrite(id=1, private=b"1"), PreKeyWrite(id=2, private=b"2"))),
            unit(pre_keys_uploaded=(1, 2)),
            unit(pre_keys_consumed=(1,)),
        ]
    )
    reader = store.reader(ANA, Epoch(0))
    assert (await reader.pre_keys([1])).get(1) is None
    assert (await reader.pre_keys([2])).get(2) == b"2"
    assert await reader.pre_keys_not_uploaded(9) == []


async def test_a_profile_keeps_what_a_later_one_does_not_tell(store: Store) -> None:
    await store.commit([unit(profile=Profile(pn="1:2@s.whatsapp.net", push_name="Ana"))])
    await store.commit([unit(profile=Profile(platform="android"))])
    record = await store.get_session(ANA)
    assert (record.pn, record.push_name, record.platform) == (
        "1:2@s.whatsapp.net",
        "Ana",
        "android",
    )


async def test_nothing_to_commit_is_no_error(store: Store) -> None:
    assert await store.commit([]) == []
    assert await store.commit([unit()]) == [Committed(new_messages=0)]


@pytest.mark.parametrize("text", ["a\0b", "half a pair \ud83d", "\N{GRINNING FACE}" * 3000])
async def test_no_text_from_the_network_can_fail_a_commit(store: Store, text: str) -> None:
    name = text[:300]
    one = key(text * 2, chat=f"{name}@lid")
    poisoned = Message(
        key=one,
        kind=name,
        text=text,
        body=b"body",
        timestamp=START,
        status=message().status,
        push_name=text,
        event=event(text=text),
    )
    committed = unit(messages=(poisoned,), ledger=(entry(one, Fate.PENDING, reason=text),))
    assert await store.commit([committed]) == [Committed(new_messages=1)]
    assert await store.commit([committed]) == [Committed(new_messages=0)]
    [stored] = await store.list_messages(ANA, chat=one.chat)
    assert "\0" not in (stored.message.text or "")
    assert await store.reader(ANA, Epoch(0)).ledger_entry(one) is not None


@pytest.mark.requirement("C6")
async def test_another_process_reads_what_was_committed(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.commit([unit(ratchets=(RatchetWrite(address="1.0", state=Bytes(b"r")),))])
    other = open_store()
    assert await other.reader(ANA, Epoch(0)).ratchets(["1.0"]) == {"1.0": b"r"}


async def test_messages_of_own_devices_are_read_by_kind_newest_first(
    store: Store, clock: ManualClock
) -> None:
    stored = [
        PeerMessage(id=id_, kind=kind, body=id_.encode())
        for id_, kind in (("C", "share"), ("B", "history"), ("A", "share"), ("D", "share"))
    ]
    for one in stored:
        await store.commit([unit(peer_messages=(one,))])
        await clock.sleep(1)

    reader = store.reader(ANA, Epoch(0))
    found = await reader.peer_messages("share", limit=2)
    assert [(one.id, one.body) for one in found] == [("D", b"D"), ("A", b"A")]
    assert [one.id for one in await reader.peer_messages("share", limit=9)] == ["D", "A", "C"]
    assert await reader.peer_messages("key", limit=9) == []
