"""Bytes to and from the server: a socket, and what a socket is to the engine."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from perene.core.causes import Ending, Kind, Local
from perene.engine.errors import ConnectionEnded
from perene.engine.unreachable import unreachable

ORIGIN = "https://web.whatsapp.com"
"""The server expects the web client's origin (facts/protocol.md §1.1)."""

MAX_SOCKET_MESSAGE = 2**24 + 2**16
"""One frame has at most 2**24 bytes; a socket message may hold parts of two."""


_SHARED_FOR_S = 3600
"""How long a change of the system's authorities may go unnoticed; that of a named file does not."""


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
        """Open the socket, or raise ConnectionEnded: what kept it away is in `unreachable`."""
        tls = shared_tls(endpoint)
        try:
            async with asyncio.timeout(endpoint.connect_timeout_s):
                socket = await connect(
                    endpoint.url,
                    origin=ORIGIN,  # pyright: ignore[reportArgumentType]  # a NewType of str
                    additional_headers={"Cache-Control": "no-cache", "Pragma": "no-cache"},
                    user_agent_header=None,
                    compression=None,
                    proxy=endpoint.proxy,
                    ssl=tls,
                    max_size=MAX_SOCKET_MESSAGE,
                    # Pings of the WebSocket layer prove nothing about the server behind it; the
                    # keepalive of the protocol does (facts/protocol.md §1.7).
                    ping_interval=None,
                    close_timeout=2,
                    open_timeout=None,
                )
        except (OSError, WebSocketException, ValueError) as error:
            raise unreachable(error, proxied=endpoint.proxy is not None) from error
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


class SocketClosed(ConnectionResetError):
    """The WebSocket has ended; `code` and `reason` are the other side's, if it gave any."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__("the socket is closed")
        self.code = code
        self.reason = reason


def _closed(error: ConnectionClosed) -> SocketClosed:
    received = error.rcvd
    return SocketClosed(received.code if received else None, received.reason if received else "")


def tls_context(*, ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """Return a new context that trusts the system's authorities and those of a PEM file.

    Raises OSError for a file that cannot be read, ssl.SSLError for one without certificates.
    """
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    if not verify:
        # The Noise certificate is checked in any case; TLS around it hides traffic, no more.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def shared_tls(endpoint: Endpoint) -> ssl.SSLContext | None:
    """Return the context that every dial with this endpoint's trust shares, None without TLS.

    Raises ConnectionEnded when the endpoint's file of authorities cannot be used.
    """
    if not endpoint.url.startswith("wss:"):
        return None
    try:
        context = _shared_context(
            endpoint.ca_file,
            endpoint.tls_verify,
            None if endpoint.ca_file is None else _edition(endpoint.ca_file),
            int(time.monotonic() // _SHARED_FOR_S),
        )
    except OSError as error:
        sentence = f"The file of TLS authorities cannot be used ({type(error).__name__})."
        ending = Ending(kind=Kind.LOCAL, code=Local.TLS, sentence=sentence)
        raise ConnectionEnded(ending) from error
    if not context.cert_store_stats()["x509_ca"]:
        # Python says nothing of a file that it cannot open, as while no descriptor is left, or an
        # update replaces it. An hour of that is not to be shared with everybody.
        _shared_context.cache_clear()
    return context


@lru_cache(maxsize=4)
def _shared_context(
    ca_file: str | None, verify: bool, _edition: tuple[int, ...] | None, _period: int
) -> ssl.SSLContext:
    # Reading the system's authorities takes 20 to 80 ms: too long for every dial of a thousand.
    return tls_context(ca_file=ca_file, verify=verify)


def _edition(path: str) -> tuple[int, ...]:
    """Return what changes with a file's content."""
    found = Path(path).stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
