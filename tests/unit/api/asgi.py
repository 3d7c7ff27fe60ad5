"""An ASGI client that reads an answer piece by piece, as slowly as a test wants."""

import asyncio
from typing import cast

from starlette.types import ASGIApp, Message

from tests.unit.api.fakes import KEY


class Stream:
    """One request whose answer is taken with `block`; the server waits until it is taken."""

    def __init__(self, app: ASGIApp, target: str, headers: dict[str, str] | None = None) -> None:
        path, _, query = target.partition("?")
        sent = {"X-Api-Key": KEY, "Accept": "text/event-stream"} | (headers or {})
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self._app = app
        self._sent: asyncio.Queue[Message] = asyncio.Queue(maxsize=1)
        self._gone = asyncio.Event()
        self._asked = False
        self._rest = b""
        self.status = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> "Stream":
        answering = self._app(self._scope, self._receive, self._sent.put)
        self._task = asyncio.ensure_future(answering)
        start = await self._next()
        self.status = start["status"]
        self.headers = {k.decode(): v.decode() for k, v in start["headers"]}
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.ended()

    def close(self) -> None:
        """Go away, as a closed browser does."""
        self._gone.set()

    async def ended(self) -> None:
        """Wait until the server has let go of the request, taking what it still sends."""
        while not self._task.done():
            taking = asyncio.ensure_future(self._sent.get())
            await asyncio.wait({taking, self._task}, return_when=asyncio.FIRST_COMPLETED)
            taking.cancel()
        await self._task

    async def let_go(self) -> None:
        """Take nothing, and wait until the server has lost its patience."""
        async with asyncio.timeout(10):
            await asyncio.wait({self._task})

    async def block(self) -> dict[str, str]:
        """Return the fields of the next block; a comment is the field ""."""
        while b"\n\n" not in self._rest:
            message = await self._next()
            assert message.get("more_body"), "the stream has ended"
            self._rest += message["body"]
        block, _, self._rest = self._rest.partition(b"\n\n")
        lines = (line.partition(": ") for line in block.decode().splitlines())
        return {name.removesuffix(":"): value for name, _, value in lines}

    async def event(self) -> dict[str, str]:
        """Return the fields of the next event, past comments."""
        while "data" not in (block := await self.block()):
            pass
        return block

    async def _next(self) -> Message:
        async with asyncio.timeout(10):
            return await self._sent.get()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return cast("Message", {"type": "http.request", "body": b"", "more_body": False})
        await self._gone.wait()
        return {"type": "http.disconnect"}
