"""What a driver's exception means to us: wait and try again, a damaged file, or a bug.

The drivers quote rows and parameters in their messages ("Key (chat)=(…) already exists"); those
are cut out here, so that a log of the chained exception holds no numbers and no bodies.
"""

import sqlite3

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
        return StorageUnavailable(f"the database cannot be used at this moment ({name or error})")
    return StorageError(f"the database refused a statement ({name or type(error).__name__})")


def _classify_postgres(error: psycopg.Error) -> StorageError:
    state = error.sqlstate
    passing = state is not None and (
        state[:2] in _PASSING_CLASSES or state in (_READ_ONLY_TRANSACTION, _LOCK_NOT_AVAILABLE)
    )
    if passing or (state is None and isinstance(error, psycopg.OperationalError)):
        return StorageUnavailable(
            f"the database cannot be used at this moment ({state or 'no connection'})"
        )
    where = error.diag.constraint_name or type(error).__name__
    return StorageError(f"the database refused a statement ({state}, {where})")


def _cut(error: Exception, original: psycopg.Error) -> None:
    primary = original.diag.message_primary
    if primary is not None:
        original.args = (primary,)
        if error is not original:
            error.args = (primary,)
