"""How far something has come, in a small file; for those who can see later that it went back."""

import os
from pathlib import Path


def read_mark(file: Path) -> int | None:
    """Return the number in a file, None when there is none that can be read."""
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):
        return None


def write_mark(file: Path, mark: int) -> None:
    """Write a number, in place: on a full disk too. Raises OSError."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Always as long, so that a crash leaves no digits of another number behind.
        os.pwrite(handle, f"{mark:020}\n".encode("ascii"), 0)
    finally:
        os.close(handle)
