"""Removes what is kept for a time only, once a day."""

from datetime import datetime, timedelta
from typing import Protocol

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.core.server_time import ServerTime
from perene.supervisor.ports import ComponentHealth
from perene.supervisor.storage.retries import Retries

log = structlog.stdlib.get_logger()

_FIRST_AFTER_S = 600.0
"""A service that starts has better to do; one that is restarted daily must come to it, too."""

_EVERY_S = 86_400.0
_AGAIN_AFTER_S = 3600.0


class Purging(Protocol):
    """What removes old rows, a little at a time. Raises StorageError."""

    async def purge(
        self,
        *,
        ciphertexts_before: datetime | None,
        idempotency_keys_before: datetime | None,
        events_before: datetime | None,
        outages_before: datetime | None,
        alerts_before: datetime | None,
    ) -> int: ...


class Janitor:
    """Keeps events, outages, alerts and what recognises repetitions for `retention` each.

    A database that restarts is waited for, so that nobody is alarmed by a round that would fail.

    How old something is, is judged by the earlier of two clocks: the machine's, and WhatsApp's as a
    login told it. A machine whose clock has leapt to 2099 would remove everything; so nothing is
    removed before the first login.
    """

    def __init__(
        self,
        store: Purging,
        clock: Clock,
        retries: Retries,
        *,
        retention: timedelta,
        server_time: ServerTime,
    ) -> None:
        self._store = store
        self._clock = clock
        self._retries = retries
        self._server_time = server_time
        self._retention = retention
        self._problem: str | None = None
        self._done_at: datetime | None = None
        self._waits = False

    @property
    def failing(self) -> bool:
        """Whether the last round failed."""
        return self._problem is not None

    async def run(self) -> None:
        """Remove what is old every day, until cancelled; a round that failed again in an hour."""
        await self._clock.sleep(_FIRST_AFTER_S)
        while True:
            await self.clean()
            soon = self.failing or self._waits
            await self._clock.sleep(_AGAIN_AFTER_S if soon else _EVERY_S)

    async def clean(self) -> None:
        """Remove what is old, once. Never fails: what stays is removed by the next round."""
        told = self._server_time()
        self._waits = told is None
        if told is None:
            self._problem = None
            return
        before = min(self._clock.now(), told) - self._retention
        try:
            gone = await self._retries.ask(lambda: self._purge(before))
        except StorageError as error:
            self._problem = str(error)
            log.error("old_rows_not_removed", reason=self._problem, retry_in_s=_AGAIN_AFTER_S)
            return
        self._problem = None
        self._done_at = self._clock.now()
        log.info("old_rows_removed", rows=gone, before=before.isoformat(timespec="seconds"))

    async def _purge(self, before: datetime) -> int:
        return await self._store.purge(
            ciphertexts_before=before,
            idempotency_keys_before=before,
            events_before=before,
            outages_before=before,
            alerts_before=before,
        )

    def health(self) -> ComponentHealth:
        """Tell whether old rows were removed, and when."""
        if self._problem is not None:
            detail = f"Old rows could not be removed: {self._problem}."
        elif self._waits:
            detail = "Old rows are removed once a login has told what the time is."
        elif self._done_at is None:
            detail = "Old rows are removed ten minutes after the start, then every day."
        else:
            detail = f"Old rows were last removed at {self._done_at.isoformat(timespec='seconds')}."
        return ComponentHealth(name="retention", ok=not self.failing, detail=detail)
