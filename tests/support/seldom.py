"""For tests that live through weeks: what looks every few seconds looks seldom."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from perene.engine import listening
from perene.supervisor.alerts import alerting
from perene.supervisor.fleet import monitor

HOUR = 3600.0

LOOKS = (
    (monitor, "_LOOK_EVERY_S", 600.0),
    (listening, "_LOOK_S", HOUR),
    (alerting, "LOOK_EVERY_S", 600.0),
)
"""The looks of the monitor (10 s), for deafness (20 s) and for alerts (10 s): 26 million of them in
a month of 100."""

ENGINE: dict[str, Any] = {"first_pre_keys": 30, "keepalive_s": HOUR, "heartbeat_s": 2 * HOUR}
"""For `World.open`: instead of 812 keys and a ping every 10 to 15 s."""


@contextmanager
def seldom() -> Generator[None]:
    """Let the watchers look seldom until the block ends; what hangs on them comes so much later."""
    before = [(module, name, getattr(module, name)) for module, name, _ in LOOKS]
    try:
        for module, name, seconds in LOOKS:
            setattr(module, name, seconds)
        yield
    finally:
        for module, name, seconds in before:
            setattr(module, name, seconds)
