"""The three scenarios of requirement D10: recovery after 2 h, after 24 h, and never."""

from datetime import timedelta

import pytest

from perene.core.events import EventType
from tests.support.record import PATIENCE_S
from tests.support.world import DESK, World

SCHEDULE_S = [0, 300, 900, 1800, 3000, 4500, 6300, 8400, 10_800, 13_500]
"""When attempts are made: at once, then 5, 10, 15 … minutes after the one before (D4)."""


async def stable(world: World) -> str:
    """Link a phone, and let the connection become stable; returns the number."""
    phone = await world.user.pair()
    await world.clock.until_asleep(30)
    await world.clock.advance(31)
    return phone


async def restart_asked(world: World, phone: str) -> None:
    """The server asks for a restart of the stream; wait until the session is back."""
    position = await world.events.now()
    world.simulator.disconnect(phone, "stream_error", 515)
    await world.come_back(since=position)


@pytest.mark.requirement("D1", "D2", "D4", "D10")
async def test_a_server_that_recovers_after_two_hours_finds_the_session(world: World) -> None:
    phone = await stable(world)
    began, attempts = world.clock.monotonic(), list[int]()
    while world.clock.monotonic() - began < timedelta(hours=2).total_seconds():
        await restart_asked(world, phone)
        attempts.append(round(world.clock.monotonic() - began))
    assert attempts == SCHEDULE_S[:8]
    assert (await world.perene.sessions.session(DESK)).record.has_credentials
    assert world.simulator.evidence.events["pairings"] == 1


@pytest.mark.requirement("D10", "F10")
async def test_a_ban_of_a_day_is_waited_out_with_one_attempt(world: World) -> None:
    phone = await stable(world)
    position = await world.events.now()
    world.simulator.ban(phone, timedelta(hours=24))
    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=position)
    delay = ended.event.payload["retry_in_s"]
    assert isinstance(delay, float)
    await world.clock.until_asleep(delay, within=0.01)
    await world.clock.advance(delay)
    banned = await world.events.wait(EventType.SESSION_BANNED, since=position)
    wait = banned.event.payload["retry_in_s"]
    assert isinstance(wait, int | float)
    assert 86_390 < wait <= 86_400
    await world.clock.until_asleep(wait, within=0.01)
    logins = world.simulator.evidence.events["logins"]
    await world.clock.advance(wait - 1)
    assert world.simulator.evidence.events["logins"] == logins
    assert world.simulator.evidence.events["logins_refused_402"] == 1
    await world.clock.advance(1)
    await world.come_back(since=position)
    assert world.simulator.evidence.events["pairings"] == 1


@pytest.mark.requirement("D3", "D5", "D7", "D8", "D10")
async def test_a_server_that_never_recovers_costs_ten_attempts_and_a_new_code(
    world: World,
) -> None:
    phone = await stable(world)
    position = await world.events.now()
    began, attempts = world.clock.monotonic(), list[int]()
    for _ in SCHEDULE_S:
        await restart_asked(world, phone)
        attempts.append(round(world.clock.monotonic() - began))
    assert attempts == SCHEDULE_S
    assert await world.events.seen(EventType.SESSION_NEEDS_PAIRING, since=position) == []
    world.simulator.disconnect(phone, "stream_error", 515)
    await world.events.wait(EventType.SESSION_ERROR_515_MAX_ATTEMPTS, since=position)
    await world.events.wait(EventType.SESSION_NEEDS_PAIRING, since=position)
    told = await world.events.seen(EventType.SESSION_ERROR_515, since=position)
    assert [one.event.payload["attempt"] for one in told] == list(range(1, 11))
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    world.simulator.scan_qr(qr.text, phone)
    await world.events.wait(EventType.SESSION_PAIRED, since=position)
