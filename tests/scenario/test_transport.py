"""The engine's socket, on loopback: direct, through a proxy, and every way to fail."""

import asyncio
import errno
import itertools
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve

from perene.core.causes import Ending, Kind, Local
from perene.crypto import KeyPair
from perene.engine import probe
from perene.engine.channel import Channel
from perene.engine.endpoint import Endpoint
from perene.engine.errors import ConnectionEnded
from perene.engine.probe import Trust, is_reached, probe_endpoint
from perene.engine.transport import SocketTransport
from perene.sim import Simulator, serve
from perene.sim.server import SimServer
from tests.support.listening import Answer, listening
from tests.support.record import PATIENCE_S
from tests.support.virtual_clock import VirtualClock


class ConnectProxy:
    """An HTTP proxy that knows CONNECT, and remembers to where."""

    def __init__(self) -> None:
        self.targets: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = request.split()[1]
        self.targets.append(target)
        host, _, port = target.partition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        await far_writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    running = await serve(Simulator(seed=1), "127.0.0.1", 0)
    yield running
    await running.close()


async def test_a_connection_goes_through_the_proxy_that_is_set(server: SimServer) -> None:
    proxy = ConnectProxy()
    async with listening(proxy.answer) as port:
        url = f"http://127.0.0.1:{port}"
        transport = await SocketTransport.dial(Endpoint(url=server.ws_url, proxy=url))
        await transport.close()
    assert proxy.targets == [f"127.0.0.1:{server.port}"]


