"""What long runs have in common: folders that are gone in the end, and how one says what failed."""

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")


def scratch(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is gone in the end, in memory where there is such a place.

    No power is lost in a test, and a long one writes a lot.
    """
    return tempfile.TemporaryDirectory(prefix=prefix, dir=_MEMORY if _MEMORY.is_dir() else None)


@contextmanager
def made(folder: Path) -> Generator[None]:
    """Have a folder until the block ends."""
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder)


def told_by(error: BaseException | None) -> Iterator[str]:
    """Yield an error, and what it came of: the end of a world fails when its story has."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__context__
