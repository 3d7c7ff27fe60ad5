"""What a logged-in session that has nothing to do costs in memory."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.contestant import Contestant
from bench.usage import Memory, cpu_seconds

Start = Callable[[int], AbstractContextManager[Contestant]]
"""Runs a client with so many sessions, which are paired on the first time and then kept."""

_QUIET_S = 3.0
_QUIET_SHARE = 0.05
_PATIENCE_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Memory of a process with one session and with `sessions`, in KiB."""

    sessions: int
    one: Memory
    many: Memory

    @property
    def per_session(self) -> float:
        """KiB that each further session costs, pages shared with others counted by their share."""
        return (self.many.pss - self.one.pss) / (self.sessions - 1)


def measure_idle(start: Start, sessions: int, *, restart: bool) -> Idle:
    """Measure with one session, then with `sessions`.

    With `restart` the client is measured after it was started anew and has logged in again, so that
    what pairing left behind does not count.
    """
    return Idle(
        sessions=sessions,
        one=_memory(start, 1, restart=restart),
        many=_memory(start, sessions, restart=restart),
    )


def _memory(start: Start, sessions: int, *, restart: bool) -> Memory:
    if restart:
        with start(sessions) as client:
            _wait_until_quiet(client)
    with start(sessions) as client:
        _wait_until_quiet(client)
        return client.memory()


def _wait_until_quiet(client: Contestant) -> None:
    """Wait until whatever follows a login is done."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        before = cpu_seconds(client.pids)
        time.sleep(_QUIET_S)
        if cpu_seconds(client.pids) - before <= _QUIET_S * _QUIET_SHARE:
            return
    raise RuntimeError("the client does not come to rest")
