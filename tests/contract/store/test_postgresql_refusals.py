"""A PostgreSQL that refuses: why is told rightly, and what passes is over when it has passed."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import URL, Connection, insert, make_url, select, text

from perene.core.errors import StorageUnavailable
from perene.store import schema
from perene.store.database import Database
from perene.store.database_url import describe, parse_url
from perene.store.errors import CannotConnect, UnsuitableDatabase
from perene.store.failures import classify
from perene.store.instance_lock import held_database
from tests.plugins.postgres import Postgres

PASSWORD = "a-password-nobody-may-read"


@pytest.fixture
def ask(
    postgres: Postgres, postgres_url: str
) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Return a function that asks the test's database as its administrator."""
    name = make_url(postgres_url).database or ""
    with psycopg.connect(postgres.conninfo(name), autocommit=True) as connection:

        def ask(query: str) -> list[tuple[object, ...]]:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

        yield ask


@pytest.fixture
def guest(ask: Callable[[str], object], postgres_url: str) -> Iterator[URL]:
    """Return the URL of the test's database for a user that owns nothing."""
    name = f"guest_of_{make_url(postgres_url).database}"
    ask(f"CREATE ROLE {name} LOGIN")
    yield make_url(postgres_url).set(username=name)
    ask(f"DROP OWNED BY {name}")
    ask(f"DROP ROLE {name}")


def text_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("ALTER ROLE {user} CONNECTION LIMIT 0", "it has too many connections"),
        ("ALTER ROLE {user} NOLOGIN", "this user may not log in"),
        ("ALTER DATABASE {name} CONNECTION LIMIT 0", "it has too many connections"),
        ("ALTER DATABASE {name} ALLOW_CONNECTIONS false", "this database takes no connections"),
        ("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC", "this user may not connect to this"),
    ],
)
def test_who_is_not_let_in_is_not_told_that_name_or_password_are_wrong(
    postgres: Postgres, guest: URL, statement: str, reason: str
) -> None:
    with psycopg.connect(postgres.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(statement.format(user=guest.username, name=guest.database).encode())
        with pytest.raises(CannotConnect) as caught:
            Database.open(text_of(guest))
        admin.execute(f"ALTER DATABASE {guest.database} ALLOW_CONNECTIONS true".encode())
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("FATAL:  remaining connection slots are reserved for roles with …", "too many"),
        ("server does not support SSL, but SSL was required", "speaks no TLS"),
        ("SSL error: certificate verify failed", "certificate"),
        ('root certificate file "/nowhere.pem" does not exist', "certificate"),
        ("connection to server failed: server is in hot standby mode", "it is a standby"),
        ("FATAL:  the database system is in recovery mode", "starting or stopping"),
        ("FATAL:  unsupported startup parameter in options: lock_timeout", "pooler"),
        ('invalid sslmode value: "requird"', "option that there is not"),
        ("connection failed: Network is unreachable", "cannot be reached"),
        ("server closed the connection unexpectedly", "it hung up"),
        ("connection failed: Connection refused", "nobody listens at its address"),
        ("failed to resolve host 'nowhere': Name or service not known", "cannot be resolved"),
        ("connection timeout expired", "it gave no answer in time"),
    ],
)
def test_what_libpq_says_only_in_words_becomes_a_reason(said: str, reason: str) -> None:
    found = classify(psycopg.OperationalError(said))
    assert isinstance(found, StorageUnavailable)
    assert reason in str(found)


def test_a_user_without_rights_is_not_told_to_restore_a_backup(guest: URL) -> None:
    with pytest.raises(UnsuitableDatabase, match="permission denied for schema public") as caught:
        Database.open(text_of(guest))
    assert "backup" not in caught.value.remedy
    assert "OWNER" in caught.value.remedy


def test_the_tables_of_somebody_else_are_not_to_be_overwritten_by_a_backup(
    ask: Callable[[str], list[tuple[object, ...]]], postgres_url: str
) -> None:
    ask("CREATE TABLE sessions (of_somebody_else INTEGER)")
    with pytest.raises(UnsuitableDatabase, match='relation "sessions" already exists') as caught:
        Database.open(postgres_url)
    assert "backup" not in caught.value.remedy
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert ask(tables) == [("sessions",)], "nothing was changed"


def test_an_option_of_the_url_that_there_is_not_refuses_the_start(postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"sslmod": "require"})
    with pytest.raises(CannotConnect, match="option that there is not"):
        Database.open(text_of(url))
    with (
        pytest.raises(CannotConnect, match="option that there is not"),
        held_database(text_of(url)),
    ):
        pass


def test_no_part_of_a_password_with_an_at_sign_is_told_as_a_host() -> None:
    for url in (f"postgresql://user:p@{PASSWORD}@host/perene", f"postgresql://u:p@{PASSWORD}/@h/p"):
        with pytest.raises(CannotConnect, match="%40") as caught:
            parse_url(url)
        assert PASSWORD not in str(caught.value)


