"""Every test of this folder runs on SQLite and on PostgreSQL."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from perene.core.sessions import SessionRecord
from perene.store.database import Database
from perene.store.schema import metadata
from perene.store.store import Store
from tests.plugins.postgres import Postgres
from tests.support.units import ANA, ManualClock

_SHARED = "perene_shared"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated, empty SQLite database."""
    path = tmp_path_factory.mktemp("template") / "perene.db"
    Database.open(f"sqlite:///{path}").close_now()
    return path


@pytest.fixture(scope="session")
def postgres_shared(postgres: Postgres) -> str:
    """Return the name of a migrated PostgreSQL database, which the tests empty in turn."""
    with psycopg.connect(postgres.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_SHARED}".encode())
    Database.open(postgres.url(_SHARED)).close_now()
    return _SHARED


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Name the database that the test runs on."""
    return request.param


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a fresh, migrated database."""
    if backend == "sqlite":
        path = tmp_path / "perene.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    shared: str = request.getfixturevalue("postgres_shared")
    server: Postgres = request.getfixturevalue("postgres")
    # A database of its own would cost each test half a second.
    with psycopg.connect(server.conninfo(shared)) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
    return server.url(shared)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "master.key"


@pytest.fixture
async def open_store(
    url: str, clock: ManualClock, key_file: Path
) -> AsyncIterator[Callable[[], Store]]:
    """Return a function that opens the test's database, as another process would."""
    opened: list[Store] = []

    def open_one() -> Store:
        store = Store.open(url, clock=clock, key_file=key_file)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    """Return a store without sessions."""
    return open_store()


@pytest.fixture
async def ana(store: Store) -> SessionRecord:
    """Return the session `ana`, at epoch 0."""
    return await store.create_session(ANA)
