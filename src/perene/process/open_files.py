"""Files and sockets that this process may have open: how many, and how many it has."""

import errno
import os
import resource
from pathlib import Path

from perene.core.errors import RefusedToStart

_LEAST = 64
"""A service without sessions, API clients or receivers of alerts has some 20 open."""

_OPEN = Path("/proc/self/fd")


class TooFewOpenFiles(RefusedToStart):
    """The system lets this process open fewer files than a service needs."""

    code = "too_few_open_files"
    remedy = "Raise the limit where the service starts: `ulimit -n`, or LimitNOFILE= of systemd."


def raise_limit() -> int | None:
    """Take as many as the system lets us have; return how many that are, None for any number.

    A soft limit of 1,024 is common: it guards programs that use `select`, and Perene does not.
    Raises TooFewOpenFiles for fewer than a service needs: whatever opens a file next would fail, in
    words of its own, and be it the interpreter that loads a module.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # some systems name a hard limit that they do not give
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < _LEAST:
        raise TooFewOpenFiles(
            f"The system lets this process open {soft} files, of which a service needs {_LEAST}."
        )
    return soft


def share_used() -> float | None:
    """Return how much of the limit is used, 0 to 1; None where that cannot be seen."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 0.0
    try:
        return min(1.0, len(os.listdir(_OPEN)) / soft)  # noqa: PTH208  # only their number
    except OSError as error:
        return 1.0 if error.errno == errno.EMFILE else None
