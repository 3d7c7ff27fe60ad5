"""A look at the way to the server, step by step, without logging in."""

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from perene.core.causes import Ending, Local
from perene.crypto import KeyPair
from perene.engine.endings import local
from perene.engine.endpoint import Endpoint
from perene.engine.errors import ConnectionEnded
from perene.engine.transport import SocketTransport, Transport
from perene.engine.unreachable import unreachable
from perene.wire.errors import CertificateError, WireError
from perene.wire.frames import FrameReader, client_intro, frame
from perene.wire.noise import ClientHandshake

_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}

_REMEDIES: Mapping[str, str] = {
    Local.DNS: (
        "Check the host in PERENE_ENDPOINT, and the network and the name servers of this machine."
    ),
    Local.REFUSED: "Check the port in PERENE_ENDPOINT, and that a server runs there.",
    Local.TLS: (
        "Check PERENE_TLS_CA_FILE and the clock of this machine; a proxy or firewall that opens"
        " TLS needs its authority there, and a network that wants a login on a page of its own"
        " shows its own certificate until then."
    ),
    Local.CONNECT_TIMEOUT: "Check that a firewall lets connections to the server out.",
    Local.OPEN_FILES: "Raise the limit of open files: `ulimit -n`, or LimitNOFILE= of systemd.",
    Local.PROXY: "Check PERENE_PROXY: its address, its name and password, and that it runs.",
    Local.HTTP_REFUSED: (
        "Check the path in PERENE_ENDPOINT; if it is right, the server refuses at the moment, or"
        " refuses this machine's address."
    ),
    Local.INTERCEPTED: (
        "Log in to the network if it wants that on a page of its own; have a firewall or filter on"
        " the way let WhatsApp through; check the path in PERENE_ENDPOINT."
    ),
    Local.CERTIFICATE: (
        "Check PERENE_NOISE_ROOT_KEY, which a simulator prints when it starts and which WhatsApp"
        " needs not, PERENE_ENDPOINT, and the clock of this machine."
    ),
    Local.HANDSHAKE_FAILED: "Check that PERENE_ENDPOINT is WhatsApp's address, or a simulator's.",
    Local.HANDSHAKE_TIMEOUT: "Check that PERENE_ENDPOINT is WhatsApp's address, or a simulator's.",
    Local.UNREACHABLE: "Check the network of this machine, and what lies between it and there.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a server's certificate must lead to, and at what time it must be good."""

    root_key: bytes
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """How far the way to an endpoint could be gone.

    `dns_ms` and `connect_ms` are of the first hop, which is the proxy where there is one; None for
    what was not reached. `tls` is the version of TLS with the server. `problem` and `remedy` are
    sentences, None when all is well; `code` is then "", else a `Local` name.
    """

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls: str | None = None
    ok: bool = False
    code: str = ""
    problem: str | None = None
    remedy: str | None = None


async def probe_endpoint(
    endpoint: Endpoint, *, timeout_s: float, trust: Trust | None = None
) -> ProbeResult:
    """Resolve, connect, and open a WebSocket; say where that ended. Never raises for the network.

    With `trust` the server is asked to prove who it is, by the first half of the Noise handshake.
    No byte of the second half is sent, in which a client says who it is: the server sees somebody
    who hangs up. `timeout_s` bounds each step.
    """
    result = ProbeResult()
    try:
        target = _first_hop(endpoint)
        result = replace(result, dns_ms=await _resolve(target, timeout_s))
        result = replace(result, connect_ms=await _connect(target, timeout_s))
    except (OSError, ValueError) as error:  # the latter for a port or name that can be none
        failure = unreachable(error, proxied=endpoint.proxy is not None)
        return _failed(result, failure.ending)
    try:
        transport = await SocketTransport.dial(replace(endpoint, connect_timeout_s=timeout_s))
    except ConnectionEnded as ended:
        return _failed(result, ended.ending)
    result = replace(result, tls=transport.tls)
    try:
        if trust is not None:
            await _prove(transport, trust, timeout_s)
    except ConnectionEnded as ended:
        return _failed(result, ended.ending)
    finally:
        await transport.close()
    return replace(result, ok=True)


async def is_reached(endpoint: Endpoint, *, timeout_s: float) -> bool:
    """Tell whether the first hop to the server takes connections; not a byte is sent.

    Never raises for the network. `timeout_s` bounds each of the two steps, name and connection.
    """
    try:
        target = _first_hop(endpoint)
        await _resolve(target, timeout_s)
        await _connect(target, timeout_s)
    except (OSError, ValueError):
        return False
    return True


async def _prove(transport: Transport, trust: Trust, timeout_s: float) -> None:
    """Return when the server has shown its certificate; raise ConnectionEnded otherwise."""
    reader = FrameReader()
    handshake = ClientHandshake(static=KeyPair.generate(), root_key=trust.root_key, now=trust.now)
    try:
        async with asyncio.timeout(timeout_s):
            await transport.send(client_intro(None) + frame(handshake.hello()))
            frames: list[bytes] = []
            while not frames:
                frames = reader.receive_data(await transport.receive())
        handshake.finish(frames[0], b"")  # what it returns would go on; it is not sent
    except TimeoutError as error:
        raise local(Local.HANDSHAKE_TIMEOUT, "The server did not shake hands.") from error
    except ConnectionError as error:
        raise local(Local.SOCKET_CLOSED, "The socket closed in the handshake.") from error
    except CertificateError as error:
        sentence = f"The server did not prove that it is WhatsApp ({error})."
        raise local(Local.CERTIFICATE, sentence) from error
    except WireError as error:
        sentence = f"The server does not shake hands as WhatsApp does ({error})."
        raise local(Local.HANDSHAKE_FAILED, sentence) from error


def _first_hop(endpoint: Endpoint) -> tuple[str, int]:
    parts = urlsplit(endpoint.proxy or endpoint.url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)


async def _resolve(target: tuple[str, int], timeout_s: float) -> float:
    """Return how long the name took, in milliseconds."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            await loop.getaddrinfo(*target, type=socket.SOCK_STREAM)
    except TimeoutError as error:  # it is the name servers that are silent, and no firewall
        raise socket.gaierror(socket.EAI_AGAIN, "the resolver does not answer") from error
    return _since(began)


async def _connect(target: tuple[str, int], timeout_s: float) -> float:
    """Return how long a TCP connection took, in milliseconds; it is closed again."""
    began = time.perf_counter()
    async with asyncio.timeout(timeout_s):
        _, writer = await asyncio.open_connection(*target)
    took = _since(began)
    writer.transport.abort()
    return took


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def _failed(result: ProbeResult, ending: Ending) -> ProbeResult:
    return replace(
        result,
        code=ending.code,
        problem=ending.sentence,
        remedy=_REMEDIES.get(ending.code, _REMEDIES[Local.UNREACHABLE]),
    )
