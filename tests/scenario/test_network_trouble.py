"""The network fails in every way, for long or again and again: the session lives through it."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from perene.core.events import EventType, Json
from perene.core.ids import SessionId
from perene.core.outages import Outage, OutageEnd
from perene.core.sessions import Connection as State
from perene.engine.keepalive import ANSWER_WITHIN_S
from tests.support.api import api_over
from tests.support.network import Network
from tests.support.world import DESK, World
from tests.unit.api.asgi import Stream
from tests.unit.api.fakes import KEY, FakeAlerts, FakeHealth, FakeKeys, FakeMetrics

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
WAITS = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, *[900] * 15)
"""Of the thirty attempts for ordinary network causes, before a person is asked (C5)."""
SLOWLY = 1800
"""Of every attempt after those."""
KEEPALIVE_S = 10.0
RECONNECTED_S = 5.0
"""From the end of a first connection to the next one being open, generously."""


@dataclass(slots=True)
class Desk:
    """A session with a stable connection, and Ana, who writes to it."""

    world: World
    phone: str
    ana: str
    sent: int = 0
    position: int = 0

    @property
    def network(self) -> Network:
        return self.world.network

    @property
    def dials(self) -> list[float]:
        """When each connection of the session was tried."""
        return self.network.dialled_by[DESK]

    @property
    def is_open(self) -> bool:
        return self.world.perene.state() is State.OPEN

    def write(self) -> None:
        """Let Ana send the next message."""
        self.sent += 1
        self.world.simulator.send_text(self.ana, self.phone, f"message {self.sent}")

    async def ends(self) -> Sequence[dict[str, Json]]:
        """Return what was told of every end since the beginning of the trouble."""
        told = await self.world.events.seen(EventType.SESSION_DISCONNECTED, since=self.position)
        return [dict(one.event.payload) for one in told]

    async def outages(self) -> Sequence[Outage]:
        """Return every outage, oldest first."""
        page = await self.world.perene.sessions.outages(DESK, cursor=None, limit=100)
        return list(reversed(page.items))

    async def has_everything_once(self) -> None:
        """Check that every message of Ana is stored once, in order, and answered."""
        await self.world.pass_time(31)
        assert self.is_open
        expected = [f"message {number}" for number in range(1, self.sent + 1)]
        assert await self.world.stored.texts() == expected
        assert len(self.world.server.device(self.phone).mailbox) == 0
        assert self.network.most_at_once[DESK] == 1
        assert self.world.simulator.evidence.events["pairings"] == 1


@pytest.fixture
async def desk(world: World) -> Desk:
    phone = await world.user.pair()
    await world.pass_time(31)
    ana = world.simulator.add_contact(name="Ana").account.phone
    one = Desk(world=world, phone=phone, ana=ana)
    one.write()
    await world.pass_time(1)
    one.position = await world.events.now()
    return one


def assert_schedule(times: Sequence[float], waits: Sequence[float], *, each_s: float = 0) -> None:
    """Check the times between attempts; each took `each_s` before it failed."""
    gaps = [after - before - each_s for before, after in pairwise(times)]
    assert len(gaps) <= len(waits)
    for number, (gap, wait) in enumerate(zip(gaps, waits, strict=False)):
        assert 0.9 * wait - 0.01 <= gap <= 1.1 * wait + 0.01, (number, gap, wait)


@pytest.mark.requirement("C3", "C5", "C13", "D5", "D6")
@pytest.mark.timeout(120)
async def test_three_days_without_a_network_are_survived_without_a_storm(desk: Desk) -> None:
    world, began = desk.world, desk.world.clock.monotonic()
    before = len(desk.dials)
    await desk.network.down()
    for _ in range(9):
        desk.write()
        await world.pass_time(8 * HOUR)

    attempts = desk.dials[before:]
    assert_schedule([began, *attempts], [*WAITS, *[SLOWLY] * 200])
    assert 160 <= len(attempts) <= 200
    assert world.perene.state() is State.WAITING
    (outage,) = await desk.outages()
    assert (outage.cause.value, outage.ended_at) == ("network", None)
    assert outage.attempts == len(attempts)
    assert outage.last_cause.value == "unreachable"
    assert len(await world.events.seen(EventType.SESSION_NEEDS_ATTENTION, since=desk.position)) == 1

    desk.network.up()
    took = await world.pass_time(HOUR, until=lambda: desk.is_open)
    assert took <= 1.1 * SLOWLY
    desk.write()
    await desk.has_everything_once()
    (outage,) = await desk.outages()
    assert outage.end is OutageEnd.RECOVERED

    position = await world.events.now()
    await desk.network.cut(DESK)
    again = await world.events.wait(EventType.SESSION_DISCONNECTED, since=position)
    assert again.event.payload["attempt"] == 1, "the count begins anew"


@pytest.mark.requirement("C5", "C13", "D6", "D9")
@pytest.mark.timeout(120)
async def test_a_network_that_flaps_for_a_day_makes_no_storm_and_loses_nothing(desk: Desk) -> None:
    world, began = desk.world, desk.world.clock.monotonic()
    before = len(desk.dials)
    with desk.network.flap(20):
        for _ in range(48):
            desk.write()
            await world.pass_time(HOUR / 2)
    attempts = desk.dials[before:]

    # The connection is up for 20 s at most, which is not stable: no count begins anew.
    ends = await desk.ends()
    assert [end["attempt"] for end in ends] == list(range(1, len(ends) + 1))
    floors = [0.9 * wait for wait in (*WAITS, *[SLOWLY] * len(ends))]
    for gap, floor in zip([b - a for a, b in pairwise(attempts)], floors[1:], strict=False):
        assert gap >= floor - 0.01
    assert len(attempts) <= len(WAITS) + DAY / (0.9 * SLOWLY)
    assert attempts[-1] > began + DAY - 2 * SLOWLY, "it never gave up"

    await world.pass_time(HOUR, until=lambda: desk.is_open)
    await desk.has_everything_once()
    assert [one.end for one in await desk.outages()] == [OutageEnd.RECOVERED]


@pytest.mark.requirement("D6")
@pytest.mark.parametrize(("up_s", "attempt"), [(29, 2), (31, 1)])
async def test_only_a_stable_connection_begins_a_new_count(
    desk: Desk, up_s: float, attempt: int
) -> None:
    await desk.network.cut(DESK)
    await desk.world.pass_time(MINUTE, until=lambda: not desk.is_open)
    await desk.world.pass_time(MINUTE, until=lambda: desk.is_open)
    await desk.world.pass_time(up_s)
    await desk.network.cut(DESK)
    await desk.world.pass_time(0.5)
    assert (await desk.ends())[-1]["attempt"] == attempt


@pytest.mark.requirement("C4", "E6")
async def test_a_service_that_starts_without_names_connects_when_there_are_some(
    desk: Desk,
) -> None:
    world, fresh = desk.world, SessionId("fresh")
    await world.perene.stop()
    desk.write()
    desk.network.dns_broken()
    before, began = len(desk.dials), world.clock.monotonic()
    await world.perene.start()
    await world.user.create(fresh)
    await world.pass_time(10 * MINUTE)

    assert world.perene.state() is State.WAITING
    assert {str(end["cause"]) for end in await desk.ends()} == {"service_ended", "dns"}
    assert_schedule(desk.dials[before:], WAITS)
    assert desk.dials[before] < began + 1, "the first attempt was made at once"
    view = await world.perene.sessions.session(DESK)
    assert view.record.has_credentials
    assert view.outlook.retry_at is not None

    desk.network.up()
    await world.pass_time(
        900,
        until=lambda: desk.is_open and world.perene.live(fresh).qr is not None,
    )
    assert world.perene.state(fresh) is State.PAIRING
    await desk.has_everything_once()
    assert await world.events.seen(EventType.SESSION_NEEDS_PAIRING, since=desk.position) == []


Trouble = Callable[[Network], None]


@pytest.mark.requirement("C3", "C5", "D5")
@pytest.mark.parametrize(
    ("trouble", "cause", "each_s"),
    [
        (Network.refuse, "unreachable", 0),
        (Network.tls_broken, "tls", 0),
        (Network.dns_broken, "dns", 0),
        (Network.stall_connect, "unreachable", 90),
        (Network.stall_handshake, "handshake_timeout", 20),
    ],
    ids=["refused", "tls", "dns", "stalled connect", "stalled handshake"],
)
async def test_a_server_that_cannot_be_reached_is_tried_by_the_schedule(
    desk: Desk, trouble: Trouble, cause: str, each_s: float
) -> None:
    world = desk.world
    before = len(desk.dials)
    trouble(desk.network)
    await desk.network.cut(DESK)
    began = world.clock.monotonic()
    desk.write()
    await world.pass_time(30 * MINUTE)

    attempts = desk.dials[before:]
    assert_schedule([began - each_s, *attempts], WAITS, each_s=each_s)
    first, *others = [str(end["cause"]) for end in await desk.ends()]
    assert (first, set(others)) == ("network", {cause})
    assert desk.network.open_now(DESK) <= 1

    desk.network.up()
    assert await world.pass_time(HOUR, until=lambda: desk.is_open) <= 1.1 * 900 + each_s
    await desk.has_everything_once()
    (outage,) = await desk.outages()
    assert (outage.cause.value, outage.last_cause.value) == ("network", cause)
    assert outage.end is OutageEnd.RECOVERED
    assert outage.attempts == len(desk.dials) - before


@pytest.mark.requirement("C2", "C3", "D9")
@pytest.mark.parametrize(
    ("fault", "cause"),
    [(Network.half_open, "keepalive"), (Network.stick, "half_open")],
    ids=["half-open", "stuck"],
)
async def test_a_connection_that_only_seems_to_stand_is_noticed_and_replaced(
    desk: Desk, fault: Callable[[Network, str], None], cause: str
) -> None:
    world = desk.world
    fault(desk.network, DESK)
    for _ in range(5):
        desk.write()
    took = await world.pass_time(5 * MINUTE, until=lambda: not desk.is_open)
    assert took <= KEEPALIVE_S + ANSWER_WITHIN_S
    assert await world.pass_time(MINUTE, until=lambda: desk.is_open) <= RECONNECTED_S
    assert world.simulator.evidence.events["replaced"] == 1, "the server had not heard of the end"
    await desk.has_everything_once()
    assert [end["cause"] for end in await desk.ends()] == [cause]


async def look_and_leave(app: FastAPI) -> None:
    """Ask for what is told of the session, and open streams and close them, several times each."""
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://perene",
        headers={"Authorization": f"Bearer {KEY}"},
    )
    async with client:
        for path in ("/v1/sessions", "/v1/sessions/desk", "/v1/sessions/desk/outages"):
            for _ in range(5):
                assert (await client.get(path)).status_code == 200
    for _ in range(5):
        async with Stream(app, "/v1/events?after=0") as stream:
            assert stream.status == 200
            await stream.event()


@pytest.fixture
def app(desk: Desk) -> FastAPI:
    """Return the HTTP API over the world of the desk."""
    return api_over(
        desk.world.perene,
        keys=FakeKeys(),
        health=FakeHealth(),
        metrics=FakeMetrics(),
        alerts=FakeAlerts(),
    )


@pytest.mark.requirement("C1")
async def test_who_watches_the_trouble_and_leaves_changes_nothing(desk: Desk, app: FastAPI) -> None:
    world = desk.world
    await desk.network.down()
    await world.pass_time(10 * MINUTE)
    before, epoch = list(desk.dials), (await world.perene.sessions.session(DESK)).record.epoch

    await look_and_leave(app)
    await world.settled()

    assert desk.dials == before, "nobody who looks makes an attempt"
    view = await world.perene.sessions.session(DESK)
    assert (view.connection, view.record.epoch) == (State.WAITING, epoch)
    assert view.outlook.retry_at is not None
    due = (view.outlook.retry_at - world.clock.now()).total_seconds()
    await world.pass_time(due - 1)
    assert desk.dials == before
    await world.pass_time(2)
    assert len(desk.dials) == len(before) + 1, "the next attempt comes when it was due"

    desk.network.up()
    desk.write()
    await world.pass_time(HOUR, until=lambda: desk.is_open)
    connected_at = (await world.perene.sessions.session(DESK)).connected_at
    async with Stream(app, "/v1/events?after=0") as stream:
        await stream.event()
    await desk.has_everything_once()
    assert (await world.perene.sessions.session(DESK)).connected_at == connected_at
    assert len(desk.dials) == len(before) + 2


@pytest.fixture
async def world(tmp_path: Path, template: Path) -> AsyncIterator[World]:
    async with World.open(tmp_path, template, seed=11) as one:
        yield one
