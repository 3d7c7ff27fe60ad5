"""What stands between Perene's committer and its store: transactions fail here, or are held up."""

import asyncio
from collections.abc import Callable, Sequence

from perene.core.errors import StorageError
from perene.core.unit import Unit
from perene.supervisor.storage.saver import Tried


async def nothing_unheard(_tried: Tried) -> None:
    """Stand for a database that has committed nothing of what it did not answer."""


class Commits:
    """Every transaction of units passes here before it is made, over all starts of Perene."""

    def __init__(self) -> None:
        self._failures: list[StorageError] = []
        self._refused: Callable[[Unit], bool] = lambda _: False
        self._let_go = asyncio.Event()
        self._let_go.set()

    def fail_next(self, error: StorageError) -> None:
        """Let the next transaction that carries a message or a ratchet end so, and not be made."""
        self._failures.append(error)

    def refuse(self, refused: Callable[[Unit], bool]) -> None:
        """Let the disk be full for such units from now on."""
        self._refused = refused

    def accept(self) -> None:
        """Refuse no unit any more."""
        self._refused = lambda _: False

    def hold(self) -> None:
        """Let no further transaction be made."""
        self._let_go.clear()

    def release(self) -> None:
        """Let them be made."""
        self._let_go.set()

    async def turn(self, units: Sequence[Unit]) -> None:
        """Return when a transaction may be made; raises StorageError in place of it."""
        await self._let_go.wait()
        if any(self._refused(unit) for unit in units):
            raise StorageError("the disk is full")
        if self._failures and any(unit.messages or unit.ratchets for unit in units):
            raise self._failures.pop(0)
