"""A look at the way to the server, step by step, without logging in."""

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from perene.core.causes import Ending, Local
from perene.engine.errors import ConnectionEnded
from perene.engine.transport import Endpoint, SocketTransport
from perene.engine.unreachable import unreachable

_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}

_REMEDIES: Mapping[str, str] = {
    Local.DNS: "Check the host in PERENE_ENDPOINT and the name servers of this machine.",
    Local.REFUSED: "Check the port in PERENE_ENDPOINT, and that a server runs there.",
    Local.TLS: (
        "Check PERENE_TLS_CA_FILE and the clock of this machine; a proxy or firewall that opens"
        " TLS needs its authority there."
    ),
    Local.CONNECT_TIMEOUT: "Check that a firewall lets connections to the server out.",
    Local.PROXY: "Check PERENE_PROXY: its address, its name and password, and that it runs.",
    Local.HTTP_REFUSED: (
        "Check the path in PERENE_ENDPOINT; if it is right, the server refuses at the moment, or"
        " refuses this machine's address."
    ),
    Local.UNREACHABLE: "Check the network of this machine, and what lies between it and there.",
}


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


async def probe_endpoint(endpoint: Endpoint, *, timeout_s: float) -> ProbeResult:
    """Resolve, connect, and open a WebSocket; say where that ended. Never raises for the network.

    No byte of the Noise handshake is sent: the server sees a client that hangs up. `timeout_s`
    bounds each of the three steps.
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
    tls = transport.tls
    await transport.close()
    return replace(result, tls=tls, ok=True)


def _first_hop(endpoint: Endpoint) -> tuple[str, int]:
    parts = urlsplit(endpoint.proxy or endpoint.url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)


async def _resolve(target: tuple[str, int], timeout_s: float) -> float:
    """Return how long the name took, in milliseconds."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    async with asyncio.timeout(timeout_s):
        await loop.getaddrinfo(*target, type=socket.SOCK_STREAM)
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
