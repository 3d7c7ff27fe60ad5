"""What a driver's exception means to us: wait and try again, a damaged file, or a bug.

The drivers quote rows and parameters in their messages ("Key (chat)=(…) already exists"); those
are cut out here, so that a log of the chained exception holds no numbers and no bodies.
"""

import re
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from sqlalchemy import exc

from perene.core.errors import StorageError, StorageUnavailable
from perene.store.driver import is_psycopg_error

if TYPE_CHECKING:
    import psycopg

# SQLSTATE classes that go away by themselves or by an operator: connection, resources, operator
# intervention, system error, rollback by deadlock or serialisation; and "read-only transaction",
# which a fail-over leaves behind. https://www.postgresql.org/docs/18/errcodes-appendix.html
_PASSING_CLASSES = frozenset({"08", "53", "57", "58", "40"})
_READ_ONLY_TRANSACTION = "25006"
_LOCK_NOT_AVAILABLE = "55P03"
MISSING_RIGHT = "42501"
"""The code of a refusal for want of a right."""
_BY_POOLER = "08P01"

# A page or an index that makes no sense: as in SQLite, perhaps of a disk that is away for a minute.
_DAMAGED = frozenset({"XX001", "XX002"})

# A server that is another one than it was, or a pooler that gave the connection to somebody else:
# it takes no writes, or no longer knows what was prepared, or knows more than this end does.
_SPOILT = frozenset({_READ_ONLY_TRANSACTION, "26000", "42P05"})

# https://www.sqlite.org/rescode.html: the file itself is bad, or the system said EIO or ENXIO when
# it was read (`unixRead` in os_unix.c of SQLite 3.40). Everything else an OperationalError can
# mean (busy, locked, full, I/O error, cannot open, read-only) may pass, too.
_DAMAGED_FILE = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})
# What Python says of a text that is none; SQLite has no objection to it. The text follows.
_NO_TEXT = "Could not decode to UTF-8"

# In words for whoever has to do something; the name or code stays, to be looked up. The first
# that fits counts.
_SQLITE_REASONS = (
    ("SQLITE_FULL", "its disk is full"),
    ("SQLITE_IOERR_SHMSIZE", "its disk is full"),  # for the index of its journal
    ("SQLITE_READONLY", "it is read-only"),
    ("SQLITE_BUSY", "another process keeps it locked, or its file system gives no locks"),
    ("SQLITE_LOCKED", "another process keeps it locked"),
    ("SQLITE_CANTOPEN", "its file cannot be opened"),
    ("SQLITE_IOERR_LOCK", "its file system refuses locks"),
    ("SQLITE_IOERR_WRITE", "its disk gave an error, or takes no more writes"),
    ("SQLITE_IOERR", "its disk gave an error"),
)
_POSTGRES_REASONS = (
    ("53100", "its disk is full"),
    ("53200", "it is out of memory"),
    ("53300", "it has too many connections"),
    ("25006", "it is read-only"),
    ("25P03", "it ended a transaction that was idle"),
    ("25P04", "a transaction took too long"),
    ("26000", "it forgot what was prepared"),
    ("40P01", "two transactions waited for each other"),
    ("42501", "its user lacks a right"),
    ("55P03", "another transaction keeps it locked"),
    ("57014", "a statement took too long"),
    ("57P01", "it stops, or its administrator ended the connection"),
    ("57P05", "it ended an idle connection"),
    ("57P", "it is starting or stopping"),
    ("XX001", "it is damaged, or its disk cannot be read"),
    ("XX002", "it is damaged, or its disk cannot be read"),
)
_UNVERIFIED = (
    "its TLS certificate has expired, or sslrootcert holds no authority of it; or the clock of this"
    " machine is wrong"
)
# Of a connection that is not made libpq tells in words only. They can name user and host, which
# do not belong into an answer to a client. What a server writes in another language is not found.
_CONNECTION_REASONS = (
    ("password authentication failed", "it refuses the user or the password"),
    ("no password supplied", "it refuses the user or the password"),
    ("is not permitted to log in", "this user may not log in"),
    ("permission denied for database", "this user may not connect to this database"),
    ("not currently accepting connections", "this database takes no connections"),
    ("too many |remaining connection slots|no more conn", "it has too many connections"),
    ('role ".*" does not exist|no such user', "it refuses the user or the password"),
    ('database ".*" does not exist|no such database', "there is no database of this name"),
    ("no encryption", "it lets this user in from this machine by TLS only, or not at all"),
    ("pg_hba.conf", "it lets nobody in from this machine as this user"),
    ("recovery|starting up|shutting down", "it is starting or stopping"),
    ("hot standby|session is read-only", "it is a standby"),
    (
        "unsupported startup parameter",
        "a pooler before it takes no options: its URL must have none",
    ),
    ("statement pooling", "a pooler before it pools by statement: have that pool by session"),
    ("does not support SSL", "it speaks no TLS, and its URL asks for that: switch it on there"),
    ("does not match host name", "its TLS certificate is for another host than its URL names"),
    ("certificate verify failed", _UNVERIFIED),
    ("weak sslmode", "sslrootcert=system goes with sslmode=verify-full only"),
    ("root certificate file", "its sslmode needs sslrootcert, a file of certificates"),
    ("private key file .*(access|owned)", "others can read the file of sslkey: `chmod 600` it"),
    ("private key file", "the file of sslkey is not there, or is not the key of sslcert"),
    ("could not read certificate", "sslcert names no file of certificates that can be read"),
    ("valid client certificate", "it wants a client certificate that sslcert and sslkey name"),
    ("alert", "it refuses the client certificate that sslcert names"),
    ("eof while reading", "it broke off TLS; it may want another client certificate"),
    ("certificate", "its TLS certificate, or a file named for TLS, is not good"),
    ("SSL", "no TLS connection to it can be made"),
    ("invalid .*option|invalid .*value", "its URL has an option that there is not"),
    ("closed the connection unexpectedly", "it hung up"),
    ("Connection refused|No such file", "nobody listens at its address"),
    ("unreachable|No route to host", "its address cannot be reached"),
    ("resolve", "the name of its host cannot be resolved"),
    ("timeout", "it gave no answer in time"),
)

