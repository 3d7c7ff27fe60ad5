"""The engine's socket, on loopback: direct, through a proxy, and where nobody answers."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from perene.core.causes import Local
from perene.engine.errors import ConnectionEnded
from perene.engine.transport import Endpoint, SocketTransport
from perene.sim import Simulator
from perene.sim.server import SimServer


class ConnectProxy:
    """An HTTP proxy that knows CONNECT, and remembers to where."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = request.split()[1]
        self.targets.append(target)
        host, _, port = target.partition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    running = await Simulator(seed=1).serve("127.0.0.1", 0)
    yield running
    await running.close()


async def test_a_connection_goes_through_the_proxy_that_is_set(server: SimServer) -> None:
    proxy = ConnectProxy()
    url = await proxy.start()
    transport = await SocketTransport.dial(Endpoint(url=server.ws_url, proxy=url))
    await transport.close()
    await proxy.stop()
    assert proxy.targets == [f"127.0.0.1:{server.port}"]


async def test_without_a_proxy_the_environment_is_not_asked(
    server: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    transport = await SocketTransport.dial(Endpoint(url=server.ws_url))
    await transport.close()


async def test_an_endpoint_that_nobody_serves_is_unreachable() -> None:
    with pytest.raises(ConnectionEnded) as ended:
        await SocketTransport.dial(Endpoint(url="ws://127.0.0.1:9/ws/chat"))
    assert ended.value.ending.code == Local.UNREACHABLE


async def test_a_proxy_that_nobody_serves_is_unreachable(server: SimServer) -> None:
    with pytest.raises(ConnectionEnded) as ended:
        await SocketTransport.dial(Endpoint(url=server.ws_url, proxy="http://127.0.0.1:9"))
    assert ended.value.ending.code == Local.UNREACHABLE
