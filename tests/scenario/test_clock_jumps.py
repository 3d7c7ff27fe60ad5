"""The wall clock is set by an hour, either way, or the machine sleeps: nothing is lost by it."""

from datetime import timedelta

import pytest

from perene.core.events import EventType
from perene.core.server_time import time_of
from perene.core.sessions import Connection as State
from perene.engine.keepalive import ANSWER_WITHIN_S
from perene.supervisor.storage.janitor import Janitor
from tests.support.watch import watched
from tests.support.world import DESK, World

HOUR = 3600.0
MONITOR_S = 10.0
"""Between two looks at the clock."""

either_way = pytest.mark.parametrize("jump_s", [HOUR, -HOUR], ids=["forwards", "back"])


@pytest.fixture
async def phone(world: World) -> str:
    """Pair a session, and let its connection become stable."""
    number = await world.user.pair()
    await world.pass_time(35)
    return number


async def ends(world: World, since: int) -> list[object]:
    found = await world.events.seen(EventType.SESSION_DISCONNECTED, since=since)
    return [one.event.payload["cause"] for one in found]


@pytest.mark.requirement("C2", "C3")
@either_way
async def test_an_open_connection_is_checked_and_kept(
    world: World, phone: str, jump_s: float
) -> None:
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    before = world.simulator.evidence.events["logins"]
    world.clock.jump(jump_s)
    await world.pass_time(MONITOR_S + 1)
    assert world.perene.supervisor.clock_jump_s == pytest.approx(jump_s)
    alive_at = world.perene.live().alive_at
    assert alive_at is not None
    assert world.clock.now() - alive_at <= timedelta(seconds=MONITOR_S + 1), "it was asked anew"
    world.simulator.send_text(ana, phone, "which time is it?")
    await world.pass_time(2 * HOUR)

    assert await ends(world, position) == []
    assert world.simulator.evidence.events["logins"] == before
    assert await world.stored.texts() == ["which time is it?"]


@pytest.mark.requirement("C2", "C3", "D9")
@either_way
async def test_a_connection_that_died_in_the_jump_is_replaced(
    world: World, phone: str, jump_s: float
) -> None:
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    world.network.half_open(DESK)  # the machine slept, and the other side has long forgotten us
    world.clock.jump(jump_s)
    world.simulator.send_text(ana, phone, "are you awake?")
    took = await world.pass_time(HOUR, until=lambda: world.perene.state() is not State.OPEN)
    assert took <= MONITOR_S + ANSWER_WITHIN_S
    await world.pass_time(HOUR, until=lambda: world.perene.state() is State.OPEN)
    await world.pass_time(35)

    assert await ends(world, position) == ["clock_jump"]
    assert await world.stored.texts() == ["are you awake?"]
    assert world.network.most_at_once[DESK] == 1
    page = await world.perene.sessions.outages(DESK, cursor=None, limit=10)
    assert [outage.end for outage in page.items] == ["recovered"]


@pytest.mark.requirement("C3", "C5")
@either_way
async def test_a_wait_is_as_long_as_it_was_to_be(world: World, phone: str, jump_s: float) -> None:
    await world.network.down()
    await world.pass_time(20 * 60)
    assert world.perene.state() is State.WAITING
    dials = world.network.dialled_by[DESK]
    made = len(dials)
    view = await world.perene.sessions.session(DESK)
    assert view.outlook.retry_at is not None
    due = (view.outlook.retry_at - world.clock.now()).total_seconds()
    assert due > 60
    world.clock.jump(jump_s)
    await world.pass_time(due - 1)
    assert len(dials) == made, "no sooner"
    await world.pass_time(2)
    assert len(dials) == made + 1, "and no later"
    world.network.up()
    await world.pass_time(HOUR, until=lambda: world.perene.state() is State.OPEN)
    assert world.perene.state() is State.OPEN


