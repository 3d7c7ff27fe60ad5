"""Two services and one database: a number is connected in one place, whoever comes or goes."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.crash.processes import Service, Simulator
from tests.plugins.postgres import running_postgres

pytestmark = [
    pytest.mark.requirement("D9"),
    pytest.mark.slow,
    pytest.mark.timeout(120),
]

KEYS = (int.from_bytes(b"pere"), 1)
MASTER_KEY = "7e" * 32
PATIENCE_S = 60.0


class Place:
    """A simulator, a PostgreSQL database, and services that have only these in common."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self.conninfo = url.replace("+psycopg", "")
        self.simulator = Simulator(folder)
        self._folder = folder
        self._services: list[Service] = []

    def service(self, name: str, **variables: str) -> Service:
        """Return a service with a data directory of its own; it is not started."""
        folder = self._folder / name
        folder.mkdir()
        variables["PERENE_MASTER_KEY"] = MASTER_KEY
        service = Service(folder, self.simulator, self.url, **variables)
        self._services.append(service)
        return service

    async def close(self) -> None:
        """End every process."""
        for service in self._services:
            await service.close()
        await self.simulator.close()

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return connection.execute(query.encode(), values).fetchall()

    async def has_lock(self, *, granted: bool) -> bool:
        """Tell whether somebody has the lock, or waits for it."""
        query = "SELECT FROM pg_locks WHERE granted = %s AND classid = %s"
        return bool(await asyncio.to_thread(self.ask, query, granted, KEYS[0]))


@pytest.fixture
async def place(tmp_path: Path, postgres_url: str) -> AsyncGenerator[Place]:
    one = Place(tmp_path, postgres_url)
    await one.simulator.start()
    try:
        yield one
    finally:
        await one.close()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is true; each question takes its own time."""
    async with asyncio.timeout(PATIENCE_S):
        while not await true():
            pass


async def is_open(service: Service) -> bool:
    return (await service.ask("GET", "/v1/sessions/desk"))["connection"] == "open"


def logged(service: Service, event: str) -> list[dict[str, Any]]:
    lines = service.log.read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in found if line["event"] == event]


async def take_from_its_holder(place: Place) -> psycopg.AsyncConnection:
    """Wait in line for the lock, end the server's side of who has it, and so get it."""
    mine = await psycopg.AsyncConnection.connect(place.conninfo, autocommit=True)
    getting = asyncio.create_task(mine.execute("SELECT pg_advisory_lock(%s, %s)", KEYS))
    await until(lambda: place.has_lock(granted=False))
    ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE granted AND classid = %s"
    assert place.ask(ended, KEYS[0]) == [(True,)]
    await getting
    return mine


async def test_a_second_service_is_refused_and_the_first_does_not_feel_it(place: Place) -> None:
    first, second = place.service("first"), place.service("second")
    await first.start_first()
    await first.pair(place.simulator, "desk")
    await until(lambda: is_open(first))
    epochs = place.ask("SELECT epoch FROM sessions")

    await second.spawn()

    assert await second.ended() == 2
    said = second.log.read_text()
    assert "Another service holds postgresql" in said
    assert f"process {first.pid} on " in said
    assert "Stop that service" in said
    assert await is_open(first)
    assert place.ask("SELECT epoch FROM sessions") == epochs
    assert first.errors() == []


async def test_a_database_that_restarts_stays_with_its_service(tmp_path: Path) -> None:
    with running_postgres("-F -c max_connections=30 -c shared_buffers=16MB") as server:
        place = Place(tmp_path, server.url("postgres"))
        await place.simulator.start()
        try:
            # However long this machine takes to restart it: what is under way waits.
            patience = {"PERENE_SAVE_ATTEMPTS": "20", "PERENE_SAVE_TIMEOUT_S": "60"}
            first = place.service("first", **patience)
            second = place.service("second")
            await first.start_first()
            await first.pair(place.simulator, "desk")
            await until(lambda: is_open(first))
            epochs = place.ask("SELECT epoch FROM sessions")

            server.stop()
            server.start()
            await until(lambda: place.has_lock(granted=True))

            await second.spawn()
            assert await second.ended() == 2
            assert f"process {first.pid} on " in second.log.read_text()
            assert await is_open(first)
            assert place.ask("SELECT epoch FROM sessions") == epochs, "it was never let go"
            assert len(logged(first, "database_held_again")) == 1
        finally:
            await place.close()


async def test_a_service_that_was_killed_leaves_the_database_to_the_next(place: Place) -> None:
    first, second = place.service("first"), place.service("second")
    key = await first.start_first()
    await first.pair(place.simulator, "desk")
    await until(lambda: is_open(first))
    await first.kill()

    await second.spawn()
    await second.greeted()

    second.use(key)
    await until(lambda: is_open(second))


async def test_a_service_whose_database_was_taken_lets_go_in_order(place: Place) -> None:
    first, second = place.service("first"), place.service("second")
    key = await first.start_first()
    phone = await first.pair(place.simulator, "desk")
    await until(lambda: is_open(first))

    other = await take_from_its_holder(place)

    assert await first.ended() == 3
    assert "Another service took postgresql" in first.log.read_text()
    assert len(logged(first, "database_taken")) == 1
    assert logged(first, "not_drained_in_time") == []
    assert place.ask("SELECT desired FROM sessions") == [("running",)]
    rules = place.ask("SELECT rule FROM alerts WHERE resolved_at IS NULL")
    assert ("database_taken",) in rules
    assert place.ask("SELECT cause FROM outages WHERE cause = 'replaced'") == []

    [friend] = await place.simulator.ask("POST", "/contacts", json={"count": 1})
    await place.simulator.send(friend["phone"], phone, "Is anybody there?")
    await other.close()
    await second.spawn()
    await second.greeted()
    second.use(key)
    await until(lambda: is_open(second))

    async def has_it() -> bool:
        page = await second.ask("GET", "/v1/sessions/desk/messages")
        return [one["text"] for one in page["items"]] == ["Is anybody there?"]

    await until(has_it)
    assert second.errors() == []


async def test_a_service_that_stood_still_while_another_took_over_ends_once_it_wakes(
    place: Place,
) -> None:
    first, second = place.service("first"), place.service("second")
    key = await first.start_first()
    phone = await first.pair(place.simulator, "desk")
    await until(lambda: is_open(first))
    [friend] = await place.simulator.ask("POST", "/contacts", json={"count": 1})

    os.kill(first.pid, signal.SIGSTOP)
    try:
        await place.simulator.send(friend["phone"], phone, "Is anybody there?")
        # A stopped process keeps its connections; the server gives up those of a paused host.
        ended = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE granted AND classid = %s"
        )
        assert place.ask(ended, KEYS[0]) == [(True,)]
        await second.spawn()
        await second.greeted()
        second.use(key)
        await until(lambda: is_open(second))
    finally:
        os.kill(first.pid, signal.SIGCONT)

    assert await first.ended() == 3
    assert len(logged(first, "database_taken")) == 1
    await place.simulator.send(friend["phone"], phone, "And now?")

    async def has_both() -> bool:
        page = await second.ask("GET", "/v1/sessions/desk/messages")
        return sorted(one["text"] for one in page["items"]) == ["And now?", "Is anybody there?"]

    await until(has_both)
    assert await is_open(second)
    assert place.ask("SELECT cause FROM outages WHERE cause = 'replaced'") == []
    assert second.errors() == []
