"""Asking a database that may be away for a moment."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageUnavailable
from perene.supervisor.storage.saver import SavePolicy

log = structlog.stdlib.get_logger()

_UNHEARD_OF_S = 60.0
"""When nobody has asked a database for so long that was away, it may have been back since."""

T = TypeVar("T")


class Retries:
    """Asks as often as a transaction of the committer is tried, with the same waits (E1).

    A database that restarts must cost no session its connection, and no user a refusal. The first
    seconds of an absence are waited out, as long as one attempt at saving may take; from then on
    everybody is refused at once, and so is who asked in vain for that long: nothing is hoped for of
    a database that is silent. That it is away is told once for all who ask.
    """

    def __init__(self, clock: Clock, policy: SavePolicy) -> None:
        self._clock = clock
        self._policy = policy
        self._away_since: float | None = None
        self._refused_at = 0.0

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer. Raises StorageUnavailable after the last attempt, others at once.

        What is asked may be asked again though it was done.
        """
        attempt = 0
        while True:
            attempt += 1
            asked, wait_s = self._clock.monotonic(), self._policy.wait_s * attempt
            try:
                return self._answered(await question())
            except StorageUnavailable as error:
                waited_out = self._refused(error, since=asked) + self._policy.timeout_s
                too_late = self._clock.monotonic() + wait_s >= waited_out
                if too_late or attempt >= self._policy.attempts:
                    raise
            await self._clock.sleep(wait_s)

    def _refused(self, error: StorageUnavailable, *, since: float) -> float:
        """Return since when the database is away, as far as is known."""
        now = self._clock.monotonic()
        if self._away_since is None:
            log.warning("database_away", reason=str(error))
        if self._away_since is None or now - self._refused_at > _UNHEARD_OF_S:
            self._away_since = since
        self._refused_at = now
        return self._away_since

    def _answered(self, answer: T) -> T:
        if self._away_since is not None:
            log.info("database_answers")
        self._away_since = None
        return answer
