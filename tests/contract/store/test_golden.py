"""Databases written by every version so far are opened, migrated and read by this one."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from perene.core.ids import Epoch
from perene.core.messages import Fate
from perene.core.sessions import Desired
from perene.store import migrations
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


def restore(golden: Path, path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(golden.read_text())
    connection.close()


@pytest.mark.requirement("C6", "F7")
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
async def test_a_database_of_any_version_is_read_whole(golden: Path, tmp_path: Path) -> None:
    path = tmp_path / "perene.db"
    restore(golden, path)
    store = Store.open(
        f"sqlite:///{path}",
        clock=ManualClock(),
        key_file=tmp_path / "none",
        master_key=MASTER_KEY,
    )
    record = await store.get_session(SESSION)
    assert (record.name, record.desired, record.options) == ("Golden", Desired.STOPPED, OPTIONS)
    assert (record.push_name, record.lid, record.created_at) == ("Golden", "99:3@lid", START)

    reader = store.reader(SESSION, Epoch(0))
    assert await reader.credentials() == b"credentials"
    [archived] = await store.archived_credentials(SESSION)
    assert (archived.data, archived.reason) == (b"unlinked", "device_removed")
    address = WHOLE.ratchets[0].address
    assert await reader.ratchets([address]) == {address: b"ratchet"}
    assert await reader.sender_key(GROUP, "1_1.2") == b"sender key"
    assert await reader.sender_key_holders(GROUP) == {"1_1.2"}
    assert await reader.pre_keys_not_uploaded(9) == list(WHOLE.pre_keys_added)
    assert list(await reader.address_pairs([PN])) == [WHOLE.address_pairs[0]]
    assert await reader.known_ciphertexts([b"h" * 32]) == {b"h" * 32}
    assert await store.peer_messages(SESSION, limit=9) == list(WHOLE.peer_messages)

    stored = await store.list_messages(SESSION, chat=PN, newest_first=False)
    assert [one.message.key for one in stored[:2]] == [RECEIVED, SENT]
    assert [one.message.body for one in stored[:2]] == [b"received", b"sent"]
    assert [one.failure for one in stored[:2]] == [None, None]
    since = golden.stem >= "schema_0006"
    assert [(one.message.key, one.failure) for one in stored[2:]] == (
        [(REFUSED, FAILURE)] if since else []
    )
    entry = await reader.ledger_entry(LOST)
    assert entry is not None
    assert (entry.fate, entry.retries, entry.reason) == (Fate.PENDING, 2, "bad_mac")
    assert TOLD in [one.event for one in await store.events_after(0)]
    assert [one.name for one in await store.list_api_keys()] == ["desk"]

    again = await store.queue_message(
        SESSION, message(SENT), idempotency_key="key", request_hash=b"hash"
    )
    assert not again.created
    assert [one.chat for one in await store.list_conversations(SESSION)] == [LID]
    await store.close()


@pytest.mark.requirement("F3", "F10")
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
async def test_tokens_and_what_was_learned_are_read_since_they_were(
    golden: Path, tmp_path: Path
) -> None:
    path = tmp_path / "perene.db"
    restore(golden, path)
    store = Store.open(
        f"sqlite:///{path}",
        clock=ManualClock(),
        key_file=tmp_path / "none",
        master_key=MASTER_KEY,
    )
    since = golden.stem >= "schema_0003"
    tokens = await store.reader(SESSION, Epoch(0)).privacy_tokens([PRIVACY_TOKEN.person])
    assert tokens == ([PRIVACY_TOKEN] if since else [])
    assert await store.learned_hearing() == ({SESSION: LEARNED} if since else {})
    await store.close()


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
async def test_what_was_kept_of_outages_is_read_since_it_was(golden: Path, tmp_path: Path) -> None:
    path = tmp_path / "perene.db"
    restore(golden, path)
    store = Store.open(
        f"sqlite:///{path}",
        clock=ManualClock(),
        key_file=tmp_path / "none",
        master_key=MASTER_KEY,
    )
    since = golden.stem >= "schema_0002"
    assert (await store.get_session(SESSION)).standing == (STANDING if since else None)
    outage = OUTAGE if golden.stem >= "schema_0004" else replace(OUTAGE, losses=())
    assert [one.outage for one in await store.outages(SESSION)] == ([outage] if since else [])
    assert await store.list_alerts() == ([ALERT] if since else [])
    assert await store.open_alerts() == []
    kept = golden.stem >= "schema_0007"
    assert await store.alert_conditions() == (CONDITIONS if kept else {})
    assert await store.client_version(ENDPOINT) == (("2.3000.1", START) if since else None)
    await store.close()
