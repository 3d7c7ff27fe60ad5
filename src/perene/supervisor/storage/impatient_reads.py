"""Reading what memory could tell as well, from a database that may be silent."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from perene.core.clock import Clock
from perene.core.errors import StorageUnavailable

_ASKED_AGAIN_AFTER_S = 10.0
"""So long a question keeps a thread of a database that hangs: one at a time is enough."""

T = TypeVar("T")


class ImpatientReads:
    """Asks the store for a short time, and seldom again while it is silent.

    One that refuses does so at once, and so is asked at each occasion.
    """

    def __init__(self, clock: Clock, *, patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._silent_until = 0.0

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer. Raises StorageUnavailable when there is none soon."""
        if self._clock.monotonic() < self._silent_until:
            raise StorageUnavailable("the database has just been silent")
        try:
            async with self._clock.limit(self._patience_s):
                return await question()
        except TimeoutError as error:
            self._silent_until = self._clock.monotonic() + _ASKED_AGAIN_AFTER_S
            raise StorageUnavailable(f"no answer within {self._patience_s:g} s") from error

    def answered(self) -> None:
        """The store has answered somebody: it is asked again at once."""
        self._silent_until = 0.0
