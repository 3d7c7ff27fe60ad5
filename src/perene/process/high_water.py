"""How far something has come, in a small file; for those who can see later that it went back."""

import fcntl
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_GENERATION: Final = 0x80087601
"""FS_IOC_GETVERSION of <linux/fs.h>, which writes 32 bits though it is said to write a long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a file says: how far it has come; and whether the file was made by copying another."""

    reached: int
    is_copy: bool


def read_mark(file: Path) -> Mark | None:
    """Return what a file says, None when there is none that can be read.

    Whoever writes only a number into one, as people may, is taken at their word.
    """
    try:
        with file.open("rb") as opened:
            identity = _identity(opened.fileno())
            reached, *written_as = map(int, opened.read().split())
    except (OSError, ValueError):
        return None
    return Mark(reached=reached, is_copy=written_as not in ([], identity))


def write_mark(file: Path, reached: int) -> None:
    """Write a number, in place: on a full disk too. Raises OSError.

    With it goes what the file system knows the file by: a copy is another one, be it a backup that
    is put back.
    """
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        inode, generation = _identity(handle)
        # Always as long, so that a crash leaves no digits of another number behind.
        line = f"{reached:020} {inode:020} {generation:010}\n"
        os.pwrite(handle, line.encode("ascii"), 0)
    finally:
        os.close(handle)


def _identity(handle: int) -> list[int]:
    """Return the numbers that no other file has, nor had."""
    return [os.fstat(handle).st_ino, _generation(handle)]


def _generation(handle: int) -> int:
    """Return which of the files this is that had its inode, 0 where the file system does not tell.

    The inode of a file that was removed goes to one that is made next, as with ext4.
    """
    if sys.platform != "linux":
        return 0
    try:
        answer = fcntl.ioctl(handle, _GENERATION, bytes(8))
    except OSError:
        return 0
    return int.from_bytes(answer[:4], sys.byteorder)
