"""What a driver's exception means to us: wait and try again, a damaged file, or a bug.

The drivers quote rows and parameters in their messages ("Key (chat)=(…) already exists"); those
are cut out here, so that a log of the chained exception holds no numbers and no bodies.
"""

import sqlite3
from collections.abc import Sequence

import psycopg
from sqlalchemy import exc

from perene.core.errors import StorageError, StorageUnavailable, UnreadableState

# SQLSTATE classes that go away by themselves or by an operator: connection, resources, operator
# intervention, system error, rollback by deadlock or serialisation; and "read-only transaction",
# which a fail-over leaves behind. https://www.postgresql.org/docs/18/errcodes-appendix.html
_PASSING_CLASSES = frozenset({"08", "53", "57", "58", "40"})
_READ_ONLY_TRANSACTION = "25006"
_LOCK_NOT_AVAILABLE = "55P03"

# https://www.sqlite.org/rescode.html: the file itself is bad. Everything else an OperationalError
# can mean (busy, locked, full, I/O error, cannot open, read-only) may pass.
_DAMAGED_FILE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})

# In words for whoever has to do something; the name or code stays, to be looked up. The first
# that fits counts.
_SQLITE_REASONS = (
    ("SQLITE_FULL", "its disk is full"),
    ("SQLITE_READONLY", "it is read-only"),
    ("SQLITE_BUSY", "another process keeps it locked"),
    ("SQLITE_LOCKED", "another process keeps it locked"),
    ("SQLITE_CANTOPEN", "its file cannot be opened"),
    ("SQLITE_IOERR", "its disk gave an error"),
)
_POSTGRES_REASONS = (
    ("53100", "its disk is full"),
    ("53200", "it is out of memory"),
    ("53300", "it has too many connections"),
    ("25006", "it is read-only"),
    ("55P03", "another transaction keeps it locked"),
    ("57014", "a statement took too long"),
    ("57P", "it is starting or stopping"),
)
# Of a connection that is not made libpq tells in words only. They can name user and host, which
# do not belong into an answer to a client.
_CONNECTION_REASONS = (
    ("password authentication failed", "it refuses the user or the password"),
    ("no password supplied", "it refuses the user or the password"),
    ('role "', "it refuses the user or the password"),
    ("pg_hba.conf", "it lets nobody in from this machine as this user"),
    ('database "', "there is no database of this name"),
    ("too many clients", "it has too many connections"),
    ("starting up", "it is starting or stopping"),
    ("shutting down", "it is starting or stopping"),
    ("Connection refused", "nobody listens at its address"),
    ("No such file", "nobody listens at its address"),
    ("resolve", "the name of its host cannot be resolved"),
    ("timeout", "it gave no answer in time"),
)


def classify(error: Exception) -> StorageError:
    """Return the error of ours that stands for a driver's or SQLAlchemy's exception.

    The caller raises it `from error`; the driver's message is cut down first.
    """
    if isinstance(error, exc.TimeoutError):
        return StorageUnavailable("no database connection became free in time")
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return StorageUnavailable("the connection to the database was lost")
    if isinstance(original, sqlite3.Error):
        return _classify_sqlite(original)
    if isinstance(original, psycopg.Error):
        _cut(error, original)
        return _classify_postgres(original)
    return StorageError(f"the database layer failed: {type(error).__name__}")


def is_database_error(error: Exception) -> bool:
    """Tell whether an exception comes from SQLAlchemy or from a driver."""
    return isinstance(error, exc.SQLAlchemyError | sqlite3.Error | psycopg.Error)


def _classify_sqlite(error: sqlite3.Error) -> StorageError:
    name: str = getattr(error, "sqlite_errorname", "")
    if name.startswith(tuple(_DAMAGED_FILE)):
        return UnreadableState(f"the database file is damaged ({name})")
    if isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR":
        reason = _reason(name, _SQLITE_REASONS)
        told = f"{reason}, {name}" if reason else name or str(error)
        return StorageUnavailable(f"the database cannot be used at this moment ({told})")
    return StorageError(f"the database refused a statement ({name or type(error).__name__})")


def _classify_postgres(error: psycopg.Error) -> StorageError:
    state = error.sqlstate
    passing = state is not None and (
        state[:2] in _PASSING_CLASSES or state in (_READ_ONLY_TRANSACTION, _LOCK_NOT_AVAILABLE)
    )
    if passing or (state is None and isinstance(error, psycopg.OperationalError)):
        if state is None:
            found = next((why for words, why in _CONNECTION_REASONS if words in str(error)), "")
            told = f"no connection: {found}" if found else "no connection"
        else:
            reason = _reason(state, _POSTGRES_REASONS)
            told = f"{reason}, {state}" if reason else state
        return StorageUnavailable(f"the database cannot be used at this moment ({told})")
    where = error.diag.constraint_name or type(error).__name__
    return StorageError(f"the database refused a statement ({state}, {where})")


def _reason(code: str, reasons: Sequence[tuple[str, str]]) -> str:
    return next((why for prefix, why in reasons if code.startswith(prefix)), "")


def _cut(error: Exception, original: psycopg.Error) -> None:
    primary = original.diag.message_primary
    if primary is not None:
        original.args = (primary,)
        if error is not original:
            error.args = (primary,)
