"""Room in a file system: for bytes, and for files, of which many can only hold so many."""

import os
from dataclasses import dataclass
from pathlib import Path

DATA, DATABASE = "data directory", "database"
"""What is kept in a file system that is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is left. `free_files` of `most_files` can still be made; 0 most if nobody tells."""

    free_bytes: int
    free_files: int = 0
    most_files: int = 0

    @property
    def files_share(self) -> float | None:
        """How much of the files that there can be there are, 0 to 1; None if nobody tells."""
        if self.most_files <= 0:
            return None
        return min(1.0, max(0.0, 1 - self.free_files / self.most_files))


def shares_disk(path: Path, other: Path) -> bool:
    """Tell whether two paths that exist lie in one file system. Raises OSError; it may block."""
    return path.stat().st_dev == other.stat().st_dev


def room_at(path: Path) -> Room:
    """Return the room for this user where a path is; it may block.

    Raises OSError. File systems that make inodes as they need them (btrfs, some network shares)
    tell a total of 0: then only bytes limit them.
    """
    found = os.statvfs(path)
    return Room(
        free_bytes=found.f_bavail * found.f_frsize,
        free_files=found.f_favail,
        most_files=found.f_files,
    )
