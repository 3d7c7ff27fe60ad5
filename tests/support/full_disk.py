"""A disk that is full for this process alone, which needs no rights."""

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_file_beyond(size: int) -> Generator[None]:
    """Let no file of this process grow beyond so many bytes (EFBIG, in place of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
