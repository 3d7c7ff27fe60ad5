"""Migrations: every database ends up with the tables that the code expects."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, create_engine, inspect, text, update
from sqlalchemy.engine.interfaces import ReflectedIndex
from structlog.testing import capture_logs

from perene.store import migrations, schema
from perene.store.database import Database
from perene.store.errors import (
    BeingMigrated,
    CannotConnect,
    EmptyDatabase,
    NewerSchema,
    TablesLocked,
    UnreadableDatabase,
    UnsuitableDatabase,
)
from tests.support.full_disk import no_file_beyond


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/perene.db"
    return request.getfixturevalue("postgres_url")


def describe(connection: Connection) -> dict[str, object]:
    """Return every table with its columns, keys and indexes, as the database tells them."""
    found: dict[str, object] = {}
    inspector = inspect(connection)
    for name in sorted(set(inspector.get_table_names()) - {migrations.VERSION_TABLE}):
        columns = [
            (column["name"], str(column["type"]), column["nullable"], str(column.get("default")))
            for column in inspector.get_columns(name)
        ]
        unique = [
            (one["name"], one["column_names"]) for one in inspector.get_unique_constraints(name)
        ]
        indexes = [
            (one["name"], one["column_names"], one["unique"], options_of(one))
            for one in inspector.get_indexes(name)
        ]
        foreign = [
            (
                one["name"],
                one["constrained_columns"],
                one["referred_table"],
                str(one.get("options")),
            )
            for one in inspector.get_foreign_keys(name)
        ]
        found[name] = (
            columns,
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted(unique, key=str),
            sorted(indexes, key=str),
            sorted(foreign, key=str),
        )
    if connection.dialect.name == "sqlite":
        statements = connection.execute(text("SELECT name, sql FROM sqlite_master ORDER BY name"))
        found["sql"] = {
            name: parts_of(sql or "")
            for name, sql in statements
            if name != migrations.VERSION_TABLE
        }
    return found


def parts_of(sql: str) -> list[str]:
    """Return what a statement consists of; a column added later stands behind the constraints."""
    inside = re.sub(r"\s+", " ", sql).removesuffix(")").strip()
    return sorted(part.strip() for part in inside.split(","))


def options_of(index: ReflectedIndex) -> dict[str, str]:
    return {name: str(value) for name, value in index.get("dialect_options", {}).items()}


def test_a_migrated_database_has_the_tables_of_the_code(empty_url: str) -> None:
    database = Database.open(empty_url)
    migrated = database.write_now(describe)

    def compare(connection: Connection) -> object:
        options = {"version_table": migrations.VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, schema.metadata)

    assert database.write_now(compare) == []

    def start_over(connection: Connection) -> dict[str, object]:
        schema.metadata.drop_all(connection)
        schema.metadata.create_all(connection)
        return describe(connection)

    assert database.write_now(start_over) == migrated
    database.close_now()


def test_the_known_versions_are_those_of_the_files() -> None:
    directory = Path(migrations.__file__).parent
    scripts = ScriptDirectory(str(directory)).walk_revisions()
    assert tuple(script.revision for script in scripts)[::-1] == migrations.REVISIONS


def test_opening_again_changes_nothing(empty_url: str) -> None:
    Database.open(empty_url).close_now()
    database = Database.open(empty_url, migrate=False)
    assert database.write_now(migrations.version) == migrations.HEAD
    database.close_now()


def test_a_migration_is_told_when_it_begins_and_when_it_is_done(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/perene.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        migrations.upgrade(connection, migrations.REVISIONS[0])
    engine.dispose()
    with capture_logs() as lines:
        Database.open(url).close_now()
        Database.open(url).close_now()
        Database.open(f"sqlite:///{tmp_path}/new.db").close_now()
    assert lines == [
        {
            "event": "database_migrating",
            "schema": migrations.REVISIONS[0],
            "to": migrations.HEAD,
            "log_level": "info",
        },
        {"event": "database_migrated", "schema": migrations.HEAD, "log_level": "info"},
    ]


def test_a_database_of_a_newer_version_is_refused(empty_url: str) -> None:
    database = Database.open(empty_url)

    def pretend(connection: Connection) -> None:
        table = Table(migrations.VERSION_TABLE, MetaData(), autoload_with=connection)
        connection.execute(update(table).values(version_num="9999"))

    database.write_now(pretend)
    before = database.write_now(describe)
    with pytest.raises(NewerSchema, match="9999") as refused:
        Database.open(empty_url)
    assert "later" in refused.value.remedy
    assert database.write_now(describe) == before
    database.close_now()


def test_no_migration_is_made_when_it_was_forbidden(empty_url: str) -> None:
    with pytest.raises(EmptyDatabase):
        Database.open(empty_url, migrate=False)
    driver = empty_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(driver)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []
    engine.dispose()
    Database.open(empty_url).close_now()


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url: str) -> None:
    driver = empty_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(driver)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE outbox (of_somebody_else INTEGER)"))
        before = inspect(connection).get_table_names()
    with pytest.raises((UnsuitableDatabase, UnreadableDatabase)):
        Database.open(empty_url)
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == before
    engine.dispose()


def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    program = (
        "import sys; from perene.store.database import Database; "
        "Database.open(sys.argv[1]).close_now()"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, empty_url]) for _ in range(3)]
    assert [process.wait(50) for process in running] == [0, 0, 0]
    database = Database.open(empty_url, migrate=False)
    database.close_now()


def make_outdated(url: str) -> None:
    """Make a database as the first release left it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        migrations.upgrade(connection, migrations.REVISIONS[0])
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(text("PRAGMA journal_mode=WAL"))
    engine.dispose()


