"""The whole service in a process of its own, on a PostgreSQL whose processes are stopped."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.crash.processes import Service, Simulator, serving
from tests.plugins.postgres import Postgres, running_postgres

IN_TIME_S = 15.0
"""The limit of 10 s, and a busy machine."""

FROM_MEMORY_S = 8.0
"""The 3 s that are promised, and a busy machine."""

STOPS_WITHIN_S = 40.0
"""Its 3 s to drain, and a few times the limit: what is asked last, and connections being made."""


@pytest.fixture
async def server() -> AsyncIterator[Postgres]:
    with running_postgres("-F -c max_connections=20 -c shared_buffers=16MB") as one:
        yield one


@pytest.fixture
async def perene(tmp_path: Path, simulator: Simulator, server: Postgres) -> AsyncIterator[Service]:
    url = server.url("postgres").replace("+psycopg", "")
    one = Service(tmp_path, simulator, url, PERENE_SHUTDOWN_TIMEOUT_S="3")
    async with serving(one):
        yield one


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.requirement("C1", "C16", "E8")
async def test_a_service_on_a_silent_database_answers_waits_and_goes_on(
    perene: Service, server: Postgres
) -> None:
    client = perene.http
    assert client is not None
    made = await client.post("/v1/sessions", json={"id": "rests", "start": False})
    assert made.json()["as_of"] is None
    async with client.stream("GET", "/v1/events?heartbeat_s=1") as stream:
        lines = aiter(stream.aiter_lines())
        await shown(lines, ": still here")
        with server.frozen():
            began = monotonic()
            remembered = await client.get("/v1/sessions")
            assert monotonic() - began <= FROM_MEMORY_S
            (session,) = remembered.json()["items"]
            assert (session["id"], session["connection"]) == ("rests", "stopped")
            assert session["as_of"] is not None
            began = monotonic()
            refused, _ = await asyncio.gather(client.get("/v1/alerts?state=all"), alive(client))
            assert monotonic() - began <= IN_TIME_S
            assert refused.status_code == 503
            assert refused.json()["code"] == "storage_unavailable"
            assert int(refused.headers["Retry-After"]) > 0
            assert "Idempotency-Key" in refused.json()["remedy"]
            await not_ready(client, lines)
        created = await once_it_is_back(client)
        assert created.status_code in (201, 409), "it may have been done before"
        assert "session.created" in await shown(lines, "event:")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.requirement("C13", "E6", "E8", "F1")
async def test_a_service_that_is_stopped_while_its_database_is_silent_ends_and_loses_nothing(
    perene: Service, simulator: Simulator, server: Postgres
) -> None:
    sender, reader = [await perene.pair(simulator, name) for name in ("sender", "reader")]
    await told(perene, "session.connected", times=2)
    with server.frozen():
        await simulator.send(sender, reader, "in the silence")
        began = monotonic()
        await perene.stop()
        assert monotonic() - began <= STOPS_WITHIN_S
    await perene.spawn()
    await perene.greeted()
    await told(perene, "session.connected", times=4)
    await simulator.send(sender, reader, "afterwards")
    await told(perene, "message.received", times=2, session="reader")
    messages = await perene.pages("/v1/sessions/reader/messages")
    assert sorted(message["text"] for message in messages) == ["afterwards", "in the silence"]


async def told(perene: Service, kind: str, *, times: int, session: str | None = None) -> None:
    """Wait until so many events of a type, of a session, have been told since the beginning."""
    assert perene.http is not None
    query = {"type": kind, "after": 0} | ({} if session is None else {"session": session})
    async with perene.http.stream("GET", "/v1/events", params=query) as stream:
        lines = aiter(stream.aiter_lines())
        for _ in range(times):
            await shown(lines, f"event: {kind}")


async def shown(lines: AsyncIterator[str], beginning: str) -> str:
    """Return the next line of a stream that begins so."""
    async with asyncio.timeout(2 * IN_TIME_S):
        async for line in lines:
            if line.startswith(beginning):
                return line
    raise AssertionError("the stream has ended")


async def alive(client: httpx.AsyncClient) -> None:
    """Look whether the service says at once that it lives."""
    began = monotonic()
    assert (await client.get("/health")).status_code == 200
    assert monotonic() - began < 5


async def not_ready(client: httpx.AsyncClient, lines: AsyncIterator[str]) -> None:
    """Look with every beat of a stream, until the service says that it can serve nobody."""
    async with asyncio.timeout(2 * IN_TIME_S):
        while (await client.get("/health/ready")).status_code != 503:
            await shown(lines, ": still here")
    health = (await client.get("/health")).json()
    assert health["status"] == "degraded"


async def once_it_is_back(client: httpx.AsyncClient) -> httpx.Response:
    """Create a session, as often as the answer says to try again; each takes its own time."""
    async with asyncio.timeout(2 * IN_TIME_S):
        while True:
            answer = await client.post("/v1/sessions", json={"id": "desk", "start": False})
            if answer.status_code != 503:
                return answer
