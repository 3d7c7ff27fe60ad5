"""Bytes to and from the server: a socket, and what a socket is to the engine."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from perene.engine.endpoint import Endpoint
from perene.engine.tls import SharedTls
from perene.engine.unreachable import unreachable

ORIGIN = "https://web.whatsapp.com"
"""The server expects the web client's origin (docs/reference/protocol.md §1.1)."""

MAX_SOCKET_MESSAGE = 2**24 + 2**16
"""One frame has at most 2**24 bytes; a socket message may hold parts of two."""


class Transport(Protocol):
    """An ordered, reliable stream in pieces. Pieces need not be frames.

    `receive` and `send` raise ConnectionError once the other side is gone.
    """

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes: ...

    async def close(self) -> None: ...

    def watch_parts(self, call: Callable[[], None]) -> None:
        """Call this whenever a part of a piece has come whose rest is still on its way."""
        ...


_TLS = SharedTls()


class _Upgrade(connect):
    """Asks for a WebSocket and follows no redirect: whoever sends one is not the chat server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Socket(ClientConnection):
    """Tells of the parts of a large message: on a slow link minutes go by until it is whole."""

    on_part: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Not of what is whole: pings of the WebSocket layer say nothing of the chat server.
        if self.on_part is not None and self.protocol.reader.buffer:
            self.on_part()


class SocketTransport:
    """A WebSocket, without compression: every frame is encrypted, and would not shrink."""

    def __init__(self, socket: _Socket) -> None:
        self._socket = socket

    @classmethod
    async def dial(cls, endpoint: Endpoint) -> "SocketTransport":
        """Open the socket, or raise ConnectionEnded: what kept it away is in `unreachable`."""
        tls = _TLS.of(endpoint)
        try:
            async with asyncio.timeout(endpoint.connect_timeout_s):
                socket = await _Upgrade(
                    endpoint.url,
                    origin=ORIGIN,  # pyright: ignore[reportArgumentType]  # a NewType of str
                    additional_headers={"Cache-Control": "no-cache", "Pragma": "no-cache"},
                    user_agent_header=None,
                    compression=None,
                    proxy=endpoint.proxy,
                    ssl=tls,
                    max_size=MAX_SOCKET_MESSAGE,
                    # Pings of the WebSocket layer prove nothing about the server behind it; the
                    # keepalive of the protocol does (docs/reference/protocol.md §1.7).
                    ping_interval=None,
                    close_timeout=2,
                    open_timeout=None,
                    create_connection=_Socket,
                )
        except (OSError, WebSocketException, ValueError) as error:
            raise unreachable(error, proxied=endpoint.proxy is not None) from error
        assert isinstance(socket, _Socket)
        return cls(socket)

    @property
    def tls(self) -> str | None:
        """The version of TLS around the socket, None if there is none."""
        found: object = self._socket.transport.get_extra_info("ssl_object")
        return found.version() if isinstance(found, ssl.SSLObject) else None

    async def send(self, data: bytes) -> None:
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise _closed(error) from error

    async def receive(self) -> bytes:
        try:
            data = await self._socket.recv(decode=False)
        except ConnectionClosed as error:
            raise _closed(error) from error
        return data

    async def close(self) -> None:
        await self._socket.close()

    def watch_parts(self, call: Callable[[], None]) -> None:
        self._socket.on_part = call


class SocketClosed(ConnectionResetError):
    """The WebSocket has ended; `code` and `reason` are the other side's, if it gave any."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__("the socket is closed")
        self.code = code
        self.reason = reason


def _closed(error: ConnectionClosed) -> SocketClosed:
    received = error.rcvd
    return SocketClosed(received.code if received else None, received.reason if received else "")