@contextmanager
def migrated_by_another(url: str) -> Generator[None]:
    """Hold what a process holds that migrates."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(url.replace("+psycopg", "")) as other:
            other.execute(f"SELECT pg_advisory_xact_lock({int.from_bytes(b'perene')})".encode())
            yield


@pytest.mark.parametrize("migrate", [True, False])
def test_who_has_waited_for_anothers_migration_is_told_of_it(empty_url: str, migrate: bool) -> None:
    make_outdated(empty_url)
    with migrated_by_another(empty_url), pytest.raises(BeingMigrated) as refused:
        Database.open(empty_url, migrate=migrate, statement_s=0.1)
    assert "database_migrated" in refused.value.remedy
    Database.open(empty_url).close_now()


def test_nobody_waits_to_see_that_a_database_is_up_to_date(empty_url: str) -> None:
    Database.open(empty_url).close_now()
    with migrated_by_another(empty_url):
        Database.open(empty_url, migrate=False, statement_s=0.1).close_now()


@pytest.mark.parametrize(
    ("name", "told"), [("pg_dump", "pg_dump"), ("", "a program without a name")]
)
def test_who_keeps_a_table_locked_that_is_to_be_changed_is_named(
    postgres_url: str, name: str, told: str
) -> None:
    make_outdated(postgres_url)
    url = postgres_url.replace("+psycopg", "")
    with psycopg.connect(url, application_name=name) as other:
        other.execute("SELECT FROM sessions")
        with pytest.raises(TablesLocked, match=f"locked: {told}\\.$") as refused:
            Database.open(postgres_url, statement_s=0.1)
    assert "pg_dump" in refused.value.remedy
    Database.open(postgres_url).close_now()


def test_a_process_that_is_killed_while_it_migrates_hinders_no_start(postgres_url: str) -> None:
    program = (
        "import sys; from sqlalchemy import text; from perene.store import database, migrations; "
        "migrations.upgrade = lambda c, _revision: c.execute(text('SELECT pg_sleep(600)')); "
        "database.Database.open(sys.argv[1])"
    )
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with (
        psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as onlooker,
        subprocess.Popen([sys.executable, "-c", program, postgres_url]) as process,
    ):
        while onlooker.execute(asleep).fetchone() != (1,):
            assert process.poll() is None
        process.kill()
    Database.open(postgres_url).close_now()


def test_an_up_to_date_database_is_opened_without_alembic(empty_url: str) -> None:
    Database.open(empty_url).close_now()
    program = (
        "import sys; from perene.store.database import Database; "
        "Database.open(sys.argv[1]).close_now(); assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, empty_url], check=True)


def test_a_migration_for_which_there_is_no_room_changes_nothing_and_can_be_repeated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "perene.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("BEGIN"))
        migrations.upgrade(connection, migrations.REVISIONS[0])
    with engine.connect() as connection:
        before = describe(connection)
    engine.dispose()

    # Enough for the index of the journal, and not for the journal.
    with no_file_beyond(40_000), pytest.raises(CannotConnect):
        Database.open(f"sqlite:///{path}")

    with engine.connect() as connection:
        assert describe(connection) == before
        assert migrations.version(connection) == migrations.REVISIONS[0]
    engine.dispose()
    Database.open(f"sqlite:///{path}").close_now()
    with engine.connect() as connection:
        assert migrations.version(connection) == migrations.HEAD
    engine.dispose()
