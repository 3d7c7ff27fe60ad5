"""Answers about every session: made for all who ask meanwhile, and a piece at a time.

To show a thousand sessions takes some hundredths of a second. A few pages and monitors that ask for
it without a pause would otherwise leave the sessions themselves no time between two of them.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel

T = TypeVar("T")

_PIECE: Final = 50
"""Sessions that are shown at once: one or two milliseconds."""


class LongAnswer:
    """An answer that is the same for everybody, one at a time.

    Who asks while one is made gets the next one, together with all others who ask until it is
    begun: nobody is told what was true before he asked.
    """

    def __init__(self) -> None:
        self._making: asyncio.Task[Any] | None = None
        self._next: asyncio.Task[Any] | None = None

    async def get(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what `make` returns, or raise what it raises; one of those that were given is."""
        if self._next is None:
            # In no caller's context, for it goes on for the others when that one has gone.
            self._next = asyncio.create_task(
                self._make(self._making, make), context=contextvars.Context()
            )
            self._next.add_done_callback(self._made)
        return await asyncio.shield(self._next)

    async def _make(
        self, before: "asyncio.Task[Any] | None", make: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        if before is not None:
            await asyncio.wait((before,))
        self._making, self._next = self._next, None
        return await make()

    def _made(self, done: "asyncio.Task[Any]") -> None:
        if self._making is done:
            self._making = None  # it holds the answer
        if not done.cancelled():
            done.exception()  # looked at: all who asked may have gone


async def json_array(items: Iterable[T], show: Callable[[T], BaseModel]) -> bytes:
    """Return a JSON array of what is shown of each item."""
    left, pieces = iter(items), list[bytes]()
    while piece := [show(item).model_dump_json().encode() for item in islice(left, _PIECE)]:
        pieces += piece
        await asyncio.sleep(0)
    return b"[" + b",".join(pieces) + b"]"
