"""A service that ends leaves its sessions down: whoever asks later finds when, and for how long."""

from datetime import datetime, timedelta

import pytest

from perene.core.causes import Cause
from perene.core.events import EventType
from perene.core.outages import Outage, OutageEnd
from perene.core.policy import STABLE_AFTER
from perene.core.sessions import Connection as State
from tests.support.world import DESK, World

AWAY_S = 600.0
COMES_AND_GOES = (EventType.SESSION_CONNECTED, EventType.SESSION_DISCONNECTED)


async def outages(world: World) -> list[Outage]:
    return list((await world.perene.sessions.outages(DESK, cursor=None, limit=10)).items)


async def stays_up(world: World) -> None:
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    await world.pass_time(STABLE_AFTER.total_seconds() + 1)


async def ends(world: World, ending: str) -> datetime:
    """Let the service end, and be away for a while; return when it was last alive."""
    await world.perene.store.probe()
    at = world.clock.now()
    await (world.perene.kill() if ending == "killed" else world.perene.stop())
    await world.pass_time(AWAY_S)
    return at


@pytest.mark.requirement("C4", "E6")
@pytest.mark.parametrize("ending", ["killed", "stopped"])
async def test_the_end_of_the_service_is_an_outage_of_its_sessions(
    world: World, ending: str
) -> None:
    await world.user.pair()
    await stays_up(world)
    since = await world.events.now()
    lost_at = await ends(world, ending)
    await world.perene.start()
    await stays_up(world)
    (outage,) = await outages(world)
    assert (outage.cause, outage.code) == (Cause.SERVICE_ENDED, "service_ended")
    assert (outage.end, outage.attempts) == (OutageEnd.RECOVERED, 1)
    assert abs(outage.began_at - lost_at) < timedelta(seconds=1)
    assert outage.ended_at is not None
    lasted = (outage.ended_at - outage.began_at) - STABLE_AFTER
    assert abs(lasted.total_seconds() - AWAY_S) < 2
    told = await world.events.seen(*COMES_AND_GOES, since=since)
    assert [one.event.type for one in told] == [*reversed(COMES_AND_GOES)]
    assert told[0].event.payload["cause"] == "service_ended"
    (recovered,) = await world.events.seen(EventType.SESSION_RECOVERED, since=since)
    assert recovered.event.payload["outage"] == outage.id


@pytest.mark.requirement("E6")
@pytest.mark.parametrize("ending", ["killed", "stopped"])
async def test_a_session_that_had_logged_in_just_before_was_lost_with_its_service(
    world: World, ending: str
) -> None:
    await world.user.pair()
    await world.settled()
    lost_at = await ends(world, ending)
    await world.perene.start()
    await stays_up(world)
    (outage,) = await outages(world)
    assert (outage.cause, outage.end) == (Cause.SERVICE_ENDED, OutageEnd.RECOVERED)
    assert abs(outage.began_at - lost_at) < timedelta(seconds=1)


@pytest.mark.parametrize("ending", ["killed", "stopped"])
async def test_an_outage_that_lasts_goes_on_while_the_service_is_away(
    world: World, ending: str
) -> None:
    await world.user.pair()
    await stays_up(world)
    await world.network.down()
    await world.pass_time(60)
    (before,) = await outages(world)
    await ends(world, ending)
    world.network.up()
    await world.perene.start()
    await stays_up(world)
    (outage,) = await outages(world)
    assert (outage.id, outage.began_at) == (before.id, before.began_at)
    assert (outage.cause, outage.end) == (Cause.NETWORK, OutageEnd.RECOVERED)
    assert outage.attempts == before.attempts + 1


async def test_the_time_in_which_a_session_was_stopped_is_no_outage(world: World) -> None:
    await world.user.pair()
    await stays_up(world)
    await world.perene.sessions.stop(DESK)
    await ends(world, "killed")
    await world.perene.start()
    await world.settled()
    await world.perene.sessions.start(DESK)
    await stays_up(world)
    assert await outages(world) == []
