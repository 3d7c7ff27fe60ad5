"""A look at a database: it is tried in full, and left as it was."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, text

from perene.core.errors import StorageError
from perene.store.database import Database
from perene.store.errors import CannotConnect, WrongMasterKey
from perene.store.inspection import inspect, opens_with, sqlite_file
from perene.store.master_key import find_master_key
from perene.store.migrations import HEAD
from perene.store.store import Store
from tests.plugins.postgres import Postgres
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


@pytest.fixture
def full_tablespace(postgres: Postgres) -> Iterator[str]:
    """Name a tablespace in which nothing can be made."""
    name = f"full_{os.getpid()}"
    place = postgres.folder / name
    place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(place, "nobody")
    with psycopg.connect(postgres.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'".encode())
        inside = next(place.iterdir())
        inside.rmdir()
        yield name
        inside.mkdir()
        if os.geteuid() == 0:
            shutil.chown(inside, "nobody")
        admin.execute(f"DROP TABLESPACE {name}".encode())


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_server_that_has_no_room_for_more_is_not_called_writable(url: str, full_tablespace: str):
    database = Database.open(url, migrate=False)
    try:
        assert inspect(database, ENDPOINT).schema == HEAD
        assert not database.write_now(trial_is_there)
        database.write_now(new_tables_in, full_tablespace)
        with pytest.raises(StorageError):
            inspect(database, ENDPOINT)
    finally:
        database.close_now()


def trial_is_there(connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT to_regclass('perene_trial') IS NOT NULL")))


def new_tables_in(connection: Connection, tablespace: str) -> None:
    connection.execute(text(f"SET default_tablespace = {tablespace}"))


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
