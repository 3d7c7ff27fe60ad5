"""A real PostgreSQL is restarted under a real service: nobody notices."""

import asyncio
from pathlib import Path

import pytest

from tests.crash.processes import Service, Simulator
from tests.plugins.postgres import Postgres, running_postgres

pytestmark = [
    pytest.mark.requirement("C1", "C8", "D9", "E8", "F1"),
    pytest.mark.slow,
    pytest.mark.timeout(180),
]

RESTARTS = 3
MESSAGES = 10
"""In each direction, while it restarts."""

LOOKS = [
    "/v1/sessions",
    "/v1/sessions/desk",
    "/v1/sessions/desk/messages",
    "/v1/sessions/desk/conversations",
    "/v1/sessions/desk/outages",
    "/v1/sessions/desk/account",
    "/v1/events",
    "/v1/alerts?state=all",
]

# However long a restart takes on this machine; the defaults, six seconds, are tried elsewhere.
PATIENCE = {"PERENE_SAVE_ATTEMPTS": "30", "PERENE_SAVE_TIMEOUT_S": "60"}
MASTER_KEY = {"PERENE_MASTER_KEY": "7e" * 32}


async def test_messages_go_and_come_requests_are_answered_and_the_connection_stays(
    tmp_path: Path,
) -> None:
    with running_postgres("-c max_connections=30 -c shared_buffers=16MB") as server:
        simulator = Simulator(tmp_path)
        await simulator.start()
        service = Service(tmp_path, simulator, server.url("postgres"), **PATIENCE, **MASTER_KEY)
        try:
            await service.start_first()
            phone = await service.pair(simulator, "desk")
            await service.connected("desk")
            body = {"id": "other", "start": False}
            await service.ask("POST", "/v1/sessions", json=body)
            [friend] = await simulator.ask("POST", "/contacts", json={"count": 1})
            expected = [
                text
                for number in range(RESTARTS)
                for text in await restarted(server, service, simulator, phone, friend, number)
            ]
            await stored(service, expected)
            assert [one["payload"] for one in await service.events("session.disconnected")] == []
            assert service.errors() == []
        finally:
            await service.close()
            await simulator.close()


async def restarted(
    server: Postgres,
    service: Service,
    simulator: Simulator,
    phone: str,
    friend: dict[str, str],
    number: int,
) -> list[str]:
    """Restart the server under messages in both directions; return their texts."""
    inbound = [f"in {number}.{one}" for one in range(MESSAGES)]
    outbound = [f"out {number}.{one}" for one in range(MESSAGES)]

    async def restart() -> None:
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)

    async def come() -> None:
        for text in inbound:
            await simulator.send(friend["phone"], phone, text)

    async def go() -> None:
        for text in outbound:
            body = {"to": friend["phone"], "text": text}
            await service.ask("POST", "/v1/sessions/desk/messages", json=body)

    async def look() -> None:
        for path in LOOKS:
            await service.ask("GET", path, headers={"Accept": "application/json"})
        await service.ask("POST", "/v1/sessions/other/stop")

    async def make_and_delete() -> None:
        for one in range(MESSAGES):
            name = f"s{number}-{one}"
            await service.ask("POST", "/v1/sessions", json={"id": name, "start": False})
            await service.ask("DELETE", f"/v1/sessions/{name}")

    async def lift() -> None:
        for _ in range(MESSAGES):
            await service.ask("DELETE", "/v1/sessions/desk/account/limit")

    await asyncio.gather(restart(), come(), go(), look(), make_and_delete(), lift())
    return inbound + outbound


async def stored(service: Service, expected: list[str]) -> None:
    """Return once these messages are there, each once; AssertionError when others are."""
    async with asyncio.timeout(60):
        while True:
            found = await service.pages("/v1/sessions/desk/messages", limit=100)
            texts = sorted(one["text"] for one in found)
            if len(texts) >= len(expected):
                assert texts == sorted(expected)
                return
