"""Time as an argument: nothing reads the clock but through the `Clock` that it was given."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


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


def instant(clock: Clock) -> Instant:
    """Return the present by both clocks."""
    return Instant(wall=clock.now(), monotonic=clock.monotonic())


@asynccontextmanager
async def time_limit(clock: Clock, seconds: float) -> AsyncGenerator[None]:
    """Raise TimeoutError from the block when it takes longer than so many seconds of the clock.

    As `asyncio.timeout`, which goes by the clock of the event loop. A cancellation from elsewhere
    stays one.
    """
    if isinstance(clock, SystemClock):
        # The loop's own timer waits without a task. A thousand sessions that start set thousands.
        async with asyncio.timeout(seconds):
            yield
        return
    task = asyncio.current_task()
    assert task is not None  # this is awaited, so there is one
    before, expired = task.cancelling(), False

    async def ring() -> None:
        nonlocal expired
        await clock.sleep(seconds)
        expired = True
        task.cancel()

    alarm = asyncio.create_task(ring(), name="time limit")
    try:
        yield
    except asyncio.CancelledError as error:
        if expired and task.uncancel() <= before:
            raise TimeoutError from error
        raise
    finally:
        alarm.cancel()


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
