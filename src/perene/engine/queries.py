"""Questions to the server and their answers, matched by id."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping

from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.wire.node import Node

SERVER = "s.whatsapp.net"

QUERY_TIMEOUT_S = 60.0
"""facts/protocol.md §1.7: clients wait 60 to 75 s."""


class Queries:
    """The queries of one connection. `fail_all` ends every open one with the connection."""

    def __init__(self, send: Callable[[Node], Awaitable[None]], timeout_s: float) -> None:
        self._send = send
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
        attrs: Mapping[str, str] | None = None,
    ) -> Node:
        """Send an `<iq>` of `kind` "get" or "set" and return the server's `<iq type="result">`.

        Raises QueryFailed on an error answer, QueryTimedOut when none comes, ConnectionEnded when
        the connection goes first.
        """
        query_id = self.next_id()
        answer: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._open[query_id] = answer
        try:
            await self._send(
                Node(
                    "iq",
                    {"id": query_id, "xmlns": namespace, "type": kind, "to": to, **(attrs or {})},
                    content or None,
                )
            )
            async with asyncio.timeout(timeout_s or self._timeout_s):
                node = await answer
        except TimeoutError as error:
            raise QueryTimedOut(f"no answer to {namespace} {kind}") from error
        finally:
            self._open.pop(query_id, None)
        return _checked(node)

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
    code = error.attrs.get("code", "")
    raise QueryFailed(int(code) if code.isdecimal() else 0, error.attrs.get("text", ""))
