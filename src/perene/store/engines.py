"""How SQLAlchemy engines are set up for the two databases."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Dialect,
    Engine,
    ExceptionContext,
    NullPool,
    PoolProxiedConnection,
    QueuePool,
    create_engine,
    event,
    exc,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from perene.store import errands
from perene.store.driver import is_psycopg_error
from perene.store.failures import is_spoilt
from perene.store.sqlite_files import SqliteFiles

if TYPE_CHECKING:
    import psycopg

STATEMENT_S: Final = 8.0
"""How long a statement waits for another process's write, and how long a dead server is waited for.

Shorter than the 10 s that requirement E1 gives one attempt at saving. None of these limits holds
against a server that accepts what is sent and answers nothing: see `errands` for what does."""

FOR_A_LOOK: Final = {"perene_look": True}
"""Execution options of a transaction that only reads: on SQLite it waits for no other's write."""

# A client that vanished in a transaction, behind a network that swallows everything, holds its
# locks no longer. None of ours is silent for so long between two statements.
_SILENT_TRANSACTION_MS = 20_000


def make_engine(
    url: URL,
    *,
    readers: int,
    files: SqliteFiles | None = None,
    statement_s: float = STATEMENT_S,
) -> Engine:
    """Make the engine of the one writer (`readers=0`) or of so many readers.

    `files` are looked at before each transaction of the writer and each new connection. Of
    `statement_s` see STATEMENT_S.
    """
    options: dict[str, Any] = {
        "poolclass": QueuePool,
        "pool_size": readers or 1,
        "max_overflow": 0,
        # Error texts must not quote bodies and keys.
        "hide_parameters": True,
    }
    if readers:
        # Single statements need no transaction around them; it would cost two round trips each.
        options |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    if url.get_backend_name() == "sqlite":
        # The threads of one pool pass connections on to each other, one at a time.
        options["connect_args"] = {"timeout": statement_s, "check_same_thread": False}
    else:
        options["connect_args"] = _postgres_options(url, statement_s)
    engine = create_engine(_existing(url), **options)
    if files is not None:
        _stay_with(engine, files, writing=not readers)
    _tell_errands(engine, ping=not readers and url.get_backend_name() != "sqlite")
    if url.get_backend_name() == "sqlite":
        _tune_sqlite(engine, writing=not readers)
    else:
        _settle(engine, statement_s, default_transaction_read_only="on" if readers else "off")
        _replace_spoilt(engine)
    return engine


def _existing(url: URL) -> URL:
    """Have SQLite open a file that is there, and never make an empty one in the place of one that
    was moved."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return url
    file = quote(str(Path(url.database).absolute()))
    return url.set(database=f"file:{file}").update_query_dict({"mode": "rw", "uri": "true"})


def _stay_with(engine: Engine, files: SqliteFiles, *, writing: bool) -> None:
    """Neither begin to write nor open a connection unless the files are where they were.

    A connection that is opened beside a journal that was taken away makes one of its own. Those
    that are open go on reading.
    """

    def on_connect(_dialect: Dialect, _entry: ConnectionPoolEntry, _args: Any, _opts: Any) -> None:
        files.check()

    def on_begin(_connection: Connection) -> None:
        files.check()

    event.listen(engine, "do_connect", on_connect)
    if writing:
        event.listen(engine, "begin", on_begin)


def make_lock_engine(url: URL, name: str) -> Engine:
    """Make the engine of one PostgreSQL connection that lives long and says little.

    `name` is its `application_name`. The server asks after 5 s of silence whether we are there, and
    gives us up 15 s later: TCP itself would let a dead host hold its locks for hours.
    """
    alive = {
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
        # While an answer of the server is on its way, this counts and not the keepalives.
        "tcp_user_timeout": 20_000,
    }
    engine = create_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,
        # Before a pooler that changes connections is found out, what was prepared would be missed.
        connect_args=_postgres_options(url, STATEMENT_S)
        | {"application_name": name, "prepare_threshold": None},
    )
    _settle(engine, STATEMENT_S, **alive)
    _replace_spoilt(engine)
    _tell_errands(engine, ping=False)
    return engine


def _postgres_options(url: URL, statement_s: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": int(statement_s * 1000),
        "application_name": "perene",
        "client_encoding": "UTF8",
    }
    asked = url.query.get("options", ())
    if not isinstance(asked, str) and asked:
        options["options"] = " ".join(asked)
    return options


def _settle(engine: Engine, statement_s: float, **more: str | int) -> None:
    """Give each connection of PostgreSQL our limits, whatever the URL and the server say.

    As a word of its own, not as options of the start: a pooler lets none of these through.
    """
    settings: dict[str, str | int] = {
        "statement_timeout": int(statement_s * 1000),
        # Less, so that a lock that is not released is told as what it is.
        "lock_timeout": int(statement_s * 900),
        "idle_in_transaction_session_timeout": _SILENT_TRANSACTION_MS,
        **more,
    }
    calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
    values = [str(value) for pair in settings.items() for value in pair]

    def on_connect(connection: "psycopg.Connection", _record: object) -> None:
        autocommit, connection.autocommit = connection.autocommit, True
        connection.execute(f"SELECT {calls}".encode(), values).close()
        connection.autocommit = autocommit

    event.listen(engine, "connect", on_connect)


def _tell_errands(engine: Engine, *, ping: bool) -> None:
    """Let the errand of each thread know the connection that it waits on, from the first word on.

    With `ping`, one round trip per transaction stands against a transaction that fails because of
    an idle connection that the server or a firewall has dropped. SQLAlchemy's own ping comes before
    anybody is told which connection it waits on.
    """

    def on_connect(
        dialect: Dialect, _entry: ConnectionPoolEntry, args: Any, options: Any
    ) -> DBAPIConnection:
        errand = errands.present()
        if errand is None:
            return dialect.connect(*args, **options)
        errand.check()
        connection = dialect.connect(*args, **options)
        try:
            errand.hold(connection)
        except BaseException:  # nobody else knows of it
            connection.close()
            raise
        return connection

    def on_checkout(
        connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        errand = errands.present()
        if errand is not None:
            errand.hold(connection)
        if ping and entry.info.setdefault("used", False):
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise exc.DisconnectionError("the idle connection is dead") from error
        entry.info["used"] = True

    event.listen(engine, "do_connect", on_connect)
    event.listen(engine, "checkout", on_checkout)


def _replace_spoilt(engine: Engine) -> None:
    """Give up a connection whose server's end can no longer do what this end expects of it."""

    def on_error(context: ExceptionContext) -> None:
        error = context.original_exception
        if is_psycopg_error(error) and is_spoilt(error):
            context.is_disconnect = True

    event.listen(engine, "handle_error", on_error)


def _tune_sqlite(engine: Engine, *, writing: bool) -> None:
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # Autocommit at the driver: it would otherwise open deferred transactions of its own, and
        # of 100 concurrent read-then-write transactions 73 fail with "database is locked".
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-16000" if writing else "cache_size=-4000",
            "query_only=OFF" if writing else "query_only=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    def on_begin(connection: Connection) -> None:
        looks = FOR_A_LOOK.items() <= connection.get_execution_options().items()
        connection.exec_driver_sql("BEGIN" if looks else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    if writing:
        event.listen(engine, "begin", on_begin)
