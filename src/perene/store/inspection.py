"""A look at a database that changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sqlalchemy import Connection, exc, func, select, text

from perene.core.errors import StorageError
from perene.core.ids import SessionId
from perene.core.twins import twins
from perene.store import schema
from perene.store.client_versions import read_client_version
from perene.store.credentials import lacking_credentials
from perene.store.database import Database
from perene.store.database_url import parse_url
from perene.store.failures import MISSING_RIGHT
from perene.store.keyring import check_master, in_use
from perene.store.migrations import VERSION_TABLE, version
from perene.store.twins import read_accounts

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a database holds. `clock` is the server's; None for SQLite, which has ours.

    `tls` tells whether it is reached so, None for SQLite; `address` is the server's IP address, ""
    for a socket of this machine. `twins` are the sessions that share an account with others, each
    with these. `lacking` are linked sessions whose credentials are gone.
    """

    schema: str
    sealed: bool
    sessions: int
    cached_version: str | None
    clock: datetime | None
    tls: bool | None = None
    address: str = ""
    twins: Mapping[SessionId, tuple[SessionId, ...]] = field(
        default_factory=dict[SessionId, tuple[SessionId, ...]]
    )
    lacking: tuple[SessionId, ...] = ()


_MAKE_TRIAL = text("CREATE TABLE perene_trial (content bytea)")
_FILL_TRIAL = text(
    "INSERT INTO perene_trial"
    " SELECT decode(repeat(md5(random()::text), 118), 'hex') FROM generate_series(1, 256)"
)


class _Undone(StorageError):
    """Rolls back a write that was only tried; nobody sees it."""

    def __init__(self, found: Inspection) -> None:
        super().__init__("only tried")
        self.found = found


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite database, None for another kind; raises CannotConnect."""
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database is None:
        return None
    return Path(parsed.database)


def inspect(database: Database, endpoint: str) -> Inspection:
    """Try a write, roll it back, and return what was seen. Blocking; raises StorageError."""
    try:
        database.write_now(_try, endpoint)
    except _Undone as undone:
        return undone.found
    raise StorageError("the trial write was not rolled back")


def opens_with(database: Database, master: bytes) -> None:
    """Raise WrongMasterKey unless the database was sealed with this key. Blocking."""
    database.write_now(check_master, master)


def _try(connection: Connection, endpoint: str) -> None:
    # A real write, of what is there already.
    write = text(f"UPDATE {VERSION_TABLE} SET version_num = version_num")  # noqa: S608 (constant)
    connection.execute(write)
    known = read_client_version(connection, endpoint)
    clock = tls = None
    address = ""
    if connection.dialect.name == "postgresql":
        _try_to_grow(connection)
        clock = connection.execute(select(func.clock_timestamp())).scalar_one()
        driver = cast("psycopg.Connection", connection.connection.dbapi_connection)
        tls, address = driver.pgconn.ssl_in_use, driver.info.hostaddr
    raise _Undone(
        Inspection(
            schema=version(connection) or "none",
            sealed=in_use(connection),
            sessions=connection.execute(
                select(func.count()).select_from(schema.sessions)
            ).scalar_one(),
            cached_version=known[0] if known else None,
            clock=clock,
            tls=tls,
            address=address,
            twins=twins(read_accounts(connection)),
            lacking=lacking_credentials(connection),
        )
    )


def _try_to_grow(connection: Connection) -> None:
    """Have the server find room for 500 KB: what is there already can be changed on a full disk."""
    try:
        with connection.begin_nested():
            connection.execute(_MAKE_TRIAL)
            connection.execute(_FILL_TRIAL)
    except exc.ProgrammingError as error:
        # Its user may write to the tables, and make none: enough until the next migration.
        if getattr(error.orig, "sqlstate", None) != MISSING_RIGHT:
            raise