@pytest.mark.requirement("D10", "F10")
@either_way
async def test_a_ban_lasts_as_long_as_it_was_to(world: World, phone: str, jump_s: float) -> None:
    position = await world.events.now()
    world.simulator.ban(phone, timedelta(hours=6))
    await world.pass_time(60)
    assert await ends(world, position) == ["network", "temporary_ban"]
    refused = world.simulator.evidence.events["logins_refused_402"]
    world.clock.jump(jump_s)
    await world.pass_time(6 * HOUR - 65)
    assert world.simulator.evidence.events["logins_refused_402"] == refused == 1
    await world.pass_time(70, until=lambda: world.perene.state() is State.OPEN)
    assert world.perene.state() is State.OPEN
    assert world.simulator.evidence.events["logins_refused_402"] <= 2


@pytest.mark.requirement("C4", "D10", "F10")
async def test_a_service_that_starts_with_a_clock_gone_back_waits_out_a_ban_all_the_same(
    world: World, phone: str
) -> None:
    world.simulator.ban(phone, timedelta(hours=6))
    await world.pass_time(60)
    await world.perene.stop()
    world.clock.jump(-HOUR)
    await world.perene.start()
    await world.pass_time(6 * HOUR - 65)
    assert world.simulator.evidence.events["logins_refused_402"] == 1
    await world.pass_time(HOUR + 70, until=lambda: world.perene.state() is State.OPEN)
    assert world.perene.state() is State.OPEN


@pytest.mark.requirement("C4", "F10")
async def test_a_start_with_a_clock_gone_ahead_costs_one_attempt_and_no_more(
    world: World, phone: str
) -> None:
    """By its own clock the ban is over; the server says how long it lasts, and that counts."""
    world.simulator.ban(phone, timedelta(minutes=50))
    await world.pass_time(60)
    await world.perene.stop()
    world.clock.jump(HOUR)
    await world.perene.start()
    await world.pass_time(45 * 60)
    assert world.simulator.evidence.events["logins_refused_402"] == 2
    await world.pass_time(10 * 60, until=lambda: world.perene.state() is State.OPEN)
    assert world.perene.state() is State.OPEN


@either_way
async def test_the_clock_is_all_that_alerts_tell_of(
    world: World, phone: str, jump_s: float
) -> None:
    async with watched(world) as watch:
        await world.pass_time(33)
        world.clock.jump(jump_s)
        await world.pass_time(120)
        assert watch.pager.rules == {"clock_jump"}
        await world.network.down()
        await world.pass_time(200)
        world.clock.jump(jump_s)
        await world.pass_time(80)
        assert watch.pager.rules == {"clock_jump", "most_sessions_down"}
        await world.pass_time(60)
        assert watch.pager.rules == {"clock_jump", "most_sessions_down", "session_down"}


YEARS = 365 * 86_400.0


@pytest.mark.requirement("C3", "C4", "E8")
@pytest.mark.parametrize("off_s", [-56 * YEARS, -6 * YEARS, 73 * YEARS])
async def test_a_start_with_a_clock_that_lost_the_time_waits_for_the_right_one(
    world: World, phone: str, off_s: float
) -> None:
    """No certificate is good in 1970, nor in 2099; what is lost meanwhile is time alone."""
    ana = world.simulator.add_contact(name="Ana").account.phone
    left = world.clock.now_elsewhere()
    before = len(await world.events.seen())
    await world.perene.stop()
    world.simulator.send_text(ana, phone, "which year is it?")
    world.clock.jump(off_s)
    await world.perene.start()
    await world.pass_time(HOUR)
    live = world.perene.live()
    assert live.connection is State.WAITING, "nobody has to act when it is right again"
    assert "Check the clock" in (live.last_error or "")
    janitor = Janitor(
        world.perene.store,
        world.clock,
        world.perene.retries,
        retention=timedelta(days=90),
        server_time=time_of(world.perene.supervisor.roster.times_told, world.clock),
    )
    await janitor.clean()
    assert len(await world.events.seen()) >= before

    world.clock.jump(-off_s)
    await world.pass_time(HOUR, until=lambda: world.perene.state() is State.OPEN)
    await world.pass_time(35)
    assert world.perene.state() is State.OPEN
    assert await world.stored.texts() == ["which year is it?"]
    await janitor.clean()
    assert len(await world.events.seen()) >= before
    [outage] = (await world.perene.sessions.outages(DESK, cursor=None, limit=10)).items
    assert abs(outage.began_at - left) < timedelta(minutes=1)
    assert outage.ended_at is not None
    assert outage.ended_at - outage.began_at < timedelta(hours=3)
