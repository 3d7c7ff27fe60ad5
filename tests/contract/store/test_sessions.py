"""Sessions: created, owned, unlinked and deleted."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.event import listen, remove

from perene.core.causes import Cause
from perene.core.errors import Conflict, NotFound, StaleEpoch, StorageError, UnreadableState
from perene.core.events import EventType
from perene.core.ids import Epoch, SessionId
from perene.core.outages import OutageEnd, OutageId
from perene.core.policy import Count
from perene.core.sessions import Desired, SessionOptions, SessionRecord
from perene.core.standing import Standing
from perene.core.unit import (
    AddressPair,
    Profile,
)
from perene.store import schema
from perene.store.store import Store
from tests.contract.store.make_golden import OUTAGE, STANDING
from tests.contract.store.whole import BOB, full, rows
from tests.support.units import (
    ANA,
    GROUP,
    LID,
    PN,
    START,
    Bytes,
    ManualClock,
    event,
    key,
    message,
    unit,
)


async def link(store: Store, session: SessionId, pn: str | None) -> None:
    await store.create_session(session)
    epoch = await store.acquire(session)
    profile = None if pn is None else Profile(pn=pn)
    await store.commit(
        [unit(session=session, epoch=epoch, credentials=Bytes(b"c"), profile=profile)]
    )


@pytest.mark.requirement("D9")
async def test_sessions_that_are_linked_to_one_number_find_each_other(store: Store) -> None:
    numbers = {
        "ana": "5511:1@s.whatsapp.net",
        "bob": "5511@s.whatsapp.net",
        "eva": "55112:1@s.whatsapp.net",
        "leo": "5511:12@s.whatsapp.net",
        "new": None,
    }
    for name, pn in numbers.items():
        await link(store, SessionId(name), pn)
    seen = SessionId("seen")
    await store.create_session(seen)
    await store.commit([unit(session=seen, profile=Profile(pn="5511:3@s.whatsapp.net"))])
    assert await store.twins(ANA) == ["bob", "leo"]
    assert await store.twins(SessionId("leo")) == ["ana", "bob"]
    for alone in ("eva", "new", "seen", "nobody"):
        assert await store.twins(SessionId(alone)) == []
    accounts = {"ana": "5511", "bob": "5511", "eva": "55112", "leo": "5511"}
    assert await store.linked_accounts() == accounts
    epoch = await store.acquire(BOB)
    await store.archive_credentials(BOB, epoch, "removed")
    assert await store.twins(ANA) == ["leo"]
    await store.delete_session(SessionId("leo"))
    assert await store.twins(ANA) == []


async def test_a_session_is_kept_as_it_was_created(
    store: Store, open_store: Callable[[], Store]
) -> None:
    options = SessionOptions(
        history_sync=True, mark_online=False, proxy="socks5://u:p@proxy:1080", query_timeout_s=7.5
    )
    told = event(EventType.SESSION_CREATED)
    created = await store.create_session(
        ANA, name="Desk \N{GRINNING FACE}", desired=Desired.STOPPED, options=options, event=told
    )
    assert created == SessionRecord(
        id=ANA,
        name="Desk \N{GRINNING FACE}",
        desired=Desired.STOPPED,
        epoch=Epoch(0),
        created_at=START,
        has_credentials=False,
        options=options,
    )
    other = open_store()
    assert await other.get_session(ANA) == created
    assert await other.list_sessions() == [created]
    [stored] = await other.events_after(0)
    assert (stored.session, stored.event) == (ANA, told)


async def test_an_id_belongs_to_one_session(store: Store) -> None:
    first = await store.create_session(ANA, name="first")
    with pytest.raises(Conflict):
        await store.create_session(ANA, name="second", event=event())
    assert await store.list_sessions() == [first]
    assert await store.events_after(0) == []


async def test_a_session_whose_creation_nobody_heard_of_is_created_once(store: Store) -> None:
    """Its event tells it from another's of the same id; what was asked of it since stays."""
    options = SessionOptions(proxy="http://proxy")
    told = event(EventType.SESSION_CREATED)
    first = await store.create_session(ANA, name="Ana", options=options, event=told)
    await store.set_desired(ANA, Desired.STOPPED)
    again = await store.create_session(ANA, name="Ana", options=options, event=told)
    assert again == replace(first, desired=Desired.STOPPED)
    with pytest.raises(Conflict):
        await store.create_session(ANA, name="Ana", options=options, event=event())
    with pytest.raises(Conflict):
        await store.create_session(ANA, name="Ana", options=options)
    assert [one.event for one in await store.events_after(0)] == [told]
    assert len(await store.list_sessions()) == 1


