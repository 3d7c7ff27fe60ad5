"""The network between Perene and the simulator, as broken as a test wants it, in virtual time."""

import asyncio
import errno
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import Enum

from websockets.datastructures import Headers
from websockets.exceptions import InvalidProxyStatus, InvalidStatus
from websockets.http11 import Response

from perene.engine.unreachable import unreachable
from perene.sim import MemoryTransport, Simulator
from perene.sim.connection import Connection
from perene.sim.identity import ServerIdentity
from perene.wire.frames import frame
from tests.support.virtual_clock import VirtualClock


class Weather(Enum):
    """What happens to those who dial, and to the handshake of those who get through."""

    FAIR = "fair"
    DOWN = "down"
    DNS_BROKEN = "dns broken"
    REFUSING = "refusing"
    TLS_BROKEN = "tls broken"
    PROXY_REFUSING = "proxy refusing"
    HTTP_FORBIDDEN = "http 403"
    HTTP_RATE_LIMITED = "http 429"
    HTTP_REDIRECTED = "http 302"
    HTTP_UNAVAILABLE = "http 503"
    STALLING_CONNECT = "stalling connect"
    STALLING_HANDSHAKE = "stalling handshake"
    CLOSING_HANDSHAKE = "closing handshake"
    GARBLING_HANDSHAKE = "garbling handshake"
    IMPOSTOR = "impostor"


_UNREACHED = frozenset(
    {Weather.DOWN, Weather.DNS_BROKEN, Weather.REFUSING, Weather.STALLING_CONNECT}
)


class Wire:
    """One connection to the simulator: it carries, it is reset, or it only seems to carry.

    `half_open`: the bytes vanish both ways. `stuck`: they are not even taken any more.
    """

    def __init__(self, inner: MemoryTransport, server_side: Connection) -> None:
        self.server_side = server_side
        self.half_open = False
        self.stuck = False
        self.is_closed = False
        self.on_part: Callable[[], None] | None = None
        """To be called by whoever lets a part of something large arrive."""
        self._inner = inner
        self._closed = asyncio.Event()

    async def send(self, data: bytes) -> None:
        if self.stuck:
            await self._closed.wait()
        if not self._is_dead:
            await self._inner.send(data)
        elif self._closed.is_set():
            raise ConnectionResetError("the connection is closed")

    async def receive(self) -> bytes:
        try:
            while True:
                data = await self._inner.receive()
                if not self._is_dead:
                    return data
        except ConnectionError:
            if self._is_dead:
                await self._closed.wait()  # that the other side hung up is not heard either
            raise

    def write(self, data: bytes) -> None:
        """Let bytes arrive that the simulator never sent."""
        self._inner.write(data)

    def watch_parts(self, call: Callable[[], None]) -> None:
        self.on_part = call

    async def reset(self) -> None:
        """Let the network end the connection: both sides notice."""
        self._closed.set()
        await self._inner.close()

    async def close(self) -> None:
        """End the connection from Perene's side. A server behind a dead one does not hear of it."""
        self.is_closed = True
        self._closed.set()
        if not self._is_dead:
            await self._inner.close()

    @property
    def _is_dead(self) -> bool:
        return self.half_open or self.stuck


class _Handshaking(Wire):
    """A connection whose first words get the wrong answer: garbage, or none and the end."""

    def __init__(self, inner: MemoryTransport, server_side: Connection, answer: bytes) -> None:
        super().__init__(inner, server_side)
        self._answer = answer

    async def send(self, data: bytes) -> None:
        if self._answer:
            self.write(self._answer)
        else:
            await self.reset()


