"""The lock beside an SQLite database: one service, whatever its data directory."""

import contextlib
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from perene.core.errors import StorageUnavailable
from perene.store.errors import CannotConnect
from perene.store.holder import Holder, new_name


class FileLock:
    """Implements `InstanceLock` on a file; it is ours until the process ends or `release`.

    Not on the database itself: SQLite loses its own locks when any handle of its file is closed.
    """

    def __init__(self, database: Path) -> None:
        self._path = _beside(database)
        self._handle: int | None = None

    def take(self) -> Holder | None:
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotConnect(f"cannot write {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                return _told(handle)
            finally:
                os.close(handle)
        except OSError as error:
            os.close(handle)
            raise CannotConnect(
                f"the file system gives no lock on {self._path}: {error.strerror}"
            ) from error
        self._handle = handle
        with contextlib.suppress(OSError):  # a full disk: who holds it is then told without a name
            os.ftruncate(handle, 0)
            os.write(handle, f"{new_name()}\n".encode())
        return None

    def keep(self) -> bool:
        return False

    def guard(self, connection: Connection) -> None:
        """Do nothing: this lock cannot be lost."""

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def file_holder(database: Path) -> Holder | None:
    """Tell who holds an SQLite database. Raises StorageUnavailable when it cannot be told."""
    try:
        handle = os.open(_beside(database), os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageUnavailable(f"the lock file cannot be read ({error.strerror})") from error
    try:
        # A shared lock for an instant: two who look do not see each other.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _told(handle)
    finally:
        os.close(handle)
    return None


def _beside(database: Path) -> Path:
    # Resolved: a link to a database is the same database.
    path = database.resolve()
    return path.with_name(f"{path.name}.lock")


def _told(handle: int) -> Holder:
    since = datetime.fromtimestamp(os.fstat(handle).st_mtime, UTC)
    return Holder(name=os.pread(handle, 200, 0).decode(errors="replace").strip(), since=since)