async def test_without_a_proxy_the_environment_is_not_asked(
    server: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    transport = await SocketTransport.dial(Endpoint(url=server.ws_url))
    await transport.close()


async def test_what_the_server_says_on_closing_is_kept() -> None:
    async def close(connection: ServerConnection) -> None:
        await connection.close(1011, "maintenance")

    async with websockets_serve(close, "127.0.0.1", 0) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        transport = await SocketTransport.dial(Endpoint(url=f"ws://127.0.0.1:{port}/ws/chat"))
        with pytest.raises(ConnectionEnded) as ended:
            await Channel.open(
                transport,
                static=KeyPair.generate(),
                root_key=bytes(32),
                payload=b"",
                clock=VirtualClock(),
                routing_info=None,
                timeout_s=60.0,
            )
        await transport.close()
    ending = ended.value.ending
    assert ending.code == Local.SOCKET_CLOSED
    assert ending.attributes == {"close_code": "1011", "close_reason": "maintenance"}


async def test_parts_of_what_is_not_whole_yet_are_told_and_nothing_else() -> None:
    size, parts = 300_000, 3
    may_go_on = asyncio.Event()

    async def trickle(connection: ServerConnection) -> None:
        await (await connection.ping())
        await connection.send(b"whole")
        await may_go_on.wait()
        connection.transport.write(b"\x82\x7f" + size.to_bytes(8, "big"))  # RFC 6455 §5.2
        for _ in range(parts - 1):
            may_go_on.clear()
            connection.transport.write(bytes(size // parts))
            await may_go_on.wait()
        connection.transport.write(bytes(size // parts))
        await connection.wait_closed()

    async with websockets_serve(trickle, "127.0.0.1", 0) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        transport = await SocketTransport.dial(Endpoint(url=f"ws://127.0.0.1:{port}/ws/chat"))
        told = 0

        def part() -> None:
            nonlocal told
            told += 1
            may_go_on.set()

        transport.watch_parts(part)
        assert await transport.receive() == b"whole"
        assert told == 0
        may_go_on.set()
        assert len(await transport.receive()) == size
        assert told >= parts - 1
        await transport.close()


def answering(status: str) -> Answer:
    """Answer every request with an HTTP status."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    return answer


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def talk_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example.org ESMTP\r\n\r\n")


async def talk_http_of_old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 404 Not Found\r\n\r\n")


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def closed_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def ending_of(endpoint: Endpoint) -> Ending:
    """How a dial ends; a look without a login must say the same."""
    with pytest.raises(ConnectionEnded) as ended:
        await SocketTransport.dial(endpoint)
    ending = ended.value.ending
    assert ending.kind is Kind.LOCAL
    probed = await probe_endpoint(endpoint, timeout_s=endpoint.connect_timeout_s)
    assert (probed.ok, probed.code, probed.problem) == (False, ending.code, ending.sentence)
    assert probed.remedy
    return ending


async def test_a_name_server_that_is_silent_is_not_taken_for_a_firewall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(*question: object, **more: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", hang)
    probed = await probe_endpoint(Endpoint(url="wss://chat.example/ws/chat"), timeout_s=0.01)
    assert (probed.ok, probed.code) == (False, Local.DNS)
    assert "name servers" in (probed.remedy or "")


@pytest.mark.parametrize(
    ("url", "proxy", "asked"),
    [
        ("ws://chat.example/ws", None, ("chat.example", 80)),
        ("wss://chat.example/ws", None, ("chat.example", 443)),
        ("wss://chat.example:5222/ws", None, ("chat.example", 5222)),
        ("wss://chat.example/ws", "http://proxy.example", ("proxy.example", 80)),
        ("ws://chat.example/ws", "https://proxy.example", ("proxy.example", 443)),
    ],
)
async def test_the_first_hop_is_looked_for_at_its_own_port(
    url: str, proxy: str | None, asked: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[object, ...]] = []

    async def unknown(*question: object, **more: object) -> None:
        found.append(question)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    assert not await is_reached(Endpoint(url=url, proxy=proxy), timeout_s=10)
    assert found == [asked]


async def test_each_step_of_a_look_is_timed_for_itself(
    server: SimServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = itertools.accumulate((100.0, 0.25, 100.0, 0.5))
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=lambda: next(at)))
    probed = await probe_endpoint(Endpoint(url=server.ws_url), timeout_s=10)
    assert (probed.dns_ms, probed.connect_ms, probed.tls) == (250.0, 500.0, None)
    assert probed.ok


async def test_a_look_leaves_no_connection_behind() -> None:
    gone = asyncio.Event()

    async def wait(connection: ServerConnection) -> None:
        await connection.wait_closed()
        gone.set()

    async with websockets_serve(wait, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        probed = await probe_endpoint(Endpoint(url=f"ws://127.0.0.1:{port}/"), timeout_s=10)
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
    assert probed.ok


async def test_a_closed_port_refuses() -> None:
    ending = await ending_of(Endpoint(url=f"ws://127.0.0.1:{closed_port()}/ws/chat"))
    assert ending.code == Local.REFUSED


async def test_a_name_with_several_addresses_refuses_when_they_do() -> None:
    ending = await ending_of(Endpoint(url=f"ws://localhost:{closed_port()}/ws/chat"))
    assert ending.code == Local.REFUSED


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EMFILE, Local.OPEN_FILES),
        (errno.ENFILE, Local.OPEN_FILES),
        (errno.ENOBUFS, Local.UNREACHABLE),  # to raise the limit of files would not help
    ],
)
async def test_a_machine_that_gives_no_socket_is_not_taken_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch, number: int, code: Local
) -> None:
    def none_left(*_: object, **__: object) -> socket.socket:
        raise OSError(number, "none left")

    monkeypatch.setattr(socket, "socket", none_left)
    ending = await ending_of(Endpoint(url="ws://127.0.0.1:9/ws/chat"))
    assert ending.code == code
    assert errno.errorcode[number] in ending.sentence


@pytest.mark.parametrize("host", ["chat.invalid", "a" * 70 + ".example"])
async def test_a_name_without_an_address_is_a_matter_of_dns(host: str) -> None:
    ending = await ending_of(Endpoint(url=f"ws://{host}/ws/chat"))
    assert ending.code == Local.DNS


async def test_a_server_without_tls_fails_in_tls() -> None:
    async with listening(talk_nonsense) as port:
        ending = await ending_of(Endpoint(url=f"wss://127.0.0.1:{port}/ws/chat"))
    assert ending.code == Local.TLS


async def test_a_certificate_is_refused_in_tls_unless_it_is_not_to_be_checked() -> None:
    running = await serve(Simulator(seed=1), "127.0.0.1", 0, tls=True)
    ending = await ending_of(Endpoint(url=running.ws_url))
    assert ending.code == Local.TLS
    assert "self-signed certificate" in ending.sentence
    unchecked = await SocketTransport.dial(Endpoint(url=running.ws_url, tls_verify=False))
    await unchecked.close()
    await running.close()


async def test_a_missing_file_of_authorities_fails_in_tls() -> None:
    endpoint = Endpoint(url="wss://127.0.0.1:9/ws/chat", ca_file="/nowhere.pem")
    with pytest.raises(ConnectionEnded, match="file of TLS authorities") as ended:
        await SocketTransport.dial(endpoint)
    assert ended.value.ending.code == Local.TLS


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_an_http_status_is_told(status: str) -> None:
    async with listening(answering(status)) as port:
        ending = await ending_of(Endpoint(url=f"ws://127.0.0.1:{port}/ws/chat"))
    assert ending.code == Local.HTTP_REFUSED
    assert ending.attributes == {"status": status[:3]}


@pytest.mark.parametrize(
    "answer",
    [
        "200 OK",
        "302 Found\r\nLocation: http://portal.example/login",
        "307 Temporary Redirect\r\nLocation: /ws/chat",
        "511 Network Authentication Required",
    ],
)
async def test_a_page_to_log_in_to_is_not_taken_for_the_server(answer: str) -> None:
    async with listening(answering(answer)) as port:
        ending = await ending_of(Endpoint(url=f"ws://127.0.0.1:{port}/ws/chat"))
    assert ending.code == Local.INTERCEPTED
    assert ending.attributes == {"status": answer[:3]}
    assert "in the server's place" in ending.sentence


async def upgrade_wrongly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")


async def test_a_silent_server_runs_into_the_time_limit() -> None:
    async with listening(stay_silent) as port:
        endpoint = Endpoint(url=f"ws://127.0.0.1:{port}/ws/chat", connect_timeout_s=0.3)
        ending = await ending_of(endpoint)
    assert ending.code == Local.CONNECT_TIMEOUT


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (hang_up, "The server hung up before it answered."),
        (talk_nonsense, "What answered does not speak HTTP/1.1."),
        (talk_http_of_old, "What answered does not speak HTTP/1.1."),
        (upgrade_wrongly, "What answered does not speak WebSocket."),
    ],
)
async def test_what_is_no_web_server_is_unreachable(answer: Answer, sentence: str) -> None:
    async with listening(answer) as port:
        ending = await ending_of(Endpoint(url=f"ws://127.0.0.1:{port}/ws/chat"))
    assert ending.code == Local.UNREACHABLE
    assert ending.sentence == sentence


async def test_a_proxy_that_nobody_serves_is_a_matter_of_the_proxy(server: SimServer) -> None:
    proxy = f"http://me:hunter2@127.0.0.1:{closed_port()}"
    ending = await ending_of(Endpoint(url=server.ws_url, proxy=proxy))
    assert ending.code == Local.PROXY
    assert "hunter2" not in ending.sentence


async def test_a_proxy_without_an_address_is_a_matter_of_the_proxy(server: SimServer) -> None:
    ending = await ending_of(Endpoint(url=server.ws_url, proxy="http://proxy.invalid:3128"))
    assert ending.code == Local.PROXY


async def test_a_proxy_that_refuses_tells_its_status(server: SimServer) -> None:
    async with listening(answering("407 Proxy Authentication Required")) as port:
        ending = await ending_of(Endpoint(url=server.ws_url, proxy=f"http://127.0.0.1:{port}"))
    assert ending.code == Local.PROXY
    assert ending.attributes == {"status": "407"}


async def test_a_look_at_a_good_endpoint_measures_the_way_and_logs_nobody_in(
    tmp_path: Path,
) -> None:
    running = await serve(Simulator(seed=1), "127.0.0.1", 0, tls=True)
    authority = tmp_path / "ca.pem"
    authority.write_bytes(running.simulator.certificate or b"")
    endpoint = Endpoint(url=running.ws_url, ca_file=str(authority))
    trust = Trust(root_key=running.root_key, now=datetime.now(UTC))
    found = await probe_endpoint(endpoint, timeout_s=10, trust=trust)
    await running.close()
    assert found.ok
    assert found.problem is None
    assert found.remedy is None
    assert found.tls == "TLSv1.3"
    assert found.dns_ms is not None
    assert found.connect_ms is not None
    assert not running.simulator.evidence.events


async def test_a_look_tells_a_server_that_cannot_prove_who_it_is(server: SimServer) -> None:
    trust = Trust(root_key=KeyPair.generate().public, now=datetime.now(UTC))
    found = await probe_endpoint(Endpoint(url=server.ws_url), timeout_s=10, trust=trust)
    assert (found.ok, found.code) == (False, Local.CERTIFICATE)
    assert found.remedy


@pytest.mark.parametrize(
    ("says", "code", "patience_s"),
    [
        (b"\x00\x00\x03odd", Local.HANDSHAKE_FAILED, 10.0),
        (b"", Local.SOCKET_CLOSED, 10.0),
        (None, Local.HANDSHAKE_TIMEOUT, 1.0),
    ],
)
async def test_a_look_tells_a_server_that_does_not_shake_hands(
    says: bytes | None, code: str, patience_s: float
) -> None:
    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        if says:
            await connection.send(says)
        if says is None:
            await connection.wait_closed()

    trust = Trust(root_key=KeyPair.generate().public, now=datetime.now(UTC))
    async with websockets_serve(answer, "127.0.0.1", 0) as server:
        endpoint = Endpoint(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        found = await probe_endpoint(endpoint, timeout_s=patience_s, trust=trust)
    assert (found.ok, found.code) == (False, code)
    assert found.tls is None


@pytest.mark.requirement("C3")
async def test_whether_a_server_takes_connections_is_told_by_the_first_hop(
    server: SimServer,
) -> None:
    nobody = f"http://127.0.0.1:{closed_port()}"
    reached = {
        "a server": Endpoint(url=server.ws_url),
        "a proxy": Endpoint(url="wss://nowhere.invalid/ws", proxy=f"http://{_host(server)}"),
    }
    unreached = {
        "a closed port": Endpoint(url=nobody.replace("http", "ws")),
        "a name without an address": Endpoint(url="wss://nowhere.invalid/ws"),
        "a proxy that is away": Endpoint(url=server.ws_url, proxy=nobody),
        "a port that can be none": Endpoint(url="wss://127.0.0.1:99999/ws"),
    }
    for what, endpoint in reached.items():
        assert await is_reached(endpoint, timeout_s=10), what
    for what, endpoint in unreached.items():
        assert not await is_reached(endpoint, timeout_s=10), what
    assert not server.simulator.evidence.events


def _host(server: SimServer) -> str:
    return urlsplit(server.ws_url).netloc
