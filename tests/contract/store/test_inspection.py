"""A look at a database: it is tried in full, and left as it was."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from perene.store.database import Database
from perene.store.errors import CannotConnect, WrongMasterKey
from perene.store.inspection import inspect, opens_with, sqlite_file
from perene.store.master_key import find_master_key
from perene.store.migrations import HEAD
from perene.store.store import Store
from tests.support.units import ANA, ManualClock

ENDPOINT = "wss://127.0.0.1/ws/chat"


async def test_what_is_stored_is_seen_beside_a_running_service(
    url: str, open_store: Callable[[], Store], clock: ManualClock, backend: str
):
    store = open_store()
    await store.create_session(ANA)
    await store.save_client_version(ENDPOINT, "2.3000.7", clock.now())
    database = Database.open(url, migrate=False)
    try:
        seen = inspect(database, ENDPOINT)
    finally:
        database.close_now()
    assert (seen.schema, seen.sealed, seen.sessions) == (HEAD, True, 1)
    assert seen.cached_version == "2.3000.7"
    if backend == "sqlite":
        assert seen.clock is None
    else:
        assert seen.clock is not None
        assert abs(seen.clock - datetime.now(UTC)) < timedelta(seconds=10)


def test_an_empty_database_has_no_key_yet(url: str):
    database = Database.open(url, migrate=False)
    try:
        seen = inspect(database, ENDPOINT)
        assert (seen.sealed, seen.sessions, seen.cached_version) == (False, 0, None)
    finally:
        database.close_now()


async def test_the_key_is_held_against_the_database(url: str, store: Store, key_file: Path):
    database = Database.open(url, migrate=False)
    try:
        opens_with(database, find_master_key(None, key_file, database_in_use=True))
        with pytest.raises(WrongMasterKey):
            opens_with(database, bytes(32))
    finally:
        database.close_now()


def test_only_sqlite_has_a_file():
    assert str(sqlite_file("sqlite:////srv/perene.db")) == "/srv/perene.db"
    assert sqlite_file("postgresql://perene@127.0.0.1/perene") is None
    with pytest.raises(CannotConnect, match="kind"):
        sqlite_file("mysql://127.0.0.1/perene")
