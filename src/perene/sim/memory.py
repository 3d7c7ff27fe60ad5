"""A connection to the simulator inside the process: no sockets, no threads, no waiting."""

import asyncio
from collections import deque
from collections.abc import Callable

from perene.sim.connection import Connection

_KEEPS_UP = 1024
"""How many unread messages a client may have and still count as keeping up."""


class MemoryTransport:
    """A client's end. What it sends is dealt with before `send` returns."""

    def __init__(self) -> None:
        self._inbox: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._connection: Connection | None = None
        self._resume: list[asyncio.Future[None]] = []

    def attach(self, connection: Connection) -> None:
        """Say whose other end this is; called once, by the simulator."""
        self._connection = connection

    # --- the client's side ------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Send bytes; raises ConnectionError after the end."""
        if self._closed or self._connection is None:
            raise ConnectionError("the connection is closed")
        self._connection.receive_data(data)

    async def receive(self) -> bytes:
        """Return the next message; raises ConnectionError when there will be none."""
        while not self._inbox:
            if self._closed:
                raise ConnectionError("the connection is closed")
            self._arrived.clear()
            await self._arrived.wait()
        data = self._inbox.popleft()
        if self._resume and self.writable:
            waiting, self._resume = self._resume, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
        return data

    def watch_parts(self, call: Callable[[], None]) -> None:
        """As of the engine's transports: here all arrives whole, and there is nothing to call."""

    @property
    def pending(self) -> int:
        """How many messages `receive` returns without waiting."""
        return len(self._inbox)

    @property
    def is_closed(self) -> bool:
        """Whether either side has ended it; what the server sent before can still be read."""
        return self._closed

    async def close(self) -> None:
        """Leave; what was not read is lost."""
        if not self._closed:
            self._closed = True
            self._inbox.clear()
            self._arrived.set()
        if self._connection is not None:
            self._connection.lost()
        self._wake()

    # --- the simulator's side: a Link -------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether the client reads what it gets."""
        return len(self._inbox) < _KEEPS_UP

    async def drained(self) -> None:
        """Return when the client keeps up again, or is gone."""
        if not self.writable and not self._closed:
            future = asyncio.get_running_loop().create_future()
            self._resume.append(future)
            await future

    def write(self, data: bytes) -> None:
        """Put a message where the client finds it."""
        if not self._closed:
            self._inbox.append(data)
            self._arrived.set()

    def close_link(self, *, abrupt: bool) -> None:
        """End the stream: the client reads what is there, then ConnectionError."""
        self._closed = True
        self._arrived.set()
        self._wake()

    def _wake(self) -> None:
        waiting, self._resume = self._resume, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
