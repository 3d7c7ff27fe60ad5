"""Bringing a database's schema up to date, with Alembic, when it is opened.

Migrations expand first and contract in a later release. Alembic is loaded only when there is
something to migrate: an up-to-date database is recognised by its version alone.
"""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, exc, inspect, text

from perene.store.engines import FOR_A_LOOK
from perene.store.errors import (
    BeingMigrated,
    EmptyDatabase,
    NewerSchema,
    OlderSchema,
    TablesLocked,
)
from perene.store.failures import is_locked

log = structlog.stdlib.get_logger()

VERSION_TABLE: Final = "perene_schema"

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009")
"""Every schema version, oldest first; a test compares it with the files."""

HEAD: Final = REVISIONS[-1]

# Any constant: two processes that start together must not migrate at the same time.
_LOCK: Final = 0x7065_7265_6E65

_HOLDERS: Final = text(
    "SELECT DISTINCT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " JOIN pg_class ON pg_class.oid = relation"
    " WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid() AND relkind = 'r'"
    " AND relnamespace = current_schema()::regnamespace"
    " AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " ORDER BY 1"
)

_MIGRATING: Final = {
    # A large table takes its time; what somebody else locks is still waited for in vain.
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # So it ends when its process does. The server would notice that of itself when the statement is
    # done, and that its host has died after hours; until then no start could take the lock.
    "client_connection_check_interval": "1s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
}
# What the server knows: it checks its clients from PostgreSQL 14 on.
_SET: Final = text("SELECT set_config(name, :value, true) FROM pg_settings WHERE name = :name")


def is_up_to_date(engine: Engine) -> bool:
    """Tell whether nothing is to be migrated; waits for nobody's migration, and takes no time."""
    with engine.execution_options(**FOR_A_LOOK).begin() as connection:
        return version(connection) == HEAD


def bring_up_to_date(engine: Engine, *, migrate: bool) -> None:
    """Migrate to HEAD in one transaction; or change nothing and raise NewerSchema, OlderSchema.

    While another process migrates, it is waited for for some seconds; then raises BeingMigrated.
    So is who keeps a table locked, a backup say; then raises TablesLocked.
    Without `migrate` an empty PostgreSQL database is tried all the same, and what was made undone:
    whether a start would be refused is what the caller wants to know. Large tables take minutes, in
    which nobody can ask the service how it is: the log tells of it.
    """
    with _alone(engine) as connection:
        current = version(connection)
        if current == HEAD:
            return
        if current is not None and current not in REVISIONS:
            raise NewerSchema(f"the database has schema {current}, this version knows {HEAD}")
        if not migrate and not inspect(connection).has_table(VERSION_TABLE):
            if connection.dialect.name == "postgresql":
                upgrade(connection, HEAD)
            raise EmptyDatabase("the database has no tables yet")
        if not migrate:
            raise OlderSchema(f"the database has schema {current or 'none'}, {HEAD} is needed")
        if current is not None:
            log.info("database_migrating", schema=current, to=HEAD)
        try:
            with connection.begin_nested():
                upgrade(connection, HEAD)
        except exc.OperationalError as error:
            if not is_locked(error):
                raise
            raise TablesLocked(
                "The database has to be brought up to date, and somebody else keeps a table of it"
                f" locked: {_who_locks(connection)}."
            ) from error
    if current is not None:
        log.info("database_migrated", schema=HEAD)


def _who_locks(connection: Connection) -> str:
    # By the names that they gave themselves; nothing that they say to the server is told.
    names = connection.execute(_HOLDERS).scalars()
    return ", ".join(name or "a program without a name" for name in names) or "it is gone by now"


@contextmanager
def _alone(engine: Engine) -> Generator[Connection]:
    """Begin a transaction in which nobody else migrates."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(engine.begin())
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        except exc.OperationalError as error:
            if not is_locked(error):
                raise
            raise BeingMigrated(
                "Another process keeps the database locked; it seems to bring it up to date."
            ) from error
        if connection.dialect.name == "postgresql":
            for name, value in _MIGRATING.items():
                connection.execute(_SET, {"name": name, "value": value})
        yield connection


def version(connection: Connection) -> str | None:
    """Return the schema version of a database, None for an empty one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 (constant)
    return found.scalar()


def upgrade(connection: Connection, revision: str) -> None:
    """Run the migrations up to `revision` in the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    # A percent sign in the path would be taken for interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
