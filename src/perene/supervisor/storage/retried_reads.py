"""Reading for connections, from a database that may be away for a moment."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageUnavailable
from perene.supervisor.storage.committer import SavePolicy

log = structlog.stdlib.get_logger()

T = TypeVar("T")


class RetriedReads:
    """Asks the store as often as a transaction is tried, with the same waits (requirement E1).

    To restart a database must not cost every session its connection. All attempts together have
    the time of one of a transaction's: of a database that is silent nothing is hoped for. That it
    is away is told once for all connections.
    """

    def __init__(self, clock: Clock, policy: SavePolicy) -> None:
        self._clock = clock
        self._policy = policy
        self._away = False

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer. Raises StorageUnavailable after the last attempt, others at once."""
        last = self._clock.monotonic() + self._policy.timeout_s
        for attempt in range(1, self._policy.attempts):
            wait_s = self._policy.wait_s * attempt
            try:
                return self._answered(await question())
            except StorageUnavailable as error:
                if self._clock.monotonic() + wait_s >= last:
                    raise
                self._refused(error)
            await self._clock.sleep(wait_s)
        return self._answered(await question())

    def _refused(self, error: StorageUnavailable) -> None:
        if not self._away:
            log.warning("reads_wait", reason=str(error), limit=self._policy.attempts)
        self._away = True

    def _answered(self, answer: T) -> T:
        if self._away:
            log.info("reads_answered")
        self._away = False
        return answer
