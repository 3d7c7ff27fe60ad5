"""The event loop of the service: it waits for no resolver, no silent address, and hurries no timer.

Whatever stops everything for a while (a process that is stopped, a machine that swaps, a long
computation) makes every timer of that while due at once. asyncio would let them go off before it
looks at what has arrived meanwhile: every question under way would be given up, and its connection
with it, though the answer lies in the socket.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any

from perene.process.dialling import Address, first_connected, in_turn, is_literal
from perene.process.reputation import Reputation, place_of
from perene.process.threads import Threads

LookUp = Callable[..., Sequence[Address]]

_THREADS = 32
"""Different names at a time: the server's, and those of proxies."""

_LIMIT_S = 30.0
"""The resolver of a common system gives up before that."""

TLS_WITHIN_S = 30.0
"""How long a TLS handshake may take at an address that has not failed yet, if the name has others.
It is some 5 KB; at 64 kbit/s 30 s are enough for those of 40 sessions."""

_LATE_S = 1.0
"""A timer that is as late as this was due while everything stood still."""

_CATCH_UP_S = 0.25
"""Some turns of the loop, from the bytes in a socket to whoever waits for them."""

_PUT_OFF_TIMES = 10
"""A loop that stays late has too much to do: at last its timers go off all the same."""


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
    """An event loop that asks `Names`, and connects to the first address that answers (`dialling`),
    last to those that carry nothing (`reputation`). After standing still it lets everybody read
    first.
    """

    def __init__(
        self,
        names: Names | None = None,
        *,
        reputation: Reputation | None = None,
        tls_within_s: float = TLS_WITHIN_S,
    ) -> None:
        super().__init__()
        self._names = names or Names()
        self._reputation = reputation or Reputation()
        self._tls_within_s = tls_within_s

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        alarm = _Alarm(self, when, callback, args, context)
        alarm.handle = super().call_at(when, alarm, context=context)
        return alarm.handle

    def put_off(self, alarm: "_Alarm") -> None:
        """Have a late alarm go off a little later."""
        super().call_at(alarm.when, alarm, context=alarm.context)

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

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: Any = None,
        port: Any = None,
        *,
        ssl: Any = None,
        server_hostname: str | None = None,
        **options: Any,
    ) -> Any:
        """Connect as asyncio does, but to several addresses at a time where a name has several."""
        if host is None or is_literal(host) or options.get("local_addr") is not None:
            return await super().create_connection(
                protocol_factory, host, port, ssl=ssl, server_hostname=server_hostname, **options
            )
        question = {name: options.pop(name, 0) for name in ("family", "proto", "flags")}
        found = await self.getaddrinfo(host, port, type=socket.SOCK_STREAM, **question)
        one = await first_connected(*self._reputation.in_order(in_turn(found)))
        if not ssl:
            return await super().create_connection(protocol_factory, sock=one, **options)
        place = place_of(one)
        # Who has failed so before has its whole time: it may have been slow, and no other better.
        if len(found) > 1 and self._reputation.trusts(place):
            options.setdefault("ssl_handshake_timeout", self._tls_within_s)
        with self._reputation.learning(place):
            return await super().create_connection(
                protocol_factory,
                sock=one,
                ssl=ssl,
                server_hostname=host if server_hostname is None else server_hostname,
                **options,
            )


class _Alarm:
    """What a timer calls: at its time, or once the loop has caught up."""

    __slots__ = ("_args", "_callback", "_left", "_loop", "context", "handle", "when")

    def __init__(
        self,
        loop: EventLoop,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._args = args
        self._left = _PUT_OFF_TIMES
        self.when = when
        self.context = context
        self.handle: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        # It may have been cancelled since it was put off.
        if self.handle is not None and self.handle.cancelled():
            return
        now = self._loop.time()
        if self._left and now - self.when > _LATE_S:
            self._left -= 1
            self.when = now + _CATCH_UP_S
            self._loop.put_off(self)
            return
        self._callback(*self._args)


def _system(*question: Any) -> Sequence[Address]:
    return socket.getaddrinfo(*question)