# Hosts, files and databases have names of all sorts, "recovery" and "alerts" among them.
_NAMES = re.compile(r"\"[^\"]*\"|host(addr)?:? '[^']*'")


def classify(error: Exception) -> StorageError:
    """Return the error of ours that stands for a driver's or SQLAlchemy's exception.

    The caller raises it `from error`; the driver's message is cut down first.
    """
    if isinstance(error, exc.TimeoutError):
        return StorageUnavailable("no database connection became free in time")
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    if is_psycopg_error(original) and not (lost and original.sqlstate is None):
        _cut(error, original)
        return _classify_postgres(original, lost=lost)
    if lost:
        return StorageUnavailable("the connection to the database was lost")
    if isinstance(original, sqlite3.Error):
        if str(original).startswith(_NO_TEXT):
            _say(error, original, str(original).partition(" with text ")[0])
        return _classify_sqlite(original)
    return StorageError(f"the database layer failed: {type(error).__name__}")


def is_database_error(error: Exception) -> bool:
    """Tell whether an exception comes from SQLAlchemy or from a driver."""
    return isinstance(error, exc.SQLAlchemyError | sqlite3.Error) or is_psycopg_error(error)


def _classify_sqlite(error: sqlite3.Error) -> StorageError:
    name: str = getattr(error, "sqlite_errorname", "")
    if is_damage(error):
        # Nothing may be given up for what is perhaps a disk that is away for a minute.
        return StorageUnavailable(
            f"the database file is damaged, or its disk cannot be read ({name or error})"
        )
    if isinstance(error, sqlite3.OperationalError) and name != "SQLITE_ERROR":
        reason = _reason(name, _SQLITE_REASONS)
        told = f"{reason}, {name}" if reason else name or str(error)
        return StorageUnavailable(f"the database cannot be used at this moment ({told})")
    return StorageError(f"the database refused a statement ({name or type(error).__name__})")


def is_damage(error: Exception) -> bool:
    """Tell whether SQLite finds its file damaged, which may also be a disk that cannot be read."""
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    name: str = getattr(original, "sqlite_errorname", "")
    return name.startswith(tuple(_DAMAGED_FILE)) or str(original).startswith(_NO_TEXT)


def is_locked(error: Exception) -> bool:
    """Tell whether somebody else kept something locked for longer than it was waited for."""
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    if is_psycopg_error(original):
        return original.sqlstate == _LOCK_NOT_AVAILABLE
    return getattr(original, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def refusal(error: Exception) -> str:
    """Return in whose words PostgreSQL refused what it could do for another user or in another
    place: a right, a schema or a table that is somebody else's; "" for everything else."""
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    state = original.sqlstate if is_psycopg_error(original) else None
    if state is None or not state.startswith(("42", "3F")):
        return ""
    # Names of tables and schemas, no values.
    return f"{cast('psycopg.Error', original).diag.message_primary} ({state})"


def is_spoilt(error: "psycopg.Error") -> bool:
    """Tell whether a connection is of no more use, though both ends keep it open."""
    # Cached plans of a table that was changed meanwhile; the code alone stands for much else.
    outdated = error.diag.source_function == "RevalidateCachedQuery"
    return error.sqlstate in _SPOILT or outdated


def _classify_postgres(error: "psycopg.Error", *, lost: bool) -> StorageError:
    state = error.sqlstate
    if state is None:
        return _no_connection(error)
    # Poolers have one code for all that they refuse.
    reason = _reason(state, _POSTGRES_REASONS) or (_words(error) if state == _BY_POOLER else "")
    told = f"{reason}, {state}" if reason else state
    if lost and not is_spoilt(error):
        return StorageUnavailable(f"the connection to the database was lost ({told})")
    passing = state[:2] in _PASSING_CLASSES or state in (_LOCK_NOT_AVAILABLE, MISSING_RIGHT)
    if passing or state in _DAMAGED or is_spoilt(error):
        return StorageUnavailable(f"the database cannot be used at this moment ({told})")
    where = error.diag.constraint_name or type(error).__name__
    return StorageError(f"the database refused a statement ({state}, {where})")


def _no_connection(error: "psycopg.Error") -> StorageError:
    from psycopg import OperationalError  # there, or this would be none of its errors

    found = _words(error)
    if found or isinstance(error, OperationalError):
        told = f"no connection: {found}" if found else "no connection"
        return StorageUnavailable(f"the database cannot be used at this moment ({told})")
    return StorageError(f"the database refused a statement ({type(error).__name__})")


def _words(error: "psycopg.Error") -> str:
    said = _NAMES.sub('""', str(error))
    return next((why for words, why in _CONNECTION_REASONS if re.search(words, said)), "")


def _reason(code: str, reasons: Sequence[tuple[str, str]]) -> str:
    return next((why for prefix, why in reasons if code.startswith(prefix)), "")


def _cut(error: Exception, original: "psycopg.Error") -> None:
    primary = original.diag.message_primary
    if primary is not None:
        _say(error, original, primary)


def _say(error: Exception, original: Exception, said: str) -> None:
    """Leave no more than this of what a driver said."""
    original.args = (said,)
    if error is not original:
        error.args = (said,)
