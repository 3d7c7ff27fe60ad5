"""Every test of this folder runs on SQLite and on PostgreSQL."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from perene.core.sessions import SessionRecord
from perene.store.database import Database
from perene.store.store import Store
from tests.plugins.postgres import Postgres
from tests.support.units import ANA, ManualClock

_TEMPLATE = "perene_template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated, empty SQLite database."""
    path = tmp_path_factory.mktemp("template") / "perene.db"
    Database.open(f"sqlite:///{path}").close_now()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """Return the name of a migrated, empty PostgreSQL database."""
    _run(postgres, f"CREATE DATABASE {_TEMPLATE}")
    Database.open(postgres.url(_TEMPLATE)).close_now()
    return _TEMPLATE


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Name the database that the test runs on."""
    return request.param


@pytest.fixture
def url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a fresh, migrated database."""
    if backend == "sqlite":
        path = tmp_path / "perene.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    template: str = request.getfixturevalue("postgres_template")
    server: Postgres = request.getfixturevalue("postgres")
    name = f"contract_{tmp_path.parent.name}_{tmp_path.name}".lower().replace("-", "_")[-60:]
    _run(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server.url(name)
    _run(server, f"DROP DATABASE {name} WITH (FORCE)")


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


def _run(server: Postgres, statement: str) -> None:
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(statement.encode())
