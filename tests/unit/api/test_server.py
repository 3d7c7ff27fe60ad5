"""The HTTP server on a real socket of this machine."""

import asyncio
import socket
from unittest.mock import AsyncMock

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from perene.api import HttpServer, create_app
from perene.core.errors import RefusedToStart
from tests.unit.api.fakes import KEY, Fakes
from tests.unit.api.test_turns import Rounds


def server(fakes: Fakes, port: int = 0, host: str = "127.0.0.1") -> HttpServer:
    app = create_app(fakes.ports())
    return HttpServer(app, host=host, port=port, streams=fakes.streams)


async def test_it_serves_on_a_free_port_until_stopped(fakes: Fakes):
    http = server(fakes)
    port = await http.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/health")).status_code == 200
        assert "server" not in (await client.get("/health")).headers
    await http.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_an_answer_on_a_kept_connection_waits_for_no_acknowledgement(fakes: Fakes):
    http = server(fakes)
    port = await http.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        # A new connection is acknowledged at once for a while; the delay would come after that.
        answers = [await client.get("/health") for _ in range(40)]
    await http.stop()
    # Held back, each would take 40 ms; a busy machine slows some of them, but not all.
    assert min(answer.elapsed.total_seconds() for answer in answers[20:]) < 0.03


async def test_stopping_ends_open_streams_at_once(fakes: Fakes):
    http = server(fakes)
    port = await http.start()
    async with (
        httpx.AsyncClient(headers={"X-Api-Key": KEY}) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/v1/events") as response,
    ):
        pieces = response.aiter_text()
        assert (await anext(pieces)).startswith(":")
        async with asyncio.timeout(5):
            await http.stop()
        assert [piece async for piece in pieces] == []
    assert fakes.streams.open == 0


@pytest.mark.requirement("C1")
async def test_a_connection_that_breaks_frees_its_stream(fakes: Fakes):
    fakes.gateway.add("one")
    http = server(fakes)
    port = await http.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\n\r\n".encode())
    await reader.readuntil(b"retry: 2000\n\n")
    await fakes.events.somebody_waits()
    writer.transport.abort()
    await fakes.events.nobody_waits()
    assert fakes.gateway.calls == []
    await http.stop()


async def test_a_port_that_is_taken_is_told_in_a_sentence(fakes: Fakes):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RefusedToStart, match=f"port {port}.*PERENE_PORT"):
            await server(fakes, port).start()


async def test_a_host_that_is_not_here_is_told_in_a_sentence(fakes: Fakes):
    with pytest.raises(RefusedToStart, match="PERENE_HOST"):
        await server(fakes, host="192.0.2.1").start()


async def test_a_server_that_cannot_begin_to_serve_is_not_waited_for(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
):
    bug = AsyncMock(side_effect=ValueError("no protocol"))
    monkeypatch.setattr("uvicorn.Server.startup", bug)
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="no protocol"):
            await server(fakes).start()


async def test_the_end_of_a_server_is_told_only_when_nobody_asked_for_it(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
):
    asked, fallen = server(fakes), server(fakes)
    for http in (asked, fallen):
        await http.start()
    await asked.stop()
    monkeypatch.setattr("uvicorn.Server.on_tick", AsyncMock(return_value=True))  # it is enough
    async with asyncio.timeout(5):
        await asked.ended()
        with pytest.raises(RuntimeError, match="ended by itself"):
            await fallen.ended()
        await fallen.stop()


@pytest.mark.requirement("C1")
async def test_requests_begin_in_turn_and_leave_sessions_as_long_as_they_took(fakes: Fakes):
    rounds = Rounds(busy_s=0.01)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await rounds(scope, receive, send)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    http = HttpServer(app, host="127.0.0.1", port=0, streams=fakes.streams, clock=rounds.clock)
    port = await http.start()
    lines = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    for _, writer in lines:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answers = asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in lines))
    for served in range(1, 5):
        await rounds.clock.until_asleep(0.01)
        assert len(rounds.begun) == served
        await rounds.clock.advance(0.01)
    await answers
    for _, writer in lines:
        writer.close()
    await http.stop()
