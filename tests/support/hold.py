"""The one hold on a database (ADR 8), for services of one process: a lock of the database itself.

A file's lock is of a process, and a server's needs threads; what they promise is kept here.
"""

from typing import Final

from perene.core.clock import Clock
from perene.core.errors import DatabaseTaken, StorageUnavailable

_NOBODY: Final = object()


class Hold:
    """Who holds the database: one service at most."""

    def __init__(self) -> None:
        self.holder: object = _NOBODY

    def lapse(self) -> None:
        """The server gives up the connection of whoever holds it."""
        self.holder = _NOBODY


class Holder:
    """One service's hold. Its methods are those of `InstanceLock`, but none blocks."""

    def __init__(self, hold: Hold, clock: Clock) -> None:
        self.is_parted = False
        """Whether the server cannot be reached."""
        self.answers_after_s = 0.0
        self._hold = hold
        self._clock = clock

    def take(self) -> None:
        """Take it; nobody else has it then."""
        self._hold.holder = self

    async def keep(self) -> bool:
        """Return once it is ours, and whether it had to be taken anew; or raise DatabaseTaken."""
        await self._clock.sleep(self.answers_after_s)
        if self.is_parted:
            raise StorageUnavailable("the server cannot be reached")
        if self._hold.holder is self:
            return False
        if self._hold.holder is not _NOBODY:
            raise DatabaseTaken("Another service took the database.")
        self._hold.holder = self
        return True

    def guard(self, _: object) -> None:
        """Raise StorageUnavailable in a transaction of ours unless it is ours."""
        if self._hold.holder is not self:
            raise StorageUnavailable("this service does not hold the database at this moment")
