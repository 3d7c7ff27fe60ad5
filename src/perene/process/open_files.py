"""Files and sockets that this process may have open: how many, and how many it has."""

import errno
import os
import resource
from pathlib import Path

_OPEN = Path("/proc/self/fd")


def raise_limit() -> int | None:
    """Take as many as the system lets us have; return how many that are, None for any number.

    A soft limit of 1,024 is common: it guards programs that use `select`, and Perene does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # some systems name a hard limit that they do not give
    return None if soft == resource.RLIM_INFINITY else soft


def share_used() -> float | None:
    """Return how much of the limit is used, 0 to 1; None where that cannot be seen."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 0.0
    try:
        return min(1.0, len(os.listdir(_OPEN)) / soft)  # noqa: PTH208  # only their number
    except OSError as error:
        return 1.0 if error.errno == errno.EMFILE else None
