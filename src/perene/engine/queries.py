"""Questions to the server and their answers, matched by id."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from perene.core.clock import Clock
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.stanza import small_number
from perene.wire.node import Node

SERVER = "s.whatsapp.net"

_MAX_CODE = 999


class Queries:
    """The queries of one connection. `fail_all` ends every open one with the connection."""

    def __init__(
        self, send: Callable[[Node], Awaitable[None]], timeout_s: float, clock: Clock
    ) -> None:
        self._send = send
        self._clock = clock
        self._timeout_s = timeout_s
        self._open: dict[str, asyncio.Future[Node]] = {}
        # The real clients use a random prefix and a counter; only uniqueness matters.
        self._prefix = f"{secrets.randbelow(65536)}.{secrets.randbelow(65536)}-"
        self._count = 0

    def next_id(self) -> str:
        """Return an id that was not used on this connection."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    async def ask(
        self,
        namespace: str,
        kind: str,
        *content: Node,
        to: str = SERVER,
        timeout_s: float | None = None,
    ) -> Node:
        """Send an `<iq>` of `kind` "get" or "set" and return the server's `<iq type="result">`.

        Raises QueryFailed on an error answer, QueryTimedOut when none comes, ConnectionEnded when
        the connection goes first.
        """
        attrs = {"id": self.next_id(), "xmlns": namespace, "type": kind, "to": to}
        try:
            # The time counts from here: a socket that takes nothing more gives no answer either.
            async with self._clock.limit(timeout_s or self._timeout_s):
                return _checked(await self._exchange(Node("iq", attrs, content or None)))
        except TimeoutError as error:
            raise QueryTimedOut(f"no answer to {namespace} {kind}") from error

    async def _exchange(self, query: Node) -> Node:
        answer: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._open[query.attrs["id"]] = answer
        try:
            await self._send(query)
            return await answer
        finally:
            del self._open[query.attrs["id"]]

    def answered(self, node: Node) -> bool:
        """Take an `<iq>` as the answer to an open query; False if it is not one."""
        future = self._open.get(node.attrs.get("id", ""))
        if future is None or node.attrs.get("type") not in ("result", "error"):
            return False
        if not future.done():
            future.set_result(node)
        return True

    def fail_all(self, error: Exception) -> None:
        """End every open query with this error."""
        for future in self._open.values():
            if not future.done():
                future.set_exception(error)


def _checked(node: Node) -> Node:
    if node.attrs.get("type") != "error":
        return node
    error = node.child("error")
    if error is None:
        raise QueryFailed(0, "")
    code = small_number(error.attrs.get("code", ""), most=_MAX_CODE)
    raise QueryFailed(code or 0, error.attrs.get("text", ""))
