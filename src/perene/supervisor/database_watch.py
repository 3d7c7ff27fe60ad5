"""Looks whether the database can be written, also while no session has anything to write."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.supervisor.committer import Committer
from perene.supervisor.ports import ComponentHealth

log = structlog.stdlib.get_logger()

_EVERY_S = 15.0
_PATIENCE_S = 10.0


class DatabaseWatch:
    """Tells from memory whether the database takes writes. `run` is its life.

    `probe` writes a row of its own, and raises StorageError. It is called only when nothing was
    saved since the last look, for traffic proves as much: an outage without traffic is noticed by
    it, and the end of one that no session waits out.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[None]], committer: Committer, clock: Clock
    ) -> None:
        self._probe = probe
        self._committer = committer
        self._clock = clock
        self._problem: str | None = None
        self._saved_at: datetime | None = None
        self._probed_at: datetime | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(_EVERY_S)

    async def look(self) -> None:
        """Probe the database, unless the committer knows better."""
        saved_before, self._saved_at = self._saved_at, self._committer.committed_at
        if self._committer.busy or self._saved_at != saved_before:
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._probe()
        except (StorageError, TimeoutError) as error:
            reason = str(error) or f"no answer within {_PATIENCE_S:g} s"
            if self._problem is None:
                log.error("database_not_writable", reason=reason)
            self._problem = reason
            return
        self._probed_at = self._clock.now()
        if self.failing:
            log.info("database_writable")
        self._problem = None
        self._committer.forget_failure()

    @property
    def failing(self) -> bool:
        """Whether the database takes no writes, as far as is known."""
        unsaved_since = self._committer.committed_at == self._saved_at
        return self._committer.failing or (self._problem is not None and unsaved_since)

    def health(self) -> ComponentHealth:
        """Tell whether the database can be written, and when it last was."""
        failing = self.failing
        told = [self._problem or "The last transaction could not be saved."] if failing else []
        times = [at for at in (self._committer.committed_at, self._probed_at) if at is not None]
        if times:
            told.append(f"Last written at {max(times).isoformat(timespec='seconds')}.")
        return ComponentHealth(name="database", ok=not failing, detail=" ".join(told) or None)