async def test_another_session_is_created_whatever_became_of_the_event(store: Store) -> None:
    """An event that another session has told says nothing of this one."""
    told = event(EventType.SESSION_CREATED)
    await store.create_session(ANA, event=told)
    await store.create_session(BOB)
    with pytest.raises(Conflict):
        await store.create_session(BOB, event=told)


async def test_a_session_that_could_not_be_created_leaves_no_key_behind(
    store: Store, open_store: Callable[[], Store]
) -> None:
    options = SessionOptions(proxy="http://proxy")
    no_json = event(what=object())  # pyright: ignore[reportArgumentType]  # to fail at the end
    with pytest.raises(StorageError):
        await store.create_session(ANA, options=options, event=no_json)
    await store.create_session(ANA, options=options)
    await store.commit([full()])
    other = open_store()
    assert (await other.get_session(ANA)).options == options
    assert await other.reader(ANA, Epoch(0)).credentials() == b"credentials"


async def test_what_is_wanted_of_a_session_outlives_a_restart(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.create_session(ANA)
    await store.set_desired(ANA, Desired.STOPPED)
    await store.set_name(ANA, "new")
    await store.set_options(ANA, SessionOptions(mark_online=True, proxy="http://proxy"))
    record = await open_store().get_session(ANA)
    assert (record.desired, record.name) == (Desired.STOPPED, "new")
    assert record.options == SessionOptions(mark_online=True, proxy="http://proxy")
    await store.set_options(ANA, SessionOptions())
    assert (await store.get_session(ANA)).options == SessionOptions()


async def test_a_session_that_does_not_exist_is_not_found(store: Store) -> None:
    reader = store.reader(ANA, Epoch(0))
    asked = [
        store.get_session(ANA),
        store.set_desired(ANA, Desired.RUNNING),
        store.set_name(ANA, None),
        store.set_options(ANA, SessionOptions()),
        store.acquire(ANA),
        store.delete_session(ANA, event=event()),
        store.archive_credentials(ANA, Epoch(0), "why"),
        store.destroy_credentials(ANA, Epoch(0)),
        store.outages(ANA),
        store.queue_message(ANA, message(key(from_me=True))),
        store.list_messages(ANA),
        store.list_conversations(ANA),
        store.counts(ANA),
        reader.credentials(),
        reader.known_ciphertexts([b"h"]),
    ]
    for question in asked:
        with pytest.raises(NotFound):
            await question
    assert await store.events_after(0) == []


@pytest.mark.requirement("D7", "D9")
@pytest.mark.parametrize("how", ["unlinked", "logged out"])
async def test_what_was_remembered_of_credentials_goes_with_them(store: Store, how: str) -> None:
    """Also its outage, in one transaction with that: a crash behind it must find both ended."""
    await store.create_session(ANA)
    outage = replace(OUTAGE, ended_at=None, end=None)
    standing = Standing(
        counts={Count.NETWORK: 3}, held=Cause.LOCKED, outage=outage, shown_up=True, ban_code="101"
    )
    await store.commit([replace(full(), outage=outage, standing=standing.serialize())])
    if how == "unlinked":
        await store.archive_credentials(ANA, Epoch(0), "device_removed")
    else:
        await store.destroy_credentials(ANA, Epoch(0))
    record = await store.get_session(ANA)
    assert Standing.parse(record.standing) == Standing(shown_up=True), "its end is yet to be told"
    assert [one.outage.end for one in await store.outages(ANA)] == [OutageEnd.LOGGED_OUT]


@pytest.mark.requirement("C6")
async def test_unlinked_credentials_are_archived_with_the_end_of_their_keys(
    store: Store, clock: ManualClock
) -> None:
    await store.create_session(ANA)
    await store.commit([full()])
    reader = store.reader(ANA, Epoch(0))
    assert await store.archive_credentials(ANA, Epoch(0), "device_removed")
    assert await reader.credentials() is None
    record = await store.get_session(ANA)
    assert (record.has_credentials, record.was_linked) == (False, True)
    assert (record.pn, record.lid, record.push_name, record.platform) == (None,) * 4
    assert record.standing == STANDING
    assert len(await store.outages(ANA)) == 1
    assert await reader.ratchets(["1.0"]) == {}
    assert await reader.sender_key(GROUP, "1.0") is None
    assert await reader.sender_key_holders(GROUP) == frozenset()
    assert await reader.pre_keys([1]) == {}
    assert len(await store.list_messages(ANA)) == 1
    assert await reader.address_pairs([PN]) == [AddressPair(pn=PN, lid=LID)]
    assert await reader.known_ciphertexts([b"h" * 32]) == {b"h" * 32}

    await clock.sleep(60)
    await store.commit([unit(credentials=Bytes(b"the next ones"))])
    assert await store.archive_credentials(ANA, Epoch(0), "401")
    archived = await store.archived_credentials(ANA)
    assert [(one.data, one.reason) for one in archived] == [
        (b"the next ones", "401"),
        (b"credentials", "device_removed"),
    ]
    assert archived[0].at - archived[1].at == timedelta(seconds=60)
    assert not await store.archive_credentials(ANA, Epoch(0), "nothing left")


async def test_a_stale_owner_cannot_archive(store: Store) -> None:
    await store.create_session(ANA)
    await store.commit([full()])
    await store.acquire(ANA)
    with pytest.raises(StaleEpoch):
        await store.archive_credentials(ANA, Epoch(0), "late")
    assert await store.reader(ANA, Epoch(1)).credentials() == b"credentials"


_OF_THE_IDENTITY = {
    "credentials",
    "archived_credentials",
    "ratchets",
    "sender_keys",
    "sender_key_holders",
    "pre_keys",
    "privacy_tokens",
}


@pytest.mark.requirement("C6")
async def test_a_logout_destroys_all_credentials_and_nothing_else(store: Store) -> None:
    await store.create_session(BOB)
    created = await store.create_session(ANA)
    await store.commit([full(), full(BOB)])
    await store.archive_credentials(ANA, Epoch(0), "device_removed")
    await store.commit([full()])
    before = await rows(store)
    await store.destroy_credentials(ANA, Epoch(0))
    assert await store.get_session(ANA) == replace(created, desired=Desired.STOPPED)
    after = await rows(store)
    assert {name for name in before if after[name] != before[name]} == _OF_THE_IDENTITY
    assert await store.archived_credentials(ANA) == []
    assert await store.reader(ANA, Epoch(0)).credentials() is None
    bob = await store.get_session(BOB)
    assert (bob.has_credentials, bob.pn, bob.standing) == (True, PN, STANDING)
    assert await store.reader(BOB, Epoch(0)).ratchets(["1.0"]) == {"1.0": b"r"}
    await store.destroy_credentials(ANA, Epoch(0))
    await store.commit([full()])
    assert await store.reader(ANA, Epoch(0)).credentials() == b"credentials"


@pytest.mark.parametrize("ending", ["archive", "destroy"])
async def test_what_is_told_of_unlinked_credentials_is_committed_with_them(
    store: Store, clock: ManualClock, ending: str
) -> None:
    await store.create_session(BOB)
    await store.create_session(ANA)
    open_ = replace(OUTAGE, id=OutageId("open"), session=ANA, ended_at=None, end=None)
    theirs = replace(open_, id=OutageId("theirs"), session=BOB)
    await store.commit([full(), unit(outage=open_), unit(session=BOB, outage=theirs)])
    since = await store.last_seq()
    told = event(EventType.SESSION_LOGGED_OUT, by="a person")

    async def end(epoch: Epoch) -> None:
        if ending == "archive":
            await store.archive_credentials(ANA, epoch, "401", events=[told])
        else:
            await store.destroy_credentials(ANA, epoch, events=[told])

    mine = await store.acquire(ANA)
    with pytest.raises(StaleEpoch):
        await end(Epoch(0))
    assert await store.last_seq() == since
    for _ in range(2):  # the second time, because nobody knew whether the first was committed
        await end(mine)
    assert [one.event for one in await store.events_after(since)] == [told]
    kept = {one.outage.id: one.outage for one in await store.outages(ANA)}
    assert (kept[open_.id].end, kept[open_.id].retry_at) == (OutageEnd.LOGGED_OUT, None)
    assert kept[open_.id].ended_at == clock.now()
    assert [one.outage for one in await store.outages(BOB)] == [theirs]


async def test_credentials_that_do_not_open_can_be_destroyed(store: Store) -> None:
    await store.create_session(ANA)
    await store.commit([full()])

    def harm(connection: Connection) -> None:
        connection.execute(update(schema.credentials).values(sealed=b"damaged"))

    await store.database.write(harm)
    with pytest.raises(UnreadableState):
        await store.archive_credentials(ANA, Epoch(0), "why")
    assert await store.reader(ANA, Epoch(0)).ratchets(["1.0"]) == {"1.0": b"r"}
    await store.destroy_credentials(ANA, Epoch(0))
    assert not (await store.get_session(ANA)).has_credentials


async def test_a_stale_owner_cannot_destroy(store: Store) -> None:
    await store.create_session(ANA)
    await store.commit([full()])
    await store.acquire(ANA)
    with pytest.raises(StaleEpoch):
        await store.destroy_credentials(ANA, Epoch(0))
    assert (await store.get_session(ANA)).has_credentials
    assert await store.reader(ANA, Epoch(1)).credentials() == b"credentials"


async def test_a_reader_tells_whose_it_is(store: Store) -> None:
    reader = store.reader(ANA, Epoch(7))
    assert (reader.session, reader.epoch) == (ANA, 7)
    with pytest.raises(AttributeError):
        reader.more = 1  # pyright: ignore[reportAttributeAccessIssue]  # slots keep idle sessions small


async def test_an_api_key_is_shown_once_and_stored_as_a_hash(store: Store) -> None:
    key_, text = await store.create_api_key("desk")
    _other, other_text = await store.create_api_key("other")
    assert text != other_text
    assert await store.verify_api_key(text) == key_
    for wrong in ("", text[:-1], text.upper(), f"{text} ", "\ud800"):
        assert await store.verify_api_key(wrong) is None
    assert [one.name for one in await store.list_api_keys()].count("desk") == 1

    def hashes(connection: Connection) -> list[bytes]:
        return list(connection.execute(select(schema.api_keys.c.hash)).scalars())

    assert all(len(hash_) == 32 for hash_ in await store.database.read(hashes))
    await store.revoke_api_key(key_.id)
    assert await store.verify_api_key(text) is None
    with pytest.raises(NotFound):
        await store.revoke_api_key(key_.id)


async def test_sessions_acquired_together_each_get_an_answer_of_their_own(store: Store) -> None:
    await store.create_session(ANA)
    await store.create_session(BOB)
    mine = await store.acquire(ANA)
    answers = await asyncio.gather(
        store.acquire(SessionId("nobody")),
        store.acquire(ANA, mine),
        store.acquire(BOB),
        store.acquire(ANA, mine),
        store.acquire(BOB),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [NotFound, int, int, StaleEpoch, int]
    assert (answers[1], answers[4]) == (mine + 1, Epoch(2))
    assert [record.epoch for record in await store.list_sessions()] == [mine + 1, 2]


async def test_credentials_read_together_reach_their_own_sessions(store: Store) -> None:
    await store.create_session(ANA)
    await store.create_session(BOB)
    await store.commit([unit(credentials=Bytes(b"ana's"))])
    epoch = Epoch(0)
    ana, bob, nobody = await asyncio.gather(
        store.reader(ANA, epoch).credentials(),
        store.reader(BOB, epoch).credentials(),
        store.reader(SessionId("nobody"), epoch).credentials(),
        return_exceptions=True,
    )
    assert (ana, bob) == (b"ana's", None)
    assert isinstance(nobody, NotFound)


async def test_credentials_that_do_not_open_keep_no_other_session_from_theirs(
    store: Store,
) -> None:
    await store.create_session(ANA)
    await store.create_session(BOB)
    await store.commit(
        [unit(credentials=Bytes(b"ana's")), unit(session=BOB, credentials=Bytes(b"bob's"))]
    )

    def harm(connection: Connection) -> None:
        of_ana = select(schema.sessions.c.key).where(schema.sessions.c.id == ANA)
        connection.execute(
            update(schema.credentials)
            .where(schema.credentials.c.session == of_ana.scalar_subquery())
            .values(sealed=b"damaged")
        )

    await store.database.write(harm)
    ana, bob = await asyncio.gather(
        store.reader(ANA, Epoch(0)).credentials(),
        store.reader(BOB, Epoch(0)).credentials(),
        return_exceptions=True,
    )
    assert isinstance(ana, UnreadableState)
    assert bob == b"bob's"


@pytest.mark.requirement("E6", "E8")
@pytest.mark.parametrize("harmed", ["proxy", "data key"])
async def test_options_that_do_not_open_keep_no_other_session_from_being_found(
    store: Store, open_store: Callable[[], Store], harmed: str
) -> None:
    await store.create_session(ANA, options=SessionOptions(proxy="http://p", mark_online=True))
    await store.create_session(BOB, options=SessionOptions(proxy="http://q"))

    def harm(connection: Connection) -> None:
        if harmed == "proxy":
            of_ana = schema.sessions.c.id == ANA
            connection.execute(
                update(schema.sessions).where(of_ana).values(proxy_sealed=b"damaged")
            )
        else:
            key = select(schema.sessions.c.key).where(schema.sessions.c.id == ANA)
            of_ana = schema.data_keys.c.session == key.scalar_subquery()
            connection.execute(delete(schema.data_keys).where(of_ana))

    await store.database.write(harm)
    store = open_store()
    ana, bob = await store.list_sessions()
    assert (ana.id, ana.readable, ana.options.proxy) == (ANA, False, None)
    assert (bob.id, bob.readable, bob.options.proxy) == (BOB, True, "http://q")
    assert await store.get_session(ANA) == ana


async def test_each_connection_sees_what_was_queued_before_it_looked_first(store: Store) -> None:
    await store.create_session(ANA)
    await store.create_session(BOB)
    queued = message(key(from_me=True))
    await store.queue_message(ANA, queued)
    ana, bob = store.reader(ANA, Epoch(0)), store.reader(BOB, Epoch(0))
    first, none = await asyncio.gather(ana.queued_messages(9), bob.queued_messages(9))
    assert [one.key for one in first] == [queued.key]
    assert list(none) == []
    await store.queue_message(BOB, queued)
    assert [one.key for one in await bob.queued_messages(9)] == [queued.key]


async def test_a_login_that_tells_nothing_new_leaves_the_session_s_row_alone(store: Store) -> None:
    await store.create_session(ANA)
    profile = Profile(pn=PN, lid=LID)
    await store.commit([unit(profile=profile, standing=STANDING)])
    statements: list[str] = []

    def note(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    listen(Engine, "before_cursor_execute", note)
    try:
        await store.commit([unit(profile=profile, standing=STANDING)])
        assert not any("UPDATE sessions" in statement for statement in statements)
        await store.commit([unit(profile=Profile(push_name="Ana"), standing="")])
        assert sum("UPDATE sessions" in statement for statement in statements) == 2
    finally:
        remove(Engine, "before_cursor_execute", note)
    record = await store.get_session(ANA)
    assert (record.pn, record.push_name, record.standing) == (PN, "Ana", None)
