"""One service for one database: whoever holds it may connect its sessions' numbers.

On PostgreSQL it is an advisory lock of a connection that is kept for nothing else, on SQLite a
lock on a file beside the database. Both go with the process, however that ends.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from perene.store.database_url import describe, parse_url, prepare_file
from perene.store.errors import DatabaseInUse
from perene.store.file_lock import FileLock, file_holder
from perene.store.holder import Holder
from perene.store.server_lock import ServerLock, server_holder


class InstanceLock(Protocol):
    """The hold of this service on its database; blocking, and safe to use from any thread."""

    def take(self) -> Holder | None:
        """Take the lock; return None when it is ours now, else who has it.

        Raises CannotConnect.
        """
        ...

    def keep(self) -> bool:
        """Return once the lock is known to be ours; tell whether it had to be taken anew.

        Raises DatabaseTaken when another service has it, and StorageUnavailable when nobody can
        tell at this moment: ask again then.
        """
        ...

    def guard(self, connection: Connection) -> None:
        """Raise StorageUnavailable in a transaction of ours unless the lock is ours."""
        ...

    def release(self) -> None:
        """Let the lock go for good. Idempotent."""
        ...


@contextmanager
def held_database(url: str) -> Generator[InstanceLock]:
    """Hold a database until the block ends.

    Raises DatabaseInUse when another service holds it, and CannotConnect. Blocking.
    """
    parsed = parse_url(url)
    lock: InstanceLock
    if parsed.get_backend_name() == "sqlite":
        prepare_file(parsed)
        lock = FileLock(Path(parsed.database or ""))
    else:
        lock = ServerLock(parsed)
    try:
        holder = lock.take()
        if holder is not None:
            raise DatabaseInUse(f"Another service holds {describe(parsed)}: {holder}.")
        yield lock
    finally:
        lock.release()


def find_holder(url: str) -> Holder | None:
    """Tell who holds a database; nothing is changed, and nothing is made.

    Raises CannotConnect, and StorageError when it cannot be told. Blocking.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return file_holder(Path(parsed.database or ""))
    return server_holder(parsed)
