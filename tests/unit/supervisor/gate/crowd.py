"""Sessions at a gate, moved by a test."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.gate.turns import GaveWay, Priority, Turn
from tests.support.virtual_clock import VirtualClock

READY = Priority(0)
FAST = 1_000_000.0


class Crowd:
    """Sessions at a gate: each notes when it gets in, and stays until it is told what becomes."""

    def __init__(self, gate: StartGate, clock: VirtualClock) -> None:
        self.gate = gate
        self.clock = clock
        self.began: list[tuple[str, float]] = []
        self.gave_way: list[str] = []
        self._turns: dict[str, Turn] = {}
        self._leaving: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self,
        name: str,
        priority: int = 0,
        stays_s: float | None = None,
        *,
        route: str | None = None,
        gave_way: bool = False,
    ) -> None:
        self._leaving[name] = asyncio.Event()
        turn = self.gate.turn(Priority(priority), route=route, gave_way=gave_way)
        self.tasks[name] = asyncio.create_task(self._live(name, turn, stays_s))
        await settle()

    async def leave(self, name: str) -> None:
        """Let an attempt fail."""
        self._leaving[name].set()
        await settle()

    async def open(self, name: str) -> None:
        """Let an attempt get through."""
        self._turns[name].leave()
        await settle()

    async def give_up(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    async def log_in(self, count: int, *, seconds: float, route: str | None = None) -> None:
        """Let so many sessions come and get through, one after the other."""
        for number in range(count):
            name = f"one of {route} that needs {seconds} s, {number}"
            await self.come(name, route=route)
            await self.clock.advance(seconds)
            await self.open(name)
            self.began.clear()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.began]

    async def _live(
        self, name: str, turn: AbstractAsyncContextManager[Turn], stays_s: float | None
    ) -> None:
        try:
            async with turn as self._turns[name]:
                self.began.append((name, self.clock.monotonic()))
                if stays_s is None:
                    await self._leaving[name].wait()
                else:
                    await self.clock.sleep(stays_s)
        except GaveWay:
            self.gave_way.append(name)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd(
    at_once: int = 1, per_second: float = FAST, hold_s: float = 15.0
) -> AsyncGenerator[Crowd]:
    clock = VirtualClock()
    one = Crowd(StartGate(clock, at_once=at_once, per_second=per_second, hold_s=hold_s), clock)
    try:
        yield one
    finally:
        for task in one.tasks.values():
            task.cancel()
        await asyncio.gather(*one.tasks.values(), return_exceptions=True)
        assert (one.gate.inside, one.gate.waiting) == (0, 0)
        assert one.clock.asleep == []
