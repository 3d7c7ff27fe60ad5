"""Time as an argument: nothing reads the clock but through the `Clock` that it was given."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


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


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
