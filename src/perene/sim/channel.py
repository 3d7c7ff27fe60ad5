"""The server's end of one byte stream: intro, Noise, frames, nodes. Sans-I/O.

docs/reference/protocol.md §1.1, §1.2 and §7.2.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from perene.crypto import KeyPair
from perene.wire.codec import decode, encode
from perene.wire.errors import BadIntro
from perene.wire.frames import FrameReader, IntroReader, frame
from perene.wire.node import Node
from perene.wire.noise import ClientFinish, NoiseTransport, ServerHandshake


class Link(Protocol):
    """A byte stream to a client: a WebSocket, or a pair of queues in memory."""

    @property
    def writable(self) -> bool:
        """Whether the client keeps up with what is written; writing is possible in any case."""
        ...

    def write(self, data: bytes) -> None:
        """Send one message; ignored after the end."""
        ...

    async def drained(self) -> None:
        """Return when the client keeps up again, or the stream has ended."""
        ...

    def close_link(self, *, abrupt: bool) -> None:
        """End the stream after what was written.

        Unless `abrupt`, leave the client the time to read a last stanza: some (Baileys) act on the
        end of the socket before they have looked at what came just before it.
        """
        ...


class Channel:
    """Turns bytes into a handshake and nodes, and nodes into bytes."""

    def __init__(self, link: Link, *, static: KeyPair, chain: bytes) -> None:
        self._link = link
        self._intro: IntroReader | None = IntroReader()
        self._frames = FrameReader()
        self._handshake = ServerHandshake(static=static, certificate_chain=chain)
        self._greeted = False
        self._transport: NoiseTransport | None = None
        self.routing_info: bytes | None = None
        self.is_edge_gone: Callable[[], bool] = lambda: False
        """Asked when a client comes by an edge; one that is gone knows nobody."""
        self.halves = 0
        """How many of the next frames are sent in two messages."""
        self.pairs = 0
        """How many of the next messages hold two frames each."""
        self._kept = b""

    @property
    def link(self) -> Link:
        """The stream under it."""
        return self._link

    @property
    def is_ready(self) -> bool:
        """Whether nodes can be sent."""
        return self._transport is not None

    def receive_data(self, data: bytes) -> Iterator[ClientFinish | Node]:
        """Take bytes of the client; yield the end of its handshake once, then its nodes.

        Raises a WireError for what no client should send; the stream must then be closed.
        """
        if self._intro is not None:
            intro = self._intro.receive_data(data)
            if intro is None:
                return
            self._intro = None
            self.routing_info = intro.routing_info
            if self.routing_info is not None and self.is_edge_gone():
                raise BadIntro("the edge is gone")
            data = intro.rest
        for payload in self._frames.receive_data(data):
            if self._transport is not None:
                yield decode(self._transport.decrypt(payload))
            elif self._greeted:
                finish = self._handshake.receive_finish(payload)
                self._transport = self._handshake.transport
                yield finish
            else:
                self._greeted = True
                self._link.write(frame(self._handshake.receive_hello(payload)))

    def send(self, node: Node) -> None:
        """Send a node."""
        self.send_encoded(encode(node))

    def send_encoded(self, encoded: bytes) -> None:
        """Send a node in its wire form; dropped before the handshake has ended."""
        transport = self._transport
        if transport is None:
            return
        data = frame(transport.encrypt(encoded))
        if self.halves or self.pairs or self._kept:
            self._send_cut(data)
        else:
            self._link.write(data)

    def _send_cut(self, data: bytes) -> None:
        if self.halves:
            self.halves -= 1
            middle = len(data) // 2
            self._link.write(self._kept + data[:middle])
            self._link.write(data[middle:])
            self._kept = b""
        elif self._kept:
            self.pairs -= 1
            self._link.write(self._kept + data)
            self._kept = b""
        else:
            self._kept = data

    def release(self) -> None:
        """Send a frame that still waits for a second one to share its message."""
        if self._kept:
            kept, self._kept = self._kept, b""
            self._link.write(kept)
