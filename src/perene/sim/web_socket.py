"""One WebSocket of a client: bytes of a transport in, a Link for the simulator out.

It is the sans-I/O server of `websockets` directly on the transport: no task, queue or compression
per message, because benchmarks push thousands per second through it.
"""

import asyncio
import logging
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from perene.sim.connection import Connection
from perene.sim.simulator import Simulator

PATH = "/ws/chat"
_MAX_MESSAGE = 1 << 25
"""Two of the largest frames there can be."""
_MISDIRECTED = 404
_GRACE_S = 0.25
"""How long a client has to read the last stanza and hang up by itself."""

_LOGGER = logging.getLogger("perene.sim.websocket")
_LOGGER.setLevel(logging.WARNING)  # it logs every byte at DEBUG, and bytes here are messages


class WebSocket(asyncio.Protocol):
    """A Link for the simulator; `sockets` are those that are connected."""

    def __init__(self, simulator: Simulator, sockets: set["WebSocket"]) -> None:
        self._simulator = simulator
        self._sockets = sockets
        self._protocol = ServerProtocol(max_size=_MAX_MESSAGE, logger=_LOGGER)
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._message = bytearray()
        self._paused = False
        self._closing: asyncio.TimerHandle | None = None
        self._waiting: list[asyncio.Future[None]] = []

    # --- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """uvicorn hands the transport over."""
        self._transport = cast("asyncio.Transport", transport)
        self._sockets.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client: the upgrade request first, then WebSocket frames."""
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                self._upgrade(event)
            else:
                self._take(cast("Frame", event))
        self._flush()

    def eof_received(self) -> None:
        """The client will send no more."""
        self._protocol.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._sockets.discard(self)
        self._transport = None
        if self._closing is not None:
            self._closing.cancel()
        self._wake()
        if self._connection is not None:
            self._connection.lost()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client keeps up again."""
        self._paused = False
        self._wake()

    # --- WebSocket --------------------------------------------------------------------------------

    def _upgrade(self, request: Request) -> None:
        protocol = self._protocol
        if request.path.partition("?")[0] != PATH:
            protocol.send_response(protocol.reject(_MISDIRECTED, f"the socket is at {PATH}\n"))
            return
        protocol.send_response(protocol.accept(request))
        if protocol.state is State.OPEN:
            self._connection = self._simulator.accept(self)

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            return  # pings and closing are answered by the protocol itself
        data = bytes(frame.data)
        if not frame.fin or self._message:
            self._message += data
            if not frame.fin:
                return
            data, self._message = bytes(self._message), bytearray()
        if self._connection is not None:
            self._connection.receive_data(data)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                transport.write(data)
            else:
                transport.close()
        if self._protocol.close_expected():
            transport.close()

    # --- Link -------------------------------------------------------------------------------------

    @property
    def writable(self) -> bool:
        """Whether the client reads what it gets."""
        return not self._paused

    async def drained(self) -> None:
        """Return when the client keeps up again, or is gone."""
        if self._paused and self._transport is not None:
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        else:
            # Let what the client has answered meanwhile come in.
            await asyncio.sleep(0)

    def write(self, data: bytes) -> None:
        """Send one binary message."""
        if self._transport is not None and self._protocol.state is State.OPEN:
            self._transport.write(_header(len(data)) + data)

    def close_link(self, *, abrupt: bool) -> None:
        """Close after what was written; unless `abrupt`, the client may do so first."""
        if abrupt:
            self._close()
        else:
            self._closing = asyncio.get_running_loop().call_later(_GRACE_S, self._close)

    def _close(self) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def _header(size: int) -> bytes:
    """Return the head of an unmasked binary frame (RFC 6455 §5.2).

    Written here because the protocol object would build and join four objects per frame.
    """
    if size < 126:
        return bytes((0x82, size))
    if size < 1 << 16:
        return b"\x82\x7e" + size.to_bytes(2)
    return b"\x82\x7f" + size.to_bytes(8)
