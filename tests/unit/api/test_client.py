"""Clients that have come to a halt: they are let go of, and nobody else notices them."""

import asyncio
import select
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from perene.api import HttpServer, create_app
from perene.api.client import ClientConnection
from perene.core.events import EventType
from tests.unit.api.fakes import KEY, Fakes

SOON_S = 0.2
LONG = "x" * 60_000


class QuickToJudgeReaders(ClientConnection):
    """Whoever takes nothing is soon given up."""

    stuck_s = SOON_S


class QuickToJudgeWriters(ClientConnection):
    """Whoever says nothing is soon given up."""

    silent_s = SOON_S


@asynccontextmanager
async def serving(
    fakes: Fakes, connection: type[ClientConnection] = ClientConnection
) -> AsyncGenerator[int]:
    """Serve with such patience; gives the port."""
    http = HttpServer(
        create_app(fakes.ports()),
        host="127.0.0.1",
        port=0,
        streams=fakes.streams,
        connection=connection,
    )
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
async def test_a_stream_whose_reader_has_come_to_a_halt_keeps_no_socket(fakes: Fakes):
    fakes.streams.send_within_s = SOON_S
    for _ in range(200):
        await fakes.events.emit(EventType.MESSAGE_RECEIVED, text=LONG)
    async with serving(fakes, QuickToJudgeReaders) as port, connected(port) as sock:
        ask(sock, "/v1/events?after=0")
        assert await hung_up(sock)


@pytest.mark.requirement("C1")
async def test_an_answer_that_nobody_takes_is_not_kept(fakes: Fakes):
    for _ in range(200):
        await fakes.events.emit(EventType.MESSAGE_RECEIVED, text=LONG)
    async with serving(fakes, QuickToJudgeReaders) as port, connected(port) as sock:
        ask(sock, "/v1/events?after=0&format=json&limit=500")
        assert await hung_up(sock)


async def test_who_reads_slowly_gets_everything(fakes: Fakes):
    """Who takes a part between any two looks is slow, and not stuck."""
    looked = asyncio.Semaphore(0)

    class Looked(ClientConnection):
        stuck_s = 0.5

        def look(self, before: int) -> None:
            super().look(before)
            looked.release()

    for _ in range(300):
        await fakes.events.emit(EventType.MESSAGE_RECEIVED, text=LONG)
    whole, taken = 300 * len(LONG), 0
    async with serving(fakes, Looked) as port, connected(port) as sock:
        ask(sock, "/v1/events?after=0&format=json&limit=500")
        sock.setblocking(False)
        # Of the second half the system itself may hold the rest: nobody looks any more.
        for part in (0.1, 0.2, 0.3, 0.4, 0.5, 1):
            while taken < part * whole:
                piece = await asyncio.get_running_loop().sock_recv(sock, 65536)
                assert piece, "it was cut off"
                taken += len(piece)
            if part < 1:
                await looked.acquire()


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
async def test_who_does_not_finish_a_request_keeps_no_socket(fakes: Fakes, said: bytes):
    async with serving(fakes, QuickToJudgeWriters) as port, connected(port) as sock:
        sock.sendall(said)
        assert await hung_up(sock)


async def test_who_waits_for_an_answer_is_not_taken_for_silent(fakes: Fakes):
    class Hasty(ClientConnection):
        silent_s = 0.05

    async with serving(fakes, Hasty) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /v1/events?heartbeat_s=1 HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\n\r\n".encode()
        )
        async with asyncio.timeout(10):
            await reader.readuntil(b"still here")
        writer.close()
        await fakes.events.nobody_waits()
