"""A folder in another file system than the tests' own: every Linux has one in memory."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PLACES = ("/dev/shm", "/run", "/tmp")  # looked for, and a folder of our own made there


@contextmanager
def other_disk() -> Generator[Path]:
    """Make a folder there; it is gone when the block ends."""
    ours = Path(__file__).stat().st_dev
    place = next(place for place in map(Path, _PLACES) if place.stat().st_dev != ours)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)
