"""Asked over HTTP how it is, while its database answers nothing: the service tells."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import httpx
import pytest

from perene.core.sessions import Connection as State
from perene.supervisor.desks.keys import Keyholder
from perene.supervisor.metrics import Metrics
from tests.support.api import api_over
from tests.support.storage import Health
from tests.support.watch import watched
from tests.support.world import DESK, World

SOON_S = 1.0
SESSIONS_SOON_S = 3.0
LIMIT_S = 10.0
REMEMBERED_FOR_S = 900.0
FROM_MEMORY = (
    "/health/detailed",
    "/metrics",
    "/v1/alerts",
    "/v1/sessions",
    f"/v1/sessions/{DESK}",
)

sick = pytest.mark.parametrize("health", [one for one in Health if one is not Health.WELL])


class Client:
    """Asks with a key, and lets as much time pass as the answer takes."""

    def __init__(self, world: World, http: httpx.AsyncClient) -> None:
        self._world = world
        self._http = http

    async def get(self, path: str, key: str) -> tuple[httpx.Response, float]:
        """Return the answer, and how many seconds it took."""
        asking = asyncio.create_task(self._http.get(path, headers={"X-Api-Key": key}))
        took = await self._world.pass_time(60, until=asking.done)
        return await asking, took

    async def post(self, path: str, key: str) -> tuple[httpx.Response, float]:
        """Do the same with a request that changes something."""
        asking = asyncio.create_task(self._http.post(path, headers={"X-Api-Key": key}))
        took = await self._world.pass_time(60, until=asking.done)
        return await asking, took

    async def connection(self, key: str) -> str:
        """Return the state of the one session, as the detailed health tells it."""
        answer, took = await self.get("/health/detailed", key)
        assert (answer.status_code, took <= SOON_S) == (200, True)
        (session,) = answer.json()["sessions"]
        return str(session["connection"])


@asynccontextmanager
async def served(world: World) -> AsyncGenerator[Client]:
    async with watched(world) as watch:
        metrics = Metrics()
        metrics.watch_sessions(watch.vitals.count)
        api = api_over(
            world.perene,
            keys=Keyholder(world.perene.store, world.clock, world.perene.retries),
            health=watch.vitals,
            metrics=metrics,
            alerts=watch.alerting,
        )
        transport = httpx.ASGITransport(api)
        async with httpx.AsyncClient(transport=transport, base_url="http://perene") as http:
            yield Client(world, http)
        # To end takes time, too, if something waits to be saved; and nobody lets it pass then.
        world.storage.recovers()
        await world.pass_time(120, until=lambda: world.perene.state() is State.OPEN)


@pytest.fixture
async def client(world: World) -> AsyncGenerator[Client]:
    async with served(world) as client:
        yield client


@sick
@pytest.mark.requirement("C16", "E8")
async def test_who_asked_before_an_outage_is_told_all_through_it_and_told_the_truth(
    world: World, client: Client, health: Health
) -> None:
    await world.user.pair()
    _, key = await world.perene.store.create_api_key("board")
    await world.pass_time(60)
    assert await client.connection(key) == "open"
    world.storage.falls_ill(health)
    await world.network.cut(DESK)
    await world.settled()
    assert await client.connection(key) in ("waiting", "connecting")
    for _ in range(8):
        await world.pass_time(100)
        for path in FROM_MEMORY:
            answer, took = await client.get(path, key)
            soon_s = SESSIONS_SOON_S if "sessions" in path else SOON_S
            assert (answer.status_code, took <= soon_s) == (200, True)
    detailed, _ = await client.get("/health/detailed", key)
    assert detailed.json()["status"] == "degraded"
    assert detailed.json()["sessions"][0]["connection"] in ("waiting", "connecting")
    metrics, _ = await client.get("/metrics", key)
    assert 'perene_sessions{state="open"} 0.0' in metrics.text
    alerts, _ = await client.get("/v1/alerts", key)
    assert "database_failing" in [alert["rule"] for alert in alerts.json()["items"]]
    world.storage.recovers()
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    assert await client.connection(key) == "open"


@sick
@pytest.mark.requirement("E8")
async def test_who_is_not_known_yet_or_not_any_more_is_told_nothing(
    world: World, client: Client, health: Health
) -> None:
    await world.user.pair()
    kept, key = await world.perene.store.create_api_key("board")
    revoked, revoked_key = await world.perene.store.create_api_key("left us")
    _, unused_key = await world.perene.store.create_api_key("never asked")
    assert kept.id != revoked.id
    for known in (key, revoked_key):
        assert (await client.get("/v1/sessions", known))[0].status_code == 200
    await world.perene.store.revoke_api_key(revoked.id)
    assert (await client.get("/v1/sessions", revoked_key))[0].status_code == 401
    world.storage.falls_ill(health)
    for path in FROM_MEMORY:
        for other in (revoked_key, unused_key, "pk_guessed"):
            answer, took = await client.get(path, other)
            assert (answer.status_code, took <= LIMIT_S) == (503, True)
            assert answer.json()["code"] == "storage_unavailable"
        answer, _ = await client.get(path, "")
        assert answer.status_code == 401
    for path in (f"/v1/sessions/{DESK}/outages", "/v1/events?format=json", "/v1/alerts?state=all"):
        answer, took = await client.get(path, key)
        assert (answer.status_code, took <= LIMIT_S) == (503, True)
    assert await client.connection(key) in ("open", "waiting", "connecting")
    await world.pass_time(REMEMBERED_FOR_S)
    assert (await client.get("/health/detailed", key))[0].status_code == 503
    world.storage.recovers()
    for asked in (key, unused_key):
        assert (await client.get("/health/detailed", asked))[0].status_code == 200
    for refused in (revoked_key, "pk_guessed"):
        assert (await client.get("/health/detailed", refused))[0].status_code == 401


@sick
@pytest.mark.requirement("E8")
async def test_a_key_that_was_revoked_unseen_passes_no_longer_than_the_outage(
    world: World, client: Client, health: Health
) -> None:
    await world.user.pair()
    revoked, key = await world.perene.store.create_api_key("left us")
    assert await client.connection(key) == "open"
    await world.perene.store.revoke_api_key(revoked.id)
    world.storage.falls_ill(health)
    assert await client.connection(key) == "open"
    world.storage.recovers()
    # The last question of who waited in vain may be out, and the next one comes 10 s later.
    await world.pass_time(LIMIT_S)
    assert (await client.get("/health/detailed", key))[0].status_code == 401


@sick
@pytest.mark.requirement("C16", "E8")
async def test_sessions_are_shown_without_a_database_and_how_old_the_stored_half_is(
    world: World, client: Client, health: Health
) -> None:
    await world.user.pair()
    read_at = world.clock.now()
    _, key = await world.perene.store.create_api_key("board")
    (before,) = (await client.get("/v1/sessions", key))[0].json()["items"]
    assert (before["connection"], before["desired"], before["as_of"]) == ("open", "running", None)
    await world.pass_time(60)
    world.storage.falls_ill(health)
    await world.network.cut(DESK)
    await world.settled()
    listed, took = await client.get("/v1/sessions", key)
    assert (listed.status_code, took <= SESSIONS_SOON_S) == (200, True)
    (session,) = listed.json()["items"]
    assert session["connection"] in ("waiting", "connecting")
    assert datetime.fromisoformat(session["as_of"]) == read_at
    for member in ("name", "desired", "phone", "lid", "paired", "created_at", "options"):
        assert session[member] == before[member]
    shown, took = await client.get(f"/v1/sessions/{DESK}", key)
    assert (shown.json()["as_of"], took <= SESSIONS_SOON_S) == (session["as_of"], True)
    assert (await client.get("/v1/sessions/nobody", key))[0].status_code == 503
    for action in ("start", "restart", "stop"):
        answer, took = await client.post(f"/v1/sessions/{DESK}/{action}", key)
        assert (answer.status_code, took <= LIMIT_S) == (503, True)
    world.storage.recovers()
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    assert (await client.get(f"/v1/sessions/{DESK}", key))[0].json()["as_of"] is None
    assert (await client.get("/v1/sessions/nobody", key))[0].status_code == 404


@sick
async def test_sessions_that_nobody_has_asked_for_are_shown_without_a_database(
    world: World, health: Health
) -> None:
    await world.user.pair()
    await world.perene.restart()
    await world.until(lambda: world.perene.all_open([DESK]), "the session")
    async with served(world) as client:
        _, key = await world.perene.store.create_api_key("board")
        assert await client.connection(key) == "open"
        world.storage.falls_ill(health)
        (session,) = (await client.get("/v1/sessions", key))[0].json()["items"]
        assert (session["id"], session["desired"], session["paired"]) == (DESK, "running", True)
        assert session["as_of"] is not None
