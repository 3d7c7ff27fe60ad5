"""Removes what deleted sessions have left behind."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from perene.core.clock import Clock, happens_within
from perene.core.errors import StorageError
from perene.supervisor.ports import ComponentHealth

log = structlog.stdlib.get_logger()

_AGAIN_AFTER_S = 15.0
"""Sooner than the alert `database_failing` is over: an outage of the database is told by that one,
and nothing of it is left to tell then."""


class Sweeper:
    """Has the rows of sessions removed that were deleted, in this run or in one before it.

    `remove` removes them all, a little at a time, and tells how many it were; or StorageError. A
    database that restarts is for it to wait out: a session may well be deleted in just that moment.
    """

    def __init__(self, remove: Callable[[], Awaitable[int]], clock: Clock) -> None:
        self._remove = remove
        self._clock = clock
        self._left = asyncio.Event()
        self._problem: str | None = None

    @property
    def failing(self) -> bool:
        """Whether the last round failed."""
        return self._problem is not None

    def ring(self) -> None:
        """A session was deleted."""
        self._left.set()

    async def run(self) -> None:
        """Remove what is left now, and after each deletion, until cancelled.

        A round that failed is repeated in a quarter of a minute, or after the next deletion.
        """
        while True:
            self._left.clear()
            await self.sweep()
            if self.failing:
                await happens_within(self._clock, self._left, _AGAIN_AFTER_S)
            else:
                await self._left.wait()

    async def sweep(self) -> None:
        """Remove what is left, once. Never fails: what stays is removed by the next round."""
        try:
            gone = await self._remove()
        except StorageError as error:
            if str(error) != self._problem:
                log.error("remains_not_removed", reason=str(error), retry_in_s=_AGAIN_AFTER_S)
            self._problem = str(error)
            return
        self._problem = None
        if gone:
            log.info("remains_removed", rows=gone)

    def health(self) -> ComponentHealth:
        """Tell whether what deleted sessions have left could be removed."""
        if self._problem is not None:
            detail = f"What deleted sessions have left could not be removed: {self._problem}."
        else:
            detail = "What deleted sessions leave behind is removed."
        return ComponentHealth(name="deletion", ok=not self.failing, detail=detail)
