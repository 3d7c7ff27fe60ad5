"""Time as an argument: nothing reads the clock but through the `Clock` that it was given."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""Before this Perene did not exist: a clock that says so is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A moment by both clocks: people read `wall`, durations are measured by `monotonic`."""

    wall: datetime
    monotonic: float

    def later(self, wait: timedelta) -> float:
        """Return the monotonic second after a wait, in whole microseconds as the wait is."""
        return round(self.monotonic + wait.total_seconds(), 6)


class Clock(Protocol):
    """The wall clock, a monotonic clock, and a way to wait."""

    def now(self) -> datetime:
        """Return the present as an aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards, from an arbitrary origin."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; may be cancelled."""
        ...

    def limit(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Raise TimeoutError from a block that takes longer; a cancellation stays one."""
        ...


def instant(clock: Clock) -> Instant:
    """Return the present by both clocks."""
    return Instant(wall=clock.now(), monotonic=clock.monotonic())


async def happens_within(clock: Clock, event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, no longer than so many seconds; tell whether it has come."""
    try:
        async with clock.limit(seconds):
            return await event.wait()
    except TimeoutError:
        return False


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def limit(self, seconds: float) -> AbstractAsyncContextManager[object]:
        # The loop's own timer waits without a task. A thousand sessions that start set thousands.
        return asyncio.timeout(seconds)
