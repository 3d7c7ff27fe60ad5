"""A name has several addresses, and one leads nowhere: dials reach the server by another."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TypeVar

import pytest

from perene.core.causes import Local
from perene.engine.client_version import fetch_version
from perene.engine.endpoint import Endpoint
from perene.engine.errors import ConnectionEnded
from perene.engine.probe import ProbeResult, Trust, probe_endpoint
from perene.engine.transport import SocketTransport
from perene.process.dialling import Address
from perene.process.event_loop import TLS_WITHIN_S, EventLoop, Names
from perene.process.reputation import Reputation
from perene.sim import SimServer, Simulator, serve
from tests.scenario.test_transport import ConnectProxy, closed_port
from tests.support.listening import listening

T = TypeVar("T")

AT_ONCE_S = 5.0
"""Far more than a quarter of a second, and far less than the time limit of a dial."""


def at(port: int) -> Address:
    return socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)


def nowhere() -> Address:
    """An address that no machine can reach: no TCP connection leads to many at once."""
    return socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("ff02::1", 443, 0, 0)


@pytest.fixture
def hole() -> Iterator[Address]:
    """An address that takes no connection and refuses none: its queue is full."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        yield at(full.getsockname()[1])
        for one in waiting:
            one.close()


def live(
    scenario: Callable[[], Awaitable[T]],
    addresses: Callable[[], Sequence[Address]],
    *,
    reputation: Reputation | None = None,
    tls_within_s: float = TLS_WITHIN_S,
) -> T:
    """Run in the service's event loop, in which every name has these addresses."""

    async def run() -> T:
        return await scenario()

    names = Names(lambda *_: addresses())
    loop = EventLoop(names, reputation=reputation, tls_within_s=tls_within_s)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(run())


async def serving_tls(found: list[Address], folder: Path) -> tuple[SimServer, Endpoint]:
    """Serve by TLS at one more of the addresses that are found."""
    running = await serve(Simulator(seed=1), "127.0.0.1", 0, tls=True)
    found.append(at(running.port))
    authority = folder / "ca.pem"
    authority.write_bytes(running.simulator.certificate or b"")
    url = f"wss://web.whatsapp.com:{running.port}/ws/chat"
    return running, Endpoint(url=url, ca_file=str(authority))


@pytest.mark.requirement("C4")
def test_every_way_to_the_server_goes_round_a_black_hole(hole: Address, tmp_path: Path) -> None:
    found: list[Address] = [hole]

    async def scenario() -> tuple[str | None, ProbeResult]:
        running, endpoint = await serving_tls(found, tmp_path)
        trust = Trust(root_key=running.root_key, now=datetime.now(UTC))

        transport = await SocketTransport.dial(endpoint)
        tls = transport.tls
        await transport.close()
        probed = await probe_endpoint(endpoint, timeout_s=AT_ONCE_S, trust=trust)
        await fetch_version(
            f"https://web.whatsapp.com:{running.port}/sw.js",
            ca_file=endpoint.ca_file,
            timeout_s=AT_ONCE_S,
        )
        await running.close()
        return tls, probed

    began = monotonic()
    tls, probed = live(scenario, lambda: found)
    assert monotonic() - began < AT_ONCE_S
    assert tls == "TLSv1.3"
    assert probed.ok
    assert probed.connect_ms is not None


def test_a_proxy_is_reached_round_a_black_hole(hole: Address) -> None:
    found: list[Address] = [hole]
    proxy = ConnectProxy()

    async def scenario() -> None:
        running = await serve(Simulator(seed=1), "127.0.0.1", 0)
        async with listening(proxy.answer) as port:
            found.append(at(port))
            endpoint = Endpoint(url=running.ws_url, proxy="http://proxy.example:3128")
            transport = await SocketTransport.dial(endpoint)
            await transport.close()
        await running.close()
        assert proxy.targets == [f"127.0.0.1:{running.port}"]

    began = monotonic()
    live(scenario, lambda: found)
    assert monotonic() - began < AT_ONCE_S


async def refused(url: str, limit_s: float = AT_ONCE_S) -> ConnectionEnded:
    with pytest.raises(ConnectionEnded) as ended:
        await SocketTransport.dial(Endpoint(url=url, connect_timeout_s=limit_s))
    return ended.value


def test_one_address_refuses_and_another_is_out_of_reach() -> None:
    async def scenario() -> ConnectionEnded:
        return await refused("ws://chat.example/ws/chat")

    ended = live(scenario, lambda: [nowhere(), at(closed_port())])
    assert ended.ending.code == Local.REFUSED


def test_one_address_refuses_and_another_is_silent(hole: Address) -> None:
    async def scenario() -> ConnectionEnded:
        return await refused("ws://chat.example/ws/chat", limit_s=0.5)

    ended = live(scenario, lambda: [hole, at(closed_port())])
    assert ended.ending.code == Local.CONNECT_TIMEOUT


def test_a_server_whose_certificate_is_anothers_is_none_by_any_address() -> None:
    found: list[Address] = []

    async def scenario() -> ConnectionEnded:
        running = await serve(Simulator(seed=1), "127.0.0.1", 0, tls=True)
        found.extend([at(closed_port()), at(running.port)])
        ended = await refused(f"wss://chat.example:{running.port}/ws/chat")
        await running.close()
        return ended

    assert live(scenario, lambda: found).ending.code == Local.TLS


@pytest.fixture
def mute() -> Iterator[Address]:
    """An address that takes every connection, and never says a word on it."""
    with socket.socket() as one:
        one.bind(("127.0.0.2", 0))
        one.listen(16)
        yield socket.AF_INET, socket.SOCK_STREAM, 6, "", one.getsockname()


@pytest.mark.requirement("C4")
@pytest.mark.parametrize(("tls_within_s", "dial_within_s"), [(2.0, 90.0), (90.0, 0.2)])
def test_a_way_that_connects_and_carries_nothing_is_left_for_another(
    mute: Address, tmp_path: Path, tls_within_s: float, dial_within_s: float
) -> None:
    found: list[Address] = [mute]

    async def scenario() -> ConnectionEnded:
        running, endpoint = await serving_tls(found, tmp_path)
        with pytest.raises(ConnectionEnded) as ended:
            await SocketTransport.dial(replace(endpoint, connect_timeout_s=dial_within_s))
        for _ in range(3):
            transport = await SocketTransport.dial(endpoint)
            await transport.close()
        await running.close()
        return ended.value

    began = monotonic()
    reputation = Reputation(telling_s=0.1)
    first = live(scenario, lambda: found, reputation=reputation, tls_within_s=tls_within_s)
    assert monotonic() - began < AT_ONCE_S
    assert first.ending.code == Local.CONNECT_TIMEOUT


def test_a_server_that_carries_nothing_by_any_address_is_told_as_that(mute: Address) -> None:
    async def scenario() -> tuple[str, str]:
        url = "wss://chat.example/ws/chat"
        first = await refused(url)
        return first.ending.sentence, (await refused(url, limit_s=0.5)).ending.sentence

    first, second = live(scenario, lambda: [mute, mute], tls_within_s=0.1)
    assert first == "The connection was taken, but the TLS handshake got no further."
    # Not hurried any more: a way that is slow, and no black hole, must be given its time.
    assert second == "The server did not answer in time."


def test_dials_that_are_given_up_leave_no_socket(hole: Address) -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def scenario() -> None:
        before = held()
        for _ in range(20):
            await refused("ws://chat.example/ws/chat", limit_s=0.01)
        assert held() == before

    live(scenario, lambda: [hole, hole])
