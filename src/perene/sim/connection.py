"""One client's connection, from its first byte to its last."""

from collections.abc import Callable
from typing import Protocol

from perene.crypto import KeyPair
from perene.sim.channel import Channel, Link
from perene.sim.endings import Ending, last_word
from perene.sim.world import World
from perene.wire.errors import NodeError, WireError
from perene.wire.node import Node
from perene.wire.noise import ClientFinish


class Stage(Protocol):
    """What a connection is for, once its handshake has ended: pairing, or a session."""

    def receive(self, node: Node) -> None:
        """Take a stanza of the client. A WireError ends the connection."""
        ...

    def lost(self) -> None:
        """The connection has ended."""
        ...


Gate = Callable[["Connection", ClientFinish], Stage | None]
"""Decides what a client that has finished its handshake may do; None if it was refused."""


class Connection:
    """The server's side of one connection. Bytes go in here and out through the link."""

    def __init__(
        self, link: Link, *, world: World, gate: Gate, static: KeyPair, chain: bytes
    ) -> None:
        self.channel = Channel(link, static=static, chain=chain)
        self.channel.is_edge_gone = lambda: world.faults.take("lost_edge", None) is not None
        self.closed = False
        self.silent = False
        """Whether the server neither reads nor writes, as if the network had swallowed it."""
        self._world = world
        self._gate = gate
        self._stage: Stage | None = None

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the client, and do everything that follows from them."""
        if self.closed or self.silent:
            return
        try:
            for item in self.channel.receive_data(data):
                self._take(item)
                self._world.agenda.run()
                if self.closed:
                    return
        except NodeError:
            self._world.evidence.events["malformed_stanzas"] += 1
            self.end(Node("stream:error", {}, (Node("xml-not-well-formed"),)))
        except WireError:
            self._world.evidence.events["malformed_streams"] += 1
            self.end()
        self._world.agenda.run()
        self.channel.release()

    def _take(self, item: ClientFinish | Node) -> None:
        if isinstance(item, ClientFinish):
            self._stage = self._gate(self, item)
        elif self._stage is not None and not self.silent:
            self._stage.receive(item)

    def send(self, node: Node) -> None:
        """Send a stanza."""
        if not self.closed and not self.silent:
            self.channel.send(node)

    def send_encoded(self, encoded: bytes) -> None:
        """Send a stanza in its wire form."""
        if not self.closed and not self.silent:
            self.channel.send_encoded(encoded)

    def end(self, last: Node | None = None) -> None:
        """Send a last stanza, if any, and close."""
        if self.closed:
            return
        if last is not None:
            self.send(last)
        self.channel.release()
        self.closed = True
        self.channel.link.close_link(abrupt=last is None)
        self._leave()

    def end_by(self, how: Ending, code: int) -> None:
        """End in one of the server's ways; by `silence` the connection stays, and is dead."""
        if how == "silence":
            self.silent = True
        else:
            self.end(last_word(how, code))

    def lost(self) -> None:
        """The client is gone."""
        if not self.closed:
            self.closed = True
            self._leave()
            self._world.agenda.run()

    def _leave(self) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.lost()
