"""A service that lives on while another one has taken its place, until it learns of that."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from perene.core.clock import Clock
from perene.store.store import Store
from perene.supervisor.fleet.supervisor import Supervisor
from perene.supervisor.storage.committer import Committer
from perene.supervisor.watches.hold import HoldWatch
from tests.support.database_line import DatabaseLine
from tests.support.edges import WatchedTransport
from tests.support.hold import Holder
from tests.support.standstill import Standstill

_SHUTDOWN_S: Final = 20.0
"""As shipped: `shutdown_timeout_s`."""


class Former:
    """It ends by itself, as the service does (`app.life`): once it learns that it was told to, or
    that another one has the database."""

    def __init__(
        self,
        clock: Clock,
        *,
        store: Store,
        supervisor: Supervisor,
        committer: Committer,
        tasks: Sequence[asyncio.Task[None]],
        transports: Sequence[WatchedTransport],
        holder: Holder,
        line: DatabaseLine,
        standstill: Standstill,
    ) -> None:
        self.holder = holder
        self.standstill = standstill
        self._clock = clock
        self._store = store
        self._supervisor = supervisor
        self._committer = committer
        self._tasks = tasks
        self._transports = transports
        self._line = line
        self._end: asyncio.Task[None] | None = None

    def go_on(self) -> None:
        """Let it live as before, until it finds that its database was taken."""
        self._end_after(HoldWatch(self.holder.keep, self._clock).run)

    def drain(self) -> None:
        """Let it end as by SIGTERM."""
        self._end_after(lambda: asyncio.sleep(0))

    def freeze(self) -> None:
        """Let it stand still, with all that it has in hand."""
        self.standstill.freeze()

    def wake(self) -> None:
        """Let it go on where it stood still."""
        self.standstill.go_on()

    def part(self, *, silent: bool) -> None:
        """Cut it off from the database, and from nothing else."""
        self._line.cut(silent=silent)
        self.holder.is_parted = True

    def join(self) -> None:
        """Let it have its database back."""
        self._line.mend()
        self.holder.is_parted = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left of it."""
        return self._end is not None and self._end.done()

    async def problems(self) -> Sequence[str]:
        """Return what went wrong with one that has ended."""
        assert self._end is not None
        [failure] = await asyncio.gather(self._end, return_exceptions=True)
        found: list[str] = []
        if isinstance(failure, Exception):
            found.append(f"the former service failed: {failure!r}")
        if failures := self._supervisor.task_failures:
            found.append(f"{failures} of the former service's tasks died")
        return found

    async def kill(self) -> None:
        """End it at once."""
        for transport in self._transports:
            await transport.inner.close()
        self.wake()
        if self._end is not None and not self._end.done():
            self._end.cancel()
            await asyncio.wait((self._end,))
        await self._leave_nothing()

    def _end_after(self, what: Callable[[], Awaitable[None]]) -> None:
        self._end = asyncio.create_task(self._live(what), context=self.standstill.context)

    async def _live(self, until: Callable[[], Awaitable[None]]) -> None:
        _, supervising, _ = self._tasks
        try:
            await until()
            self._supervisor.close()
            async with self._clock.limit(_SHUTDOWN_S):
                await asyncio.wait((supervising,))
                await self._committer.drained()
        except TimeoutError:
            pass  # as the service: it leaves late, and that helps nobody
        await self._leave_nothing()

    async def _leave_nothing(self) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()
        failures = [result for result in results if isinstance(result, Exception)]
        if failures:
            raise ExceptionGroup("a part of the service failed", failures)
