"""An encrypted channel of nodes over a transport: the handshake, then one node a frame."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from perene.core.causes import Ending, Kind, Local
from perene.core.clock import Clock
from perene.crypto import KeyPair
from perene.engine.errors import ConnectionEnded
from perene.engine.transport import SocketClosed, Transport
from perene.wire.codec import decode, encode
from perene.wire.errors import CertificateError, FrameError, NodeError, WireError
from perene.wire.frames import FrameReader, client_intro, frame
from perene.wire.node import Node
from perene.wire.noise import ClientHandshake, NoiseTransport

log = structlog.stdlib.get_logger()


async def _nothing() -> None:
    return


class Channel:
    """A channel whose handshake is done. One reader and any number of writers may use it.

    A frame that does not decrypt ends the connection with a classified error: there is no way to
    find the next one. What decrypts and is no node is passed over, as all three witnesses do
    (whatsmeow client.go `handleFrame`, whatsapp-rust src/client/node_io.rs, 2026-08-21; Baileys
    src/Socket/socket.ts, 2026-05-21): it would come again on each connection, and keep away what
    is behind it.
    """

    def __init__(self, transport: Transport, reader: FrameReader, noise: NoiseTransport) -> None:
        self._transport = transport
        self._reader = reader
        self._noise = noise
        self._frames: list[bytes] = []
        self._broken: ConnectionEnded | None = None
        self._sending = asyncio.Lock()
        self._given_up = False
        self.on_sent: Callable[[Node], None] | None = None
        self.on_part: Callable[[], None] | None = None
        """Called when something has come of a frame that is not whole yet."""
        transport.watch_parts(self._part_came)

    @classmethod
    async def open(
        cls,
        transport: Transport,
        *,
        static: KeyPair,
        root_key: bytes,
        payload: bytes,
        clock: Clock,
        routing_info: bytes | None,
        timeout_s: float,
        before_login: Callable[[], Awaitable[None]] = _nothing,
    ) -> "Channel":
        """Shake hands, and prove to the server who we are with `payload` (a ClientPayload).

        `timeout_s` is counted by the clock, for each of the two things that are sent. The transport
        is left open when this raises. `before_login` is waited for before the last of them, which
        logs in, and which the server takes for as good as any; what it raises comes out of here.
        """
        reader = FrameReader()
        handshake = ClientHandshake(static=static, root_key=root_key, now=clock.now())
        try:
            async with clock.limit(timeout_s):
                await transport.send(client_intro(routing_info) + frame(handshake.hello()))
                frames: list[bytes] = []
                while not frames:
                    frames = reader.receive_data(await transport.receive())
                finish = handshake.finish(frames[0], payload)
            await before_login()
            async with clock.limit(timeout_s):
                await transport.send(frame(finish))
        except TimeoutError as error:
            raise _ended(Local.HANDSHAKE_TIMEOUT, "The server did not shake hands.") from error
        except ConnectionError as error:
            raise _closed(error, "The socket closed in the handshake.") from error
        except CertificateError as error:
            raise _ended(Local.CERTIFICATE, str(error)) from error
        except WireError as error:
            raise _ended(Local.HANDSHAKE_FAILED, str(error)) from error
        channel = cls(transport, reader, handshake.transport)
        channel._frames = frames[1:]
        return channel

    @property
    def is_stuck(self) -> bool:
        """Whether the socket has not taken what was given to `send`."""
        return self._sending.locked() or self._given_up

    async def receive(self) -> list[Node]:
        """Wait for the next nodes: all that have arrived complete, in order, at least one.

        What came before something malformed is returned first; the next call raises.
        """
        while True:
            if self._broken is not None:
                raise self._broken
            frames, self._frames = self._frames, []
            nodes = self._open_frames(frames)
            if nodes:
                return nodes
            if self._broken is not None:
                continue
            try:
                data = await self._transport.receive()
            except ConnectionError as error:
                raise _closed(error, "The socket was closed.") from error
            try:
                self._frames = self._reader.receive_data(data)
            except FrameError as error:
                raise _ended(Local.MALFORMED, str(error)) from error
            if not self._frames:
                self._part_came()

    def _part_came(self) -> None:
        if self.on_part is not None:
            self.on_part()

    def _open_frames(self, frames: Sequence[bytes]) -> list[Node]:
        nodes: list[Node] = []
        for data in frames:
            try:
                nodes.append(decode(self._noise.decrypt(data)))
            except NodeError as error:
                log.warning("node_malformed", error=type(error).__name__, reason=str(error))
            except WireError as error:
                self._broken = _ended(Local.MALFORMED, f"A frame did not decrypt: {error}")
                break
        return nodes

    async def send(self, *nodes: Node) -> None:
        """Send nodes in order, a socket message each, as the web client does.

        The lock keeps the order of the cipher's counter and the order on the wire the same.
        """
        async with self._sending:
            try:
                for node in nodes:
                    await self._transport.send(frame(self._noise.encrypt(encode(node))))
                    if self.on_sent is not None:
                        self.on_sent(node)
                self._given_up = False
            except asyncio.CancelledError:
                self._given_up = True  # whoever sent has waited long enough
                raise
            except ConnectionError as error:
                raise _closed(error, "The socket was closed.") from error

    async def close(self) -> None:
        """Close the socket; the server hears a normal closure."""
        await self._transport.close()


def _closed(error: ConnectionError, sentence: str) -> ConnectionEnded:
    """Keep what the other side said of it, for people who look for the reason."""
    attributes: dict[str, str] = {}
    if isinstance(error, SocketClosed) and error.code is not None:
        attributes = {"close_code": str(error.code)}
        if error.reason:
            attributes["close_reason"] = error.reason
    return ConnectionEnded(
        Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED, sentence=sentence, attributes=attributes)
    )


def _ended(code: Local, sentence: str) -> ConnectionEnded:
    return ConnectionEnded(Ending(kind=Kind.LOCAL, code=code, sentence=sentence))
