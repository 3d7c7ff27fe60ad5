"""The event loop of the service: names of hosts are looked up where nobody else waits for it."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from perene.store.threads import Threads

Address = tuple[Any, ...]
LookUp = Callable[..., Sequence[Address]]

_THREADS = 32
"""Different names at a time: the server's, and those of proxies."""

_LIMIT_S = 30.0
"""The resolver of a common system gives up before that."""


class Names:
    """Looks up each name once at a time, for all who ask, in threads that can be left behind.

    A resolver that hangs holds its thread until it gives up by itself, which nobody can hasten.
    asyncio's own threads, of which there are six on a small machine, would be taken by the first
    dials; whatever else needs one, the end of the service included, would wait for them.
    """

    def __init__(self, look_up: LookUp | None = None, *, limit_s: float = _LIMIT_S) -> None:
        self._look_up = look_up or _system
        self._limit_s = limit_s
        self._threads = Threads(_THREADS, "perene-names")
        self._asked: dict[tuple[object, ...], asyncio.Future[Sequence[Address] | OSError]] = {}

    async def find(self, *question: object) -> Sequence[Address]:
        """Return what `socket.getaddrinfo` does, or raise its error; in time in any case."""
        asked = self._asked.get(question)
        if asked is None:
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, self._ask, question)
            self._asked[question] = asked
            asked.add_done_callback(lambda _: self._asked.pop(question, None))
        try:
            async with asyncio.timeout(self._limit_s):
                found = await asyncio.shield(asked)
        except TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "the resolver does not answer") from None
        if isinstance(found, OSError):
            raise type(found)(*found.args)  # one of its own for everybody
        return found

    def _ask(self, question: tuple[object, ...]) -> Sequence[Address] | OSError:
        try:
            return self._look_up(*question)
        except OSError as error:
            return error


class EventLoop(asyncio.SelectorEventLoop):
    """An event loop that asks `Names`."""

    def __init__(self, names: Names | None = None) -> None:
        super().__init__()
        self._names = names or Names()

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  # as asyncio calls it
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        return await self._names.find(host, port, family, type, proto, flags)


def _system(*question: Any) -> Sequence[Address]:
    return socket.getaddrinfo(*question)
