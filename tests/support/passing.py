"""Virtual time that passes, and what happens in it: whoever waits is told, and nothing sleeps."""

import asyncio
from collections.abc import Callable, Sized
from contextvars import Context
from typing import Any

from tests.support.record import PATIENCE_S
from tests.support.virtual_clock import VirtualClock


class PassingTime:
    """Waits end by what happens, and time passes by `clock` when a test says so.

    Whatever something can have changed for calls `ring`; `watch_threads` is called once, before
    anything begins.
    """

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.clock.on_sleep = self.ring
        self._changed = asyncio.Event()
        self._at_work: set[asyncio.Future[Any]] = set()

    def ring(self) -> None:
        """Something has happened: whoever waits looks again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def listen(self) -> asyncio.Event:
        """Return what is set by the next `ring`; take it before looking, to miss nothing."""
        return self._changed

    async def explain(self) -> str:
        """Return what a wait that was in vain should say besides what it waited for."""
        return "nothing is known of what happened"

    async def until(self, condition: Callable[[], bool], what: str = "a condition") -> None:
        """Return once a condition holds; it is looked at whenever something has happened."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited for {what}; {await self.explain()}") from None

    async def settled(self) -> None:
        """Return once everybody waits for time or for the other side: nothing is under way."""
        # Whoever will go on is in the loop's queue, or waits for a thread. To ask the loop is not
        # its public way; to give it many turns instead takes most of a long scenario's time.
        ready: Sized = getattr(asyncio.get_running_loop(), "_ready")  # noqa: B009  # not public
        while True:
            await asyncio.sleep(0)
            if self._at_work:
                await asyncio.wait(self._at_work, return_when=asyncio.FIRST_COMPLETED)
            elif not ready:
                return

    async def pass_time(
        self, seconds: float, *, until: Callable[[], bool] = lambda: False
    ) -> float:
        """Let time pass, and everybody finish what a moment brings before the next one comes.

        It stops early when `until` holds. Returns the seconds that have passed.
        """
        began = self.clock.monotonic()
        await self.settled()
        while not until() and (left := began + seconds - self.clock.monotonic()) > 1e-6:
            await self.clock.advance_to_next(at_most=left)
            await self.settled()
        return self.clock.monotonic() - began

    def watch_threads(self) -> None:
        """Keep count of what runs in threads, to know when nothing is under way any more."""
        loop = asyncio.get_running_loop()
        inner = loop.run_in_executor

        def run_in_executor(executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
            future = inner(executor, func, *args)
            self._at_work.add(future)
            # Nobody's turn: it is done also if the service that waits for it stands still.
            future.add_done_callback(self._at_work.discard, context=Context())
            return future

        setattr(loop, "run_in_executor", run_in_executor)  # noqa: B010  # a method
