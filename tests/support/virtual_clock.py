"""Time that passes when a test says so."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.support.record import PATIENCE_S

START = datetime(2026, 9, 1, 12, tzinfo=UTC)


class VirtualClock:
    """Implements `perene.core.clock.Clock`. Whoever sleeps is woken by `advance`, in order.

    `on_move` is called after every step of time, for others who live by this clock; `on_sleep`
    whenever somebody begins to wait.
    """

    def __init__(self) -> None:
        self.time = START
        self.on_move: Callable[[], None] = lambda: None
        self.on_sleep: Callable[[], None] = lambda: None
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None], float]] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        deadline = self.time + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (deadline, next(self._numbers), woken, seconds))
        self._ring()
        self.on_sleep()
        await woken

    @property
    def asleep(self) -> list[float]:
        """How long each of those who sleep now wanted to, soonest to wake first."""
        return [seconds for _, _, woken, seconds in sorted(self._sleepers) if not woken.done()]

    async def until_asleep(self, seconds: float, *, within: float = 0.0) -> None:
        """Return once somebody sleeps for about this long (`within` of it)."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(abs(found - seconds) <= within + 1e-9 for found in self.asleep):
                await self._changed.wait()

    async def advance(self, seconds: float) -> None:
        """Let time pass, deadline after deadline; who wakes gets a turn before the next one."""
        end = self.time + timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, woken, _ = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self.time = max(self.time, deadline)
            woken.set_result(None)
            self.on_move()
            for _ in range(10):
                await asyncio.sleep(0)
        self.time = end
        self.on_move()
        await asyncio.sleep(0)

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
