"""Clients that have come to a halt: they are let go of, and nobody else notices them."""

import asyncio
import select
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest

from perene.api import HttpServer, client, create_app, streams
from perene.core.events import EventType
from tests.unit.api.fakes import KEY, Fakes

SOON_S = 0.2
LONG = "x" * 60_000


@pytest.fixture
async def port(fakes: Fakes) -> AsyncIterator[int]:
    http = HttpServer(create_app(fakes.ports()), host="127.0.0.1", port=0, streams=fakes.streams)
    yield await http.start()
    await http.stop()
    assert fakes.streams.open == 0


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[socket.socket]:
    """Connect with a small window, so that little is on the way."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with sock:
        await asyncio.to_thread(sock.connect, ("127.0.0.1", port))
        yield sock


def ask(sock: socket.socket, path: str) -> None:
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\n\r\n".encode())


async def hung_up(sock: socket.socket) -> bool:
    """Wait until the server has ended the connection, without reading what it sent."""
    poll = select.poll()
    poll.register(sock, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
    return bool(await asyncio.to_thread(poll.poll, 10_000))


@pytest.mark.requirement("C1")
async def test_a_stream_whose_reader_has_come_to_a_halt_keeps_no_socket(
    fakes: Fakes, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "STUCK_S", SOON_S)
    monkeypatch.setattr(streams, "SEND_TIMEOUT_S", SOON_S)
    for _ in range(200):
        await fakes.events.emit(EventType.MESSAGE_RECEIVED, text=LONG)
    async with connected(port) as sock:
        ask(sock, "/v1/events?after=0")
        assert await hung_up(sock)


@pytest.mark.requirement("C1")
async def test_an_answer_that_nobody_takes_is_not_kept(
    fakes: Fakes, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "STUCK_S", SOON_S)
    for _ in range(200):
        await fakes.events.emit(EventType.MESSAGE_RECEIVED, text=LONG)
    async with connected(port) as sock:
        ask(sock, "/v1/events?after=0&format=json&limit=500")
        assert await hung_up(sock)


async def test_who_reads_slowly_gets_everything(
    fakes: Fakes, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "STUCK_S", 1.0)
    for _ in range(100):
        await fakes.events.emit(EventType.MESSAGE_RECEIVED, text=LONG)
    async with connected(port) as sock:
        ask(sock, "/v1/events?after=0&format=json&limit=500")
        sock.setblocking(False)
        loop, taken, began = asyncio.get_running_loop(), 0, asyncio.get_running_loop().time()
        while taken < 100 * len(LONG):
            taken += len(await loop.sock_recv(sock, 65536))
            slow_until = began + 2.5 * taken / (100 * len(LONG))
            await asyncio.sleep(slow_until - loop.time())  # slow is what this client is
        assert loop.time() - began > 2


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /health HT",
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + KEY.encode() + b"\r\n"
        b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"id":',
        b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
)
async def test_who_does_not_finish_a_request_keeps_no_socket(
    port: int, monkeypatch: pytest.MonkeyPatch, said: bytes
):
    monkeypatch.setattr(client, "SILENT_S", SOON_S)
    async with connected(port) as sock:
        sock.sendall(said)
        assert await hung_up(sock)


async def test_who_waits_for_an_answer_is_not_taken_for_silent(
    fakes: Fakes, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client, "SILENT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /v1/events?heartbeat_s=1 HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        await reader.readuntil(b"still here")
    writer.close()
    await fakes.events.nobody_waits()
