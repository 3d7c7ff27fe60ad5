"""What stands before a PostgreSQL server: it works, or the start is refused with what to do."""

import threading
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, insert, select, text

from perene.core.errors import StorageUnavailable
from perene.doctor import Level
from perene.doctor.hold import check_hold
from perene.settings import Settings
from perene.store import schema
from perene.store.database import Database
from perene.store.errors import PooledByTransaction
from perene.store.instance_lock import find_holder, held_database
from tests.plugins.postgres import Postgres
from tests.support.fronts import Front, TransactionPooler, standing, through

KEYS = (int.from_bytes(b"pere"), 1)
IN_TURN = pytest.mark.parametrize("in_turn", [False, True], ids=["last used", "in turn"])


@pytest.fixture
def socket(postgres: Postgres) -> Path:
    return postgres.folder / ".s.PGSQL.5432"


@pytest.fixture
def front(socket: Path) -> Generator[Front]:
    one = Front(socket)
    with standing(one):
        yield one


def locks(url: str) -> int:
    """Return how many hold, or wait for, the lock of a database."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE classid = %s AND objid = %s AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())",
            KEYS,
        ).fetchone()
    assert found is not None
    return int(found[0])


@IN_TURN
@pytest.mark.parametrize("idle", [0, 1, 2, 5])
@pytest.mark.requirement("D9")
def test_a_pooler_that_pools_by_transaction_refuses_the_start(
    socket: Path, postgres_url: str, in_turn: bool, idle: int
) -> None:
    front = TransactionPooler(socket, in_turn=in_turn)
    with standing(front):
        url = through(front, postgres_url)
        line = threading.Barrier(idle + 1)

        def visit() -> None:
            with psycopg.connect(url.replace("+psycopg", "")) as connection:
                connection.execute("SELECT 1")
                line.wait()

        visitors = [threading.Thread(target=visit) for _ in range(idle)]
        for visitor in visitors:
            visitor.start()
        line.wait()
        for visitor in visitors:
            visitor.join()
        for _ in range(3):
            with pytest.raises(PooledByTransaction) as refused, held_database(url):
                pytest.fail("nobody can hold it")
            assert "pool by session" in refused.value.remedy
            with pytest.raises(PooledByTransaction):
                find_holder(url)
        assert locks(postgres_url) == 0
    with held_database(postgres_url):
        assert locks(postgres_url) == 1, "the server's own port is free"


def test_the_doctor_tells_that_no_service_could_start(
    socket: Path, postgres_url: str, tmp_path: Path
) -> None:
    front = TransactionPooler(socket, in_turn=False)
    with standing(front):
        url = SecretStr(through(front, postgres_url).replace("+psycopg", ""))
        found = check_hold(Settings(data_dir=tmp_path, database_url=url))
    assert found.level is Level.FAIL
    assert "each transaction another" in found.sentence
    assert "pool by session" in (found.remedy or "")


@pytest.mark.requirement("D9")
def test_a_pooler_that_turns_to_transactions_is_noticed_by_who_holds_the_database(
    socket: Path, postgres_url: str
) -> None:
    front = TransactionPooler(socket, in_turn=True)
    front.by_session = True
    with standing(front), held_database(through(front, postgres_url)) as lock:
        assert lock.keep() is False
        front.by_session = False
        front.cut()
        assert lock.keep() is True
        conninfo = through(front, postgres_url).replace("+psycopg", "")
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("SELECT 1")
            for _ in range(3):
                with pytest.raises(StorageUnavailable, match="gives each transaction another"):
                    lock.keep()


@pytest.mark.requirement("D9", "E6")
def test_a_pooler_by_session_that_takes_no_options_gets_our_limits_all_the_same(
    front: Front, postgres_url: str
) -> None:
    url = through(front, postgres_url)
    with held_database(url) as lock:
        assert lock.keep() is False
        assert find_holder(url) is not None
        database = Database.open(url)
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        shown = [database.write_now(show, name) for name in names]
        assert shown == ["8s", "7200ms", "20s"]
        database.close_now()


def show(connection: Connection, name: str) -> str:
    return connection.execute(text(f"SHOW {name}")).scalar_one()


def count(connection: Connection) -> int:
    return len(connection.execute(select(schema.counters.c.name)).all())


def add_one(connection: Connection) -> None:
    name = f"{count(connection)}"
    connection.execute(insert(schema.counters).values(name=name, value=1))


@pytest.mark.requirement("C6", "E6")
async def test_connections_that_are_cut_for_want_of_traffic_cost_nobody_anything(
    front: Front, postgres_url: str
) -> None:
    url = through(front, postgres_url)
    with held_database(url) as lock:
        database = Database.open(url)
        for number in range(10):
            await database.write(add_one)
            assert await database.read(count) == number + 1
            before = front.started
            front.cut()
            await database.write(add_one_more)
            assert await database.read(count) == number + 1
            assert lock.keep() is True
            assert lock.keep() is False
            assert front.started - before <= 4, "one each for who writes, reads, and holds"
        await database.close()


def add_one_more(connection: Connection) -> None:
    connection.execute(text("UPDATE counters SET value = value + 1"))
