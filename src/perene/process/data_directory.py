"""The data directory: made once, and held by one process at a time."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from perene.core.errors import RefusedToStart

_NO_DIRECTORY = (FileExistsError, NotADirectoryError)


class DataDirectoryInUse(RefusedToStart):
    """Another process holds the data directory."""

    code = "data_directory_in_use"
    remedy = "Stop the other Perene process, or give this one its own PERENE_DATA_DIR."


@contextmanager
def held_data_directory(path: Path) -> Generator[None]:
    """Make the directory with mode 700 if there is none, and hold it until the block ends.

    The lock goes with the process, however it ends. Raises DataDirectoryInUse, and RefusedToStart
    for a path that cannot be used.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path / "perene.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = "it is no directory" if isinstance(error, _NO_DIRECTORY) else error.strerror
        raise RefusedToStart(
            f"The data directory {path} cannot be used ({reason}): set PERENE_DATA_DIR to one that"
            " this user can write."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirectoryInUse(
                f"The data directory {path} is in use by another process."
            ) from error
        except OSError as error:
            raise RefusedToStart(
                f"The data directory {path} lies on a file system that gives no locks"
                f" ({error.strerror}): set PERENE_DATA_DIR to one on a disk of this machine."
            ) from error
        yield
    finally:
        os.close(handle)


def is_held(path: Path) -> bool:
    """Tell whether a process holds the directory; nothing is made. Raises OSError."""
    try:
        handle = os.open(path / "perene.lock", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        # A shared lock for an instant: two who look do not see each other.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
