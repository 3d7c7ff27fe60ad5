"""Whether an SQLite database is still the one at its path.

SQLite goes on with the files that it has open. Deleted or renamed, or hidden by another file system
that was mounted over them, they take every commit, and nobody finds it there after a restart.
"""

from pathlib import Path

from perene.core.errors import StorageUnavailable

_JOURNALS = ("-wal", "-shm")


class SqliteFiles:
    """The files of one database that is open, as they were seen first. Safe from any thread."""

    def __init__(self, database: Path) -> None:
        self._paths = (database, *(database.with_name(database.name + end) for end in _JOURNALS))
        self._seen: dict[Path, tuple[int, int]] = {}

    def check(self) -> None:
        """Raise StorageUnavailable unless every file that was there is where it was."""
        for path in self._paths:
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                if path in self._seen:
                    raise _taken(path) from None
                continue
            except OSError:
                continue  # it may lack a right; what is open can be written all the same
            found = (status.st_dev, status.st_ino)
            if self._seen.setdefault(path, found) != found:
                raise _taken(path)


def _taken(path: Path) -> StorageUnavailable:
    return StorageUnavailable(
        f"the database cannot be used at this moment ({path.name} was deleted, moved or replaced)"
    )
