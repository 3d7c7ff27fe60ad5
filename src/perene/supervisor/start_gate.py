"""Who may log in now: many sessions start in turns, so that a restart is no stampede."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NewType

from perene.core.clock import Clock

Priority = NewType("Priority", int)
"""Failures in a row of the session that asks; 0 for a first attempt or one that was up lately."""

_ROUNDING = 1e-9
"""Seconds and tokens are floats: what lacks less than this is there."""

_SHORTEST_WAIT_S = 0.001
"""Timers are no finer; one that comes a hair too early must not be set again at once for ever."""


class Turn:
    """The right to dial and log in, from the moment it is given until `leave`."""

    __slots__ = ("_gate", "given", "number", "priority")

    def __init__(self, gate: "StartGate", priority: Priority, number: int) -> None:
        self._gate = gate
        self.priority = priority
        self.number = number
        self.given: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def leave(self) -> None:
        """Let the next one in; the connection is open, waits for a person, or has ended.

        Nothing happens when the turn is over already.
        """
        self._gate.leave(self)

    def __lt__(self, other: "Turn") -> bool:
        return (self.priority, self.number) < (other.priority, other.number)


class StartGate:
    """Lets connections begin: at most `at_once` inside, at most `per_second` begun in any second.

    Who has failed less often goes first, then who came first. Those that fail never hold every
    place, so that a session which can open need not wait until one that cannot has timed out: a
    fifth of the places is kept for sessions without failures. A turn counts for `hold_s` seconds at
    most; whoever is stuck for longer goes on, but holds nobody up.
    """

    def __init__(
        self, clock: Clock, *, at_once: int, per_second: float, hold_s: float = 5.0
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._failing_at_once = max(1, at_once - max(1, at_once // 5))
        # A full bucket and what runs into it during a second are `per_second` together.
        self._bucket = max(1.0, per_second // 10)
        self._refill = per_second - self._bucket if self._bucket > 1 else per_second
        self._tokens = self._bucket
        self._filled_at = clock.monotonic()
        self._hold_s = hold_s
        self._waiting: list[Turn] = []
        self._inside: dict[Turn, float] = {}
        self._failing_inside = 0
        self._numbers = itertools.count()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0

    @property
    def inside(self) -> int:
        """How many turns are held."""
        return len(self._inside)

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return sum(not turn.given.done() for turn in self._waiting)

    @asynccontextmanager
    async def turn(self, priority: Priority) -> AsyncGenerator[Turn]:
        """Wait for a turn and hold it until the block ends, or until `Turn.leave` within it.

        Cancellation while waiting or inside gives the turn up.
        """
        turn = Turn(self, priority, next(self._numbers))
        heapq.heappush(self._waiting, turn)
        try:
            self._admit()
            await turn.given
            yield turn
        finally:
            turn.leave()

    def leave(self, turn: Turn) -> None:
        """End a turn, given or still waited for."""
        turn.given.cancel()
        self._forget(turn)
        self._admit()

    def _forget(self, turn: Turn) -> None:
        if self._inside.pop(turn, None) is not None and turn.priority:
            self._failing_inside -= 1

    def _admit(self) -> None:
        """Let in everybody who may come in now, and set the alarm for the next change."""
        now = self._clock.monotonic()
        while self._inside and self._ends_next() <= now + _ROUNDING:
            self._forget(next(iter(self._inside)))
        self._tokens = min(self._bucket, self._tokens + (now - self._filled_at) * self._refill)
        self._filled_at = now
        while self._waiting:
            turn = self._waiting[0]
            if not turn.given.done():
                if self._full(turn) or self._tokens < 1 - _ROUNDING:
                    break
                self._tokens -= 1
                self._inside[turn] = now + self._hold_s
                self._failing_inside += turn.priority > 0
                turn.given.set_result(None)
            heapq.heappop(self._waiting)
        self._set_alarm(now)

    def _full(self, turn: Turn) -> bool:
        if turn.priority and self._failing_inside >= self._failing_at_once:
            return True  # whoever waits behind has failed, too
        return len(self._inside) >= self._at_once

    def _ends_next(self) -> float:
        return next(iter(self._inside.values()))

    def _set_alarm(self, now: float) -> None:
        if not self._waiting:
            self._stop_alarm()
            return
        if self._full(self._waiting[0]):
            at = self._ends_next()
        else:
            at = now + (1 - self._tokens) / self._refill
        if self._alarm is not None and self._alarm_at <= at + _ROUNDING:
            return
        self._stop_alarm()
        self._alarm_at = at
        self._alarm = asyncio.create_task(
            self._ring(max(at - now, _SHORTEST_WAIT_S)), name="start gate"
        )

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._alarm = None
        self._admit()