class Network:
    """Dials the simulator, and fails as a socket does: with the endings of `unreachable`.

    The weather is that of all sessions, or of one. A connection counts from the moment it is
    dialled until Perene has closed it.
    """

    def __init__(self, clock: VirtualClock, simulator: Simulator) -> None:
        self.weather = Weather.FAIR
        self.dials: list[float] = []
        """When each dial began, by the monotonic clock."""
        self.handshakes: list[float] = []
        """When each connection was made."""
        self.dialled_by: dict[str, list[float]] = {}
        """When each dial of a session began."""
        self.most_at_once: Counter[str] = Counter()
        """The most connections that a session ever had at the same time, dials included."""
        self.on_connection: Callable[[str, Connection], None] | None = None
        """Called with a session and the server's side of each connection that it makes."""
        self._wires: dict[str, list[Wire]] = {}
        self._dialling: Counter[str] = Counter()
        self._local: dict[str, Weather] = {}
        self._clock = clock
        self._simulator = simulator
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
        """Let dials get no answer."""
        self._turn(Weather.STALLING_CONNECT)

    def stall_handshake(self) -> None:
        """Let connections be made that carry nothing."""
        self._turn(Weather.STALLING_HANDSHAKE)

    def befall(self, session: str, weather: Weather) -> None:
        """Let the dials of one session find this weather, until `clear`."""
        self._local[session] = weather

    def clear(self, session: str) -> None:
        """Let a session have the weather of all."""
        self._local.pop(session, None)
        self._ring()

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

    def wire(self, session: str) -> Wire:
        """Return the connection of a session."""
        return self._open_wires(session)[-1]

    async def cut(self, session: str) -> None:
        """Reset the connection of a session."""
        await self.wire(session).reset()

    async def cut_all(self) -> None:
        """Reset every connection."""
        for session in list(self._wires):
            for wire in self._open_wires(session):
                await wire.reset()

    def half_open(self, session: str) -> None:
        """Let the bytes of a session's connection vanish, both ways, from now on."""
        self.wire(session).half_open = True

    def trickle(self, session: str) -> None:
        """Let a part of something arrive whose rest is still on its way."""
        part_came = self.wire(session).on_part
        assert part_came is not None
        part_came()

    def stick(self, session: str) -> None:
        """Let a session's connection take nothing more, and bring nothing."""
        self.wire(session).stuck = True

    def open_now(self, session: str) -> int:
        """Return how many connections a session has, dials included."""
        return self._dialling[session] + len(self._open_wires(session))

    def is_connected(self, session: str) -> bool:
        """Tell whether a session has a connection: a dial is none yet."""
        return bool(self._open_wires(session))

    async def is_reached(self) -> bool:
        """Tell whether a connection to the server can be made, as the weather of all is."""
        return self.weather not in _UNREACHED

    # --- dialling ---------------------------------------------------------------------------------

    async def dial(self, session: str) -> Wire:
        """Make a connection, or raise ConnectionEnded as `SocketTransport.dial` does."""
        began = self._clock.monotonic()
        self.dials.append(began)
        self.dialled_by.setdefault(session, []).append(began)
        self._dialling[session] += 1
        self.most_at_once[session] = max(self.most_at_once[session], self.open_now(session))
        try:
            wire = await self._dial(session)
            if self.on_connection is not None:
                self.on_connection(session, wire.server_side)
            self._wires.setdefault(session, []).append(wire)
        finally:
            self._dialling[session] -= 1
        return wire

    async def _dial(self, session: str) -> Wire:
        while self._weather_of(session) is Weather.STALLING_CONNECT:
            await self._changed.wait()
        weather = self._weather_of(session)
        if (error := _error(weather)) is not None:
            raise unreachable(error, proxied=weather is Weather.PROXY_REFUSING) from error
        self.handshakes.append(self._clock.monotonic())
        transport = MemoryTransport()
        connection = self._accept(transport, weather)
        transport.attach(connection)
        match weather:
            case Weather.CLOSING_HANDSHAKE:
                return _Handshaking(transport, connection, b"")
            case Weather.GARBLING_HANDSHAKE:
                return _Handshaking(transport, connection, frame(b"no handshake at all"))
            case _:
                wire = Wire(transport, connection)
                wire.half_open = weather is Weather.STALLING_HANDSHAKE
                return wire

    def _accept(self, transport: MemoryTransport, weather: Weather) -> Connection:
        if weather is not Weather.IMPOSTOR:
            return self._simulator.accept(transport)
        other = ServerIdentity.issue(now=self._clock.now(), root=None)
        return Connection(
            transport,
            world=self._simulator.world,
            gate=self._simulator.service.gatekeeper.admit,
            static=other.static,
            chain=other.chain,
        )

    def _weather_of(self, session: str) -> Weather:
        return self._local.get(session, self.weather)

    def _open_wires(self, session: str) -> list[Wire]:
        still = [wire for wire in self._wires.get(session, []) if not wire.is_closed]
        self._wires[session] = still
        return still

    async def _flap(self, every_s: float) -> None:
        while True:
            await self._clock.sleep(every_s)
            if self.weather is Weather.FAIR:
                await self.down()
            else:
                self.up()

    def _turn(self, weather: Weather) -> None:
        self.weather = weather
        self._ring()

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


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
        case Weather.PROXY_REFUSING:
            return InvalidProxyStatus(Response(407, "Proxy Authentication Required", Headers()))
        case Weather.HTTP_FORBIDDEN:
            return InvalidStatus(Response(403, "Forbidden", Headers()))
        case Weather.HTTP_REDIRECTED:
            return InvalidStatus(Response(302, "Found", Headers()))
        case Weather.HTTP_RATE_LIMITED:
            return InvalidStatus(Response(429, "Too Many Requests", Headers()))
        case Weather.HTTP_UNAVAILABLE:
            return InvalidStatus(Response(503, "Service Unavailable", Headers()))
        case _:
            return None
