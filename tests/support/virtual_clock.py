"""Time that passes when a test says so."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from tests.support.record import PATIENCE_S

START = datetime(2026, 9, 1, 12, tzinfo=UTC)

_TURNS = 10
"""Times that the event loop goes round before the next sleeper is woken."""


class VirtualClock:
    """Implements `perene.core.clock.Clock`. Whoever sleeps is woken by `advance`, in order.

    `on_move` is called after every step of time, for others who live by this clock; `on_sleep`
    whenever somebody begins to wait. Sleepers go by the monotonic clock: `jump` wakes nobody.
    """

    def __init__(self) -> None:
        self.on_move: Callable[[], None] = lambda: None
        self.on_sleep: Callable[[], None] = lambda: None
        self._passed = timedelta()
        self._jumped = timedelta()
        self._sleepers: list[tuple[timedelta, int, asyncio.Future[None], float]] = []
        self._cancelled = 0
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        return START + self._passed + self._jumped

    def now_elsewhere(self) -> datetime:
        """Return what other machines take the time to be: `jump` is of this one alone."""
        return START + self._passed

    def monotonic(self) -> float:
        return self._passed.total_seconds()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = self._set(seconds)
        try:
            await woken
        finally:
            if woken.cancelled():
                self._given_up()

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncGenerator[None]:
        task = asyncio.current_task()
        assert task is not None  # this is awaited, so there is one
        before, expired, left = task.cancelling(), False, False

        def expire(rung: "asyncio.Future[None]") -> None:
            nonlocal expired
            # It may ring in the turn in which the block has just ended.
            if not rung.cancelled() and not left:
                expired = True
                task.cancel()

        # Set before anything else happens: time moves whenever a test says so.
        alarm = self._set(seconds)
        alarm.add_done_callback(expire)
        try:
            yield
        except asyncio.CancelledError as error:
            if expired and task.uncancel() <= before:
                raise TimeoutError from error
            raise
        finally:
            left = True
            if alarm.cancel():
                self._given_up()

    def _set(self, seconds: float) -> "asyncio.Future[None]":
        """Return what is done when so many seconds have passed."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A microsecond is its grain: whoever waits for less would wait for ever.
        deadline = self._passed + timedelta(seconds=max(seconds, 1e-6))
        heapq.heappush(self._sleepers, (deadline, next(self._numbers), woken, seconds))
        self._ring()
        self.on_sleep()
        return woken

    def _given_up(self) -> None:
        self._cancelled += 1
        self._purge()

    @property
    def asleep(self) -> list[float]:
        """How long each of those who sleep now wanted to, soonest to wake first."""
        return [seconds for _, _, woken, seconds in sorted(self._sleepers) if not woken.done()]

    @property
    def next_in(self) -> float | None:
        """In how many seconds the next sleeper wakes, None if nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            return None
        return max(0.0, (self._sleepers[0][0] - self._passed).total_seconds())

    async def until_asleep(self, seconds: float, *, within: float = 0.0) -> None:
        """Return once somebody sleeps for about this long (`within` of it)."""
        async with asyncio.timeout(PATIENCE_S):
            while not any(abs(found - seconds) <= within + 1e-9 for found in self.asleep):
                await self._changed.wait()

    async def advance(self, seconds: float) -> None:
        """Let time pass, deadline after deadline; who wakes gets a turn before the next one."""
        end = self._passed + timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, woken, _ = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._passed = max(self._passed, deadline)
            woken.set_result(None)
            self.on_move()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        self._passed = max(self._passed, end)
        self.on_move()
        await asyncio.sleep(0)

    async def advance_to_next(self, *, at_most: float) -> float:
        """Let time pass until the next sleepers wake, `at_most` seconds; return how many did.

        All who are due at that moment wake together.
        """
        found = self.next_in
        step = timedelta(seconds=at_most)
        if found is not None:
            step = min(step, max(timedelta(), self._sleepers[0][0] - self._passed))
        self._passed += step
        while self._sleepers and self._sleepers[0][0] <= self._passed:
            _, _, woken, _ = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
        self.on_move()
        await asyncio.sleep(0)
        return step.total_seconds()

    def jump(self, seconds: float) -> None:
        """Set the wall clock, forwards or back; no time passes, and nobody wakes."""
        self._jumped += timedelta(seconds=seconds)

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _purge(self) -> None:
        """Drop the cancelled once they are most of the list: cheap, and the list stays short."""
        if self._cancelled > len(self._sleepers) // 2:
            self._sleepers = [entry for entry in self._sleepers if not entry[2].done()]
            heapq.heapify(self._sleepers)
            self._cancelled = 0
