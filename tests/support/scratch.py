"""Folders for long runs."""

import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")


def scratch(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is gone in the end, in memory where there is such a place.

    No power is lost in a test, and a long one writes a lot.
    """
    return tempfile.TemporaryDirectory(prefix=prefix, dir=_MEMORY if _MEMORY.is_dir() else None)
