"""What the time is by WhatsApp's clock: the machine's own may be wrong by years."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from perene.core.clock import Clock, Instant, instant
from perene.core.notices import TimeTold

ServerTime = Callable[[], datetime | None]
"""Returns the present by WhatsApp's clock, None before a login of this run has told it."""


def server_time(told: Iterable[TimeTold | None], now: Instant) -> datetime | None:
    """Return the present by what was told last, counted on by the steady clock."""
    known = [one for one in told if one is not None]
    if not known:
        return None
    last = max(known, key=lambda one: one.at.monotonic)
    return last.said + timedelta(seconds=now.monotonic - last.at.monotonic)


def time_of(told: Callable[[], Iterable[TimeTold | None]], clock: Clock) -> ServerTime:
    """Return what tells the time by what each session was told last."""
    return lambda: server_time(told(), instant(clock))
