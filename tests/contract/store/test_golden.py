"""Databases written by every version so far are opened, migrated and read by this one."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from perene.core.ids import Epoch
from perene.core.messages import Fate
from perene.core.sessions import Desired
from perene.store import migrations
from perene.store.session_store import SessionReader
from perene.store.store import Store
from tests.contract.store.make_golden import (
    ALERT,
    CONDITIONS,
    ENDPOINT,
    FAILURE,
    FOLDER,
    LEARNED,
    LOST,
    MASTER_KEY,
    OPTIONS,
    OUTAGE,
    PRIVACY_TOKEN,
    RECEIVED,
    REFUSED,
    SENT,
    SESSION,
    STANDING,
    TOLD,
    WHOLE,
)
from tests.support.units import GROUP, LID, PN, START, ManualClock, message

GOLDEN = sorted(FOLDER.glob("schema_*.sql"))


def test_every_schema_has_its_golden_file() -> None:
    assert [path.stem for path in GOLDEN] == [f"schema_{one}" for one in migrations.REVISIONS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """What a version has left behind, opened by this one."""

    version: int
    """The number of its last migration."""
    store: Store

    @property
    def reader(self) -> SessionReader:
        return self.store.reader(SESSION, Epoch(0))


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
async def old(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Old]:
    path, golden = tmp_path / "perene.db", request.param
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(golden.read_text())
    store = Store.open(
        f"sqlite:///{path}",
        clock=ManualClock(),
        key_file=tmp_path / "none",
        master_key=MASTER_KEY,
    )
    yield Old(version=int(golden.stem.removeprefix("schema_")), store=store)
    await store.close()


@pytest.mark.requirement("C6", "F7")
async def test_the_session_of_any_version_is_read(old: Old) -> None:
    record = await old.store.get_session(SESSION)
    assert (record.name, record.desired, record.options) == ("Golden", Desired.STOPPED, OPTIONS)
    assert (record.push_name, record.lid, record.created_at) == ("Golden", "99:3@lid", START)
    [archived] = await old.store.archived_credentials(SESSION)
    assert (archived.data, archived.reason) == (b"unlinked", "device_removed")
    assert [one.name for one in await old.store.list_api_keys()] == ["desk"]


@pytest.mark.requirement("C6", "F7")
async def test_the_keys_of_any_version_are_read(old: Old) -> None:
    reader, address = old.reader, WHOLE.ratchets[0].address
    assert await reader.credentials() == b"credentials"
    assert await reader.ratchets([address]) == {address: b"ratchet"}
    assert await reader.sender_key(GROUP, "1_1.2") == b"sender key"
    assert await reader.sender_key_holders(GROUP) == {"1_1.2"}
    assert await reader.pre_keys_not_uploaded(9) == list(WHOLE.pre_keys_added)


@pytest.mark.requirement("C6", "F7")
async def test_the_messages_of_any_version_are_read(old: Old) -> None:
    store = old.store
    stored = await store.list_messages(SESSION, chat=PN, newest_first=False)
    assert [one.message.key for one in stored[:2]] == [RECEIVED, SENT]
    assert [one.message.body for one in stored[:2]] == [b"received", b"sent"]
    assert [one.failure for one in stored[:2]] == [None, None]
    refused = [(REFUSED, FAILURE)] if old.version >= 6 else []
    assert [(one.message.key, one.failure) for one in stored[2:]] == refused
    assert [one.chat for one in await store.list_conversations(SESSION)] == [LID]
    assert TOLD in [one.event for one in await store.events_after(0)]


@pytest.mark.requirement("C6", "F7")
async def test_what_any_version_knew_of_its_messages_is_known(old: Old) -> None:
    assert list(await old.reader.address_pairs([PN])) == [WHOLE.address_pairs[0]]
    assert await old.reader.known_ciphertexts([b"h" * 32]) == {b"h" * 32}
    assert await old.store.peer_messages(SESSION, limit=9) == list(WHOLE.peer_messages)
    entry = await old.reader.ledger_entry(LOST)
    assert entry is not None
    assert (entry.fate, entry.retries, entry.reason) == (Fate.PENDING, 2, "bad_mac")
    again = await old.store.queue_message(
        SESSION, message(SENT), idempotency_key="key", request_hash=b"hash"
    )
    known = await old.store.list_messages(SESSION)
    assert [again] == [row for row in known if row.message.key.id == again.message.key.id]
    assert again.message.key.id == SENT.id


@pytest.mark.requirement("F3", "F10")
async def test_tokens_and_what_was_learned_are_read_since_they_were(old: Old) -> None:
    since = old.version >= 3
    tokens = await old.reader.privacy_tokens([PRIVACY_TOKEN.person])
    assert tokens == ([PRIVACY_TOKEN] if since else [])
    assert await old.store.learned_hearing() == ({SESSION: LEARNED} if since else {})


@pytest.mark.requirement("C6")
async def test_what_was_kept_of_outages_is_read_since_it_was(old: Old) -> None:
    store, since = old.store, old.version >= 2
    assert (await store.get_session(SESSION)).standing == (STANDING if since else None)
    outage = OUTAGE if old.version >= 4 else replace(OUTAGE, losses=())
    assert [one.outage for one in await store.outages(SESSION)] == ([outage] if since else [])
    assert await store.list_alerts() == ([ALERT] if since else [])
    assert await store.open_alerts() == []
    assert await store.alert_conditions() == (CONDITIONS if old.version >= 7 else {})
    assert await store.client_version(ENDPOINT) == (("2.3000.1", START) if since else None)
