"""The network between Perene and the simulator, as broken as a test wants it, in virtual time."""

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum

from perene.engine.unreachable import unreachable
from perene.sim import MemoryTransport, Simulator
from perene.sim.connection import Connection
from tests.support.virtual_clock import VirtualClock

CONNECT_TIMEOUT_S = 90.0


class Weather(Enum):
    """What happens to those who dial."""

    FAIR = "fair"
    DOWN = "down"
    DNS_BROKEN = "dns broken"
    REFUSING = "refusing"
    TLS_BROKEN = "tls broken"
    STALLING_CONNECT = "stalling connect"
    STALLING_HANDSHAKE = "stalling handshake"


class Wire:
    """One connection to the simulator: it carries, it is cut, or its bytes vanish both ways."""

    def __init__(self, inner: MemoryTransport, server_side: Connection) -> None:
        self.server_side = server_side
        self.half_open = False
        self._inner = inner
        self._closed = asyncio.Event()

    async def send(self, data: bytes) -> None:
        if not self.half_open:
            await self._inner.send(data)
        elif self._closed.is_set():
            raise ConnectionResetError("the connection is closed")

    async def receive(self) -> bytes:
        try:
            while True:
                data = await self._inner.receive()
                if not self.half_open:
                    return data
        except ConnectionError:
            if self.half_open:
                await self._closed.wait()  # that the other side hung up is not heard either
            raise

    def write(self, data: bytes) -> None:
        """Let bytes arrive that the simulator never sent."""
        self._inner.write(data)

    async def close(self) -> None:
        """End the connection: both sides notice, unless its bytes vanish."""
        self._closed.set()
        await self._inner.close()


class Network:
    """Dials the simulator, and fails as a socket does: with the endings of `unreachable`."""

    def __init__(
        self,
        clock: VirtualClock,
        simulator: Simulator,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self.weather = Weather.FAIR
        self.dials: list[float] = []
        """When each dial began, by the monotonic clock."""
        self.handshakes: list[float] = []
        """When each connection was made."""
        self.wires: list[Wire] = []
        self._clock = clock
        self._simulator = simulator
        self._connect_timeout_s = connect_timeout_s
        self._changed = asyncio.Event()

    # --- what dials find --------------------------------------------------------------------------

    async def down(self) -> None:
        """Unplug the cable: connections are reset, and no address is reached."""
        self._turn(Weather.DOWN)
        await self.cut_all()

    def up(self) -> None:
        """Let dials succeed again."""
        self._turn(Weather.FAIR)

    def dns_broken(self) -> None:
        """Let names have no address; connections that stand are not concerned."""
        self._turn(Weather.DNS_BROKEN)

    def refuse(self) -> None:
        """Let nobody listen at the address."""
        self._turn(Weather.REFUSING)

    def tls_broken(self) -> None:
        """Let the certificate be nobody's we trust."""
        self._turn(Weather.TLS_BROKEN)

    def stall_connect(self) -> None:
        """Let dials get no answer until they time out."""
        self._turn(Weather.STALLING_CONNECT)

    def stall_handshake(self) -> None:
        """Let connections be made that carry nothing."""
        self._turn(Weather.STALLING_HANDSHAKE)

    @contextmanager
    def flap(self, every_s: float) -> Generator[None]:
        """Go down and up again in turns, each for `every_s` seconds, until the block ends."""
        task = asyncio.create_task(self._flap(every_s))
        try:
            yield
        finally:
            task.cancel()
            self.up()

    # --- connections that stand -------------------------------------------------------------------

    async def cut(self, phone: str) -> None:
        """Reset the newest connection of a number."""
        await self._wire(phone).close()

    async def cut_all(self) -> None:
        """Reset every connection."""
        wires, self.wires = self.wires, []
        for wire in wires:
            await wire.close()

    def half_open(self, phone: str) -> None:
        """Let the bytes of a number's newest connection vanish, both ways, from now on."""
        self._wire(phone).half_open = True

    # --- dialling ---------------------------------------------------------------------------------

    async def dial(self) -> Wire:
        """Make a connection, or raise ConnectionEnded as `SocketTransport.dial` does."""
        self.dials.append(self._clock.monotonic())
        if self.weather is Weather.STALLING_CONNECT:
            await self._stall()
        if (error := _error(self.weather)) is not None:
            raise unreachable(error, proxied=False) from error
        self.handshakes.append(self._clock.monotonic())
        transport = MemoryTransport()
        connection = self._simulator.accept(transport)
        transport.attach(connection)
        wire = Wire(transport, connection)
        wire.half_open = self.weather is Weather.STALLING_HANDSHAKE
        self.wires.append(wire)
        return wire

    async def _stall(self) -> None:
        changed = self._changed
        timeout = asyncio.ensure_future(self._clock.sleep(self._connect_timeout_s))
        change = asyncio.ensure_future(changed.wait())
        try:
            await asyncio.wait((timeout, change), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timeout.cancel()
            change.cancel()
        if not changed.is_set():
            raise unreachable(TimeoutError(), proxied=False)

    async def _flap(self, every_s: float) -> None:
        while True:
            await self._clock.sleep(every_s)
            if self.weather is Weather.FAIR:
                await self.down()
            else:
                self.up()

    def _turn(self, weather: Weather) -> None:
        self.weather = weather
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _wire(self, phone: str) -> Wire:
        session = self._simulator.service.gatekeeper.sessions[self._simulator.device(phone)]
        return next(wire for wire in self.wires if wire.server_side is session.connection)


def _error(weather: Weather) -> Exception | None:
    match weather:
        case Weather.DOWN:
            return OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        case Weather.DNS_BROKEN:
            return socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        case Weather.REFUSING:
            return ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        case Weather.TLS_BROKEN:
            error = ssl.SSLCertVerificationError(1, "certificate verify failed")
            error.verify_message = "self-signed certificate"
            return error
        case _:
            return None
