"""The connection of one HTTP client, who may be slow, but not stuck for ever.

Who has come to a halt, or died without a word, would otherwise keep a socket and what was written
for it until the service ends: uvicorn waits for a request, and for a reader, without a limit.
"""

import asyncio
import socket
import struct
from typing import ClassVar

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.stdlib.get_logger()

_AT_ONCE = struct.pack("ii", 1, 0)


class ClientConnection(H11Protocol):
    """uvicorn's connection with an end to each of its waits."""

    silent_s: ClassVar[float] = 60.0
    """Whose turn it is to speak has so long for the next bytes of a request."""

    stuck_s: ClassVar[float] = 60.0
    """Who is to read has so long to take anything of what was written."""

    _silence: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        # Whatever the system does not take at once is known here, and nothing is written behind it.
        transport.set_write_buffer_limits(high=0)
        self._listen()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to wait for any more."""
        self._hear()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        self._hear()
        super().data_received(data)
        if self._is_its_turn():
            self._listen()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The client has taken everything."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _is_its_turn(self) -> bool:
        """Tell whether a request has yet to come, or to be complete."""
        cycle = self.cycle
        if cycle is None:  # pyright: ignore[reportUnnecessaryComparison]  # before the first one
            return True
        return cycle.response_complete or cycle.more_body

    def _listen(self) -> None:
        self._silence = self.loop.call_later(self.silent_s, self._was_silent)

    def _hear(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

    def _was_silent(self) -> None:
        if self.flow.read_paused:  # it may have spoken, and was not listened to
            self._listen()
        else:
            self._give_up("sends_nothing")

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._stuck = self.loop.call_later(self.stuck_s, self.look, left)

    def look(self, before: int) -> None:
        """Give up who has taken nothing since so many bytes were left."""
        if self.transport.get_write_buffer_size() < before:
            self._watch_reader()
        else:
            self._give_up("takes_nothing")

    def _give_up(self, why: str) -> None:
        log.info("api_client_given_up", why=why)
        sock = self.transport.get_extra_info("socket")
        if sock is not None:  # else the system would keep what nobody takes
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()
