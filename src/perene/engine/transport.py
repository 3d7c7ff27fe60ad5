"""Bytes to and from the server: a socket, and what a socket is to the engine."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from perene.core.causes import Ending, Kind, Local
from perene.engine.errors import ConnectionEnded

ORIGIN = "https://web.whatsapp.com"
"""The server expects the web client's origin (facts/protocol.md §1.1)."""

MAX_SOCKET_MESSAGE = 2**24 + 2**16
"""One frame has at most 2**24 bytes; a socket message may hold parts of two."""


class Transport(Protocol):
    """An ordered, reliable stream in pieces. Pieces need not be frames.

    `receive` and `send` raise ConnectionError once the other side is gone.
    """

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the server is, and how to get there.

    `ca_file` names a PEM file to trust besides the system's own (the simulator's, in tests).
    `proxy` is an http:// or https:// URL that takes CONNECT; None makes a direct connection,
    whatever the environment says.
    """

    url: str
    proxy: str | None = None
    ca_file: str | None = None
    tls_verify: bool = True
    connect_timeout_s: float = 90.0


class SocketTransport:
    """A WebSocket, without compression: every frame is encrypted, and would not shrink."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def dial(cls, endpoint: Endpoint) -> "SocketTransport":
        """Open the socket, or raise ConnectionEnded(UNREACHABLE) with the reason."""
        try:
            async with asyncio.timeout(endpoint.connect_timeout_s):
                socket = await connect(
                    endpoint.url,
                    origin=ORIGIN,  # pyright: ignore[reportArgumentType]  # a NewType of str
                    additional_headers={"Cache-Control": "no-cache", "Pragma": "no-cache"},
                    user_agent_header=None,
                    compression=None,
                    proxy=endpoint.proxy,
                    ssl=_tls(endpoint),
                    max_size=MAX_SOCKET_MESSAGE,
                    # Pings of the WebSocket layer prove nothing about the server behind it; the
                    # keepalive of the protocol does (facts/protocol.md §1.7).
                    ping_interval=None,
                    close_timeout=2,
                    open_timeout=None,
                )
        except TimeoutError as error:
            raise _unreachable("no answer in time") from error
        except (OSError, WebSocketException, ValueError) as error:
            raise _unreachable(type(error).__name__) from error
        return cls(socket)

    async def send(self, data: bytes) -> None:
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise ConnectionResetError("the socket is closed") from error

    async def receive(self) -> bytes:
        try:
            data = await self._socket.recv(decode=False)
        except ConnectionClosed as error:
            raise ConnectionResetError("the socket is closed") from error
        return data

    async def close(self) -> None:
        await self._socket.close()


def _tls(endpoint: Endpoint) -> ssl.SSLContext | None:
    if not endpoint.url.startswith("wss:"):
        return None
    context = ssl.create_default_context()
    if endpoint.ca_file:
        context.load_verify_locations(endpoint.ca_file)
    if not endpoint.tls_verify:
        # The Noise certificate is checked in any case; TLS around it hides traffic, no more.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unreachable(reason: str) -> ConnectionEnded:
    return ConnectionEnded(
        Ending(
            kind=Kind.LOCAL,
            code=Local.UNREACHABLE,
            sentence=f"The server could not be reached ({reason}).",
        )
    )
