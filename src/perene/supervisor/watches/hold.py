"""Sees to it that the service holds its database, as long as nobody else has taken it."""

from collections.abc import Awaitable, Callable

import structlog

from perene.core.clock import Clock
from perene.core.errors import DatabaseTaken, StorageError
from perene.supervisor.ports import ComponentHealth

log = structlog.stdlib.get_logger()

_EVERY_S = 3.0
"""A question over an idle connection. A hold that the server lost is taken again this soon."""

_LATE_S = 30.0
"""The longest that a server which is away can keep one question waiting, and the next look."""


class HoldWatch:
    """Looks after the hold on the database. `run` is its life.

    `keep` is `InstanceLock.keep`: it returns once the hold is ours, and tells whether it had to be
    taken anew; it raises DatabaseTaken, or StorageError when nobody can tell at this moment.
    """

    def __init__(self, keep: Callable[[], Awaitable[bool]], clock: Clock) -> None:
        self._keep = keep
        self._clock = clock
        self._problem: str | None = None
        self._held_at = clock.monotonic()
        self.taken: DatabaseTaken | None = None

    async def run(self) -> None:
        """Look until another service has taken the database; `taken` is what is to be told then.

        Every session must be let go: whoever took the database connects their numbers.
        """
        await self.look()
        while self.taken is None:
            await self._clock.sleep(_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Make sure of the hold once."""
        try:
            anew = await self._keep()
        except DatabaseTaken as taken:
            log.critical("database_taken", reason=str(taken))
            self.taken = taken
            return
        except StorageError as error:
            if self._problem is None:
                log.warning("database_hold_lost", reason=str(error))
            self._problem = str(error)
            return
        if anew or self._problem is not None:
            log.info("database_held_again")
        self._problem = None
        self._held_at = self._clock.monotonic()

    def health(self) -> ComponentHealth:
        """Tell whether this service holds its database, as far as is known."""
        if self.taken is not None:
            return ComponentHealth(name="database_hold", ok=False, detail=str(self.taken))
        problem = self._problem
        if problem is None and self._clock.monotonic() - self._held_at > _LATE_S:
            problem = "no answer"
        if problem is not None:
            detail = f"Not known to be held ({problem}); it is taken again as soon as it answers."
            return ComponentHealth(name="database_hold", ok=False, detail=detail)
        detail = "No other service can use this database."
        return ComponentHealth(name="database_hold", ok=True, detail=detail)