def test_the_options_of_the_url_are_kept_beside_ours(
    ask: Callable[[str], list[tuple[object, ...]]], postgres_url: str
) -> None:
    ask("CREATE SCHEMA elsewhere")
    options = {"options": "-c search_path=elsewhere -c statement_timeout=0"}
    database = Database.open(text_of(make_url(postgres_url).update_query_dict(options)))
    shown = database.write_now(lambda c: c.execute(text("SHOW statement_timeout")).scalar())
    database.close_now()
    assert shown == "8s", "the limits are ours"
    schemas = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = 'sessions'"
    assert ask(schemas) == [("elsewhere",)]


@pytest.mark.requirement("C6")
async def test_several_hosts_and_the_wish_for_one_that_takes_writes(
    postgres: Postgres, postgres_url: str
) -> None:
    """The readers take no writes themselves, and must be let in all the same."""
    query = {"host": [f"{postgres.folder}/nobody", str(postgres.folder)]}
    url = make_url(postgres_url).update_query_dict(query | {"target_session_attrs": "read-write"})
    assert describe(url).endswith(f"{postgres.folder}/nobody,{postgres.folder}/{url.database}")
    with held_database(text_of(url)):
        database = Database.open(text_of(url))
        await database.write(lambda c: c.execute(insert(schema.counters).values(name="a", value=1)))
        assert await database.read(count) == 1
        await database.close()


def test_a_migration_may_take_longer_than_any_other_statement(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrating: list[str] = []

    def upgrade(connection: Connection, revision: str) -> None:
        connection.execute(text("SELECT pg_sleep(0.3)"))
        idle = text("SHOW idle_in_transaction_session_timeout")
        assert connection.execute(idle).scalar_one() == "0", "nor is it ended between two of them"
        migrating.append(revision)

    monkeypatch.setattr("perene.store.migrations.upgrade", upgrade)
    Database.open(postgres_url, statement_s=0.1).close_now()
    assert migrating


# --- later ----------------------------------------------------------------------------------------


def count(connection: Connection) -> int:
    query = select(schema.counters).where(schema.counters.c.value >= 0)
    return len(connection.execute(query).all())


def add_one(connection: Connection) -> None:
    name = f"{count(connection)}"
    connection.execute(insert(schema.counters).values(name=name, value=1))


def on_server(statement: bytes) -> Callable[[Connection], None]:
    """Return what runs a statement where the driver does not see it, as a pooler would."""

    def run(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, psycopg.Connection)
        assert driver.pgconn.exec_(statement).error_message == b""

    return run


@pytest.fixture
async def database(postgres_url: str) -> Database:
    """Return a database whose connections have prepared their statements."""
    found = Database.open(postgres_url)
    for _ in range(8):
        await found.write(add_one)
    for _ in range(40):
        await found.read(count)
    return found


@pytest.mark.requirement("C6", "E8")
async def test_a_server_that_forgot_what_was_prepared_is_asked_anew(database: Database) -> None:
    for _ in range(8):
        await database.read(on_server(b"DEALLOCATE ALL"))
    assert [await database.read(count) for _ in range(8)] == [8] * 8
    await database.write(on_server(b"DEALLOCATE ALL"))
    with pytest.raises(StorageUnavailable, match="it forgot what was prepared, 26000"):
        await database.write(add_one)
    await database.write(add_one)
    await database.close()


async def test_a_table_that_was_changed_by_hand_is_read_anew(
    database: Database, ask: Callable[[str], object]
) -> None:
    ask("ALTER TABLE counters ALTER COLUMN value TYPE numeric")
    assert [await database.read(count) for _ in range(8)] == [8] * 8
    await database.close()


@pytest.mark.requirement("C6", "E8")
async def test_a_connection_that_takes_no_writes_any_more_is_not_kept(database: Database) -> None:
    """A fail-over can leave one behind: to a server that was the first one, and is none now."""
    await database.write(on_server(b"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
    with pytest.raises(StorageUnavailable, match="it is read-only, 25006"):
        await database.write(add_one)
    await database.write(add_one)
    await database.close()


async def test_why_a_connection_was_lost_is_told(database: Database) -> None:
    def end(connection: Connection) -> None:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(StorageUnavailable, match=r"was lost \(.*administrator.*57P01\)"):
        await database.write(end)
    await database.close()


async def test_a_lock_that_is_not_released_is_told_as_what_it_is(
    postgres_url: str, ask: Callable[[str], object]
) -> None:
    database = Database.open(postgres_url, statement_s=0.5)
    ask("BEGIN")
    ask("LOCK TABLE counters")
    with pytest.raises(StorageUnavailable, match="another transaction keeps it locked, 55P03"):
        await database.write(add_one)
    ask("ROLLBACK")
    await database.write(add_one)
    await database.close()
