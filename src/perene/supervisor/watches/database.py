"""Looks whether the database can be written, also while no session has anything to write."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.supervisor.ports import ComponentHealth
from perene.supervisor.storage.committer import Committer

log = structlog.stdlib.get_logger()

_EVERY_S = 15.0
_FRESH = timedelta(seconds=5)
"""For how long a save proves that the database can be written; less than the time to a look."""


class DatabaseWatch:
    """Tells from memory whether the database takes writes. `run` is its life.

    `probe` writes a row of its own, and raises StorageError. It is not called right after a save,
    nor while one is under way, for traffic proves as much, and tells within its own time limit: an
    outage without traffic is noticed by it, and the end of one that no session waits out. A probe
    that takes longer than `patience_s` has failed.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        committer: Committer,
        clock: Clock,
        *,
        patience_s: float = 10.0,
    ) -> None:
        self._probe = probe
        self._committer = committer
        self._clock = clock
        self._patience_s = patience_s
        self._problem: str | None = None
        self._saved_at: datetime | None = None
        self._probed_at: datetime | None = None

    async def run(self) -> None:
        """Look until cancelled, at a steady pace: a slow look does not put off the next one."""
        while True:
            began = self._clock.monotonic()
            await self.look()
            await self._clock.sleep(max(0.0, began + _EVERY_S - self._clock.monotonic()))

    async def look(self) -> None:
        """Probe the database, unless the committer knows better."""
        saved_before, self._saved_at = self._saved_at, self._committer.committed_at
        if self._saved_at != saved_before and self._problem is not None:
            log.info("database_writable")
            self._problem = None
        if self._committer.busy or self._saved_just_now():
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await self._probe()
        except (StorageError, TimeoutError) as error:
            reason = str(error) or f"no answer within {self._patience_s:g} s"
            if self._problem is None:
                log.error("database_not_writable", reason=reason)
            self._problem = reason
            return
        self._probed_at = self._clock.now()
        failed, self._problem = self.failing, None
        self._committer.another_wrote()
        if failed and not self.failing:
            log.info("database_writable")

    def _saved_just_now(self) -> bool:
        # The wall clock may have been set back since.
        return self._saved_at is not None and (
            timedelta(0) <= self._clock.now() - self._saved_at < _FRESH
        )

    @property
    def failing(self) -> bool:
        """Whether the database takes no writes, as far as is known."""
        unsaved_since = self._committer.committed_at == self._saved_at
        return self._committer.failing or (self._problem is not None and unsaved_since)

    def health(self) -> ComponentHealth:
        """Tell whether the database can be written, and when it last was."""
        failing = self.failing
        told = [self._sentence()] if failing else []
        times = [at for at in (self._committer.committed_at, self._probed_at) if at is not None]
        if times:
            told.append(f"Last written at {max(times).isoformat(timespec='seconds')}.")
        return ComponentHealth(name="database", ok=not failing, detail=" ".join(told) or None)

    def _sentence(self) -> str:
        if self._committer.problem is None:
            return f"{self._problem}."
        return f"Not all could be saved: {self._committer.problem}."
