"""The whole service in a process of its own, on a PostgreSQL whose processes are stopped."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.crash.processes import Program
from tests.plugins.postgres import Postgres, running_postgres

IN_TIME_S = 15.0
"""The limit of 10 s, and a busy machine."""

STOPS_WITHIN_S = 40.0
"""Its 20 s to drain, and twice the limit."""


@pytest.fixture
async def server() -> AsyncIterator[Postgres]:
    with running_postgres("-F -c max_connections=20 -c shared_buffers=16MB") as one:
        yield one


@pytest.fixture
async def perene(tmp_path: Path, server: Postgres) -> AsyncIterator[Program]:
    service = Program(
        tmp_path,
        "serve",
        greeting="serves at",
        PERENE_DATA_DIR=str(tmp_path / "data"),
        PERENE_DATABASE_URL=server.url("postgres").replace("+psycopg", ""),
        PERENE_PORT="0",
    )
    await service.spawn()
    try:
        await service.greeted()
        yield service
    finally:
        await service.kill()


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.requirement("C1", "C16", "E8")
async def test_a_service_on_a_silent_database_answers_waits_goes_on_and_can_be_stopped(
    perene: Program, server: Postgres
) -> None:
    url, key = perene.found(r"serves at (\S+)"), perene.found(r"\s(pk_\S+)")
    async with httpx.AsyncClient(
        base_url=url, headers={"X-Api-Key": key}, timeout=IN_TIME_S
    ) as client:
        async with client.stream("GET", "/v1/events?heartbeat_s=1") as stream:
            lines = aiter(stream.aiter_lines())
            await shown(lines, ": still here")
            with server.frozen():
                began = monotonic()
                refused, _ = await asyncio.gather(client.get("/v1/sessions"), alive(client))
                assert monotonic() - began <= IN_TIME_S
                assert refused.status_code == 503
                assert refused.json()["code"] == "storage_unavailable"
                assert int(refused.headers["Retry-After"]) > 0
                assert "Idempotency-Key" in refused.json()["remedy"]
                await not_ready(client)
                for _ in range(int(IN_TIME_S)):  # more than were sent before
                    await shown(lines, ": still here")
            created = await once_it_is_back(client)
            assert created.status_code in (201, 409), "it may have been done before"
            assert "session.created" in await shown(lines, "event:")
        with server.frozen():
            asked = asyncio.create_task(client.get("/v1/sessions"))
            await alive(client)
            began = monotonic()
            await perene.stop()
            assert monotonic() - began <= STOPS_WITHIN_S
            asked.cancel()
            await asyncio.wait((asked,))


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


async def not_ready(client: httpx.AsyncClient) -> None:
    """Wait until the service says that it can serve nobody; it looks every 15 s."""
    async with asyncio.timeout(2 * IN_TIME_S):
        while (await client.get("/health/ready")).status_code != 503:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.2)
    health = (await client.get("/health")).json()
    assert health["status"] == "degraded"


async def once_it_is_back(client: httpx.AsyncClient) -> httpx.Response:
    """Create a session, as often as the answer says to try again."""
    async with asyncio.timeout(2 * IN_TIME_S):
        while True:
            answer = await client.post("/v1/sessions", json={"id": "desk", "start": False})
            if answer.status_code != 503:
                return answer
            await asyncio.sleep(0.2)
