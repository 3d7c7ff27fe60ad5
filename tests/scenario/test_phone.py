"""The account's phone, as far as its companion can see it."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perene.core.events import EventType, Json
from perene.core.sessions import Connection as State
from perene.supervisor.ports import StoredEvent
from tests.support.seldom import ENGINE, seldom
from tests.support.world import DESK, World

DAY_S = 86_400.0


def seen_at(world: World) -> datetime | None:
    return world.perene.live().phone_seen_at


async def test_the_phone_is_seen_whenever_it_takes_a_copy_of_what_the_session_sends(
    world: World,
) -> None:
    desk = await world.user.pair()
    ana = world.simulator.add_contact().account.phone
    await world.pass_time(3600)
    sent_at = whole_second(world)
    await world.user.send(f"{ana}@s.whatsapp.net", "one")
    await world.until(lambda: seen_at(world) == sent_at, "the phone's receipt")
    world.simulator.set_online(desk, online=False)
    await world.pass_time(3600)
    await world.user.send(f"{ana}@s.whatsapp.net", "two")
    await world.settled()
    assert seen_at(world) == sent_at, "its phone is off"
    back_at = whole_second(world)
    world.simulator.set_online(desk, online=True)
    await world.until(lambda: seen_at(world) == back_at, "the phone's return")


async def test_what_the_phone_wrote_while_the_session_was_away_is_dated_as_it_was_sent(
    world: World,
) -> None:
    desk = await world.user.pair()
    ana = world.simulator.add_contact().account.phone
    await world.pass_time(3600)
    await world.perene.stop()
    wrote_at = whole_second(world)
    world.simulator.send_text(desk, ana, "from the phone")
    await world.clock.advance(2 * 86400)
    await world.perene.start()
    await world.until(lambda: seen_at(world) == wrote_at, "the phone's message")


def whole_second(world: World) -> datetime:
    """The time as stanzas carry it."""
    return datetime.fromtimestamp(int(world.clock.now().timestamp()), UTC)


def days(stored: Sequence[StoredEvent]) -> list[Json]:
    return [one.event.payload["days"] for one in stored]


@pytest.fixture
async def patient(tmp_path: Path, template: Path) -> AsyncIterator[World]:
    """Give the test a world in which weeks pass quickly."""
    with seldom():
        async with World.open(tmp_path, template, **ENGINE) as one:
            yield one


async def test_a_phone_that_is_off_for_two_weeks_costs_the_session_after_two_warnings(
    patient: World,
) -> None:
    world = patient
    desk = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    await world.pass_time(60)
    logins = world.simulator.evidence.events["logins"]
    off_at = world.clock.monotonic()
    world.simulator.set_online(desk, online=False)

    def off_for() -> float:
        return (world.clock.monotonic() - off_at) / DAY_S

    for day in range(1, 14):
        world.simulator.send_text(ana, desk, f"day {day}")
        await world.user.send(f"{ana}@s.whatsapp.net", f"answer {day}")
        await world.pass_time(DAY_S)
        assert world.perene.state() is State.OPEN, f"day {day}"
        warned = await world.events.seen(EventType.SESSION_PHONE_ABSENT)
        assert days(warned) == ([12] if day >= 12 else [])
    answers = [f"answer {day}" for day in range(1, 14)]
    written = [f"day {day}" for day in range(1, 14)]
    assert Counter(await world.stored.texts()) == Counter([*written, *answers])
    assert world.server.inbox(ana) == answers
    alarms = await world.events.seen(EventType.SESSION_DEAF)
    assert [one.event.payload["phase"] for one in alarms] in ([], ["suspected", "false_alarm"])
    restarts = world.simulator.evidence.events["logins"] - logins
    assert restarts == len(alarms) // 2, "once at most, until it is known that the phone is off"

    await world.pass_time(2 * DAY_S, until=lambda: world.perene.state() is not State.OPEN)
    assert days(await world.events.seen(EventType.SESSION_PHONE_ABSENT)) == [12, 14]
    assert 14 - 0.01 < off_for() < 14 + 0.01
    await world.events.wait(EventType.SESSION_DISCONNECTED, cause="unlinked")
    await world.events.wait(EventType.SESSION_NEEDS_PAIRING)
    assert len(await world.perene.store.archived_credentials(DESK)) == 1
    await world.pass_time(60, until=lambda: world.perene.live().qr is not None)
    assert world.perene.live().qr is not None, "a new code is offered"
    assert len(await world.stored.texts()) == 26, "what was stored stays"


async def test_a_phone_that_comes_back_after_the_warning_saves_the_session(
    patient: World,
) -> None:
    world = patient
    desk = await world.user.pair()
    await world.pass_time(60)
    world.simulator.set_online(desk, online=False)
    await world.pass_time(13 * DAY_S)
    assert days(await world.events.seen(EventType.SESSION_PHONE_ABSENT)) == [12]
    assert await world.events.seen(EventType.SESSION_PHONE_BACK) == []
    world.simulator.set_online(desk, online=True)
    await world.pass_time(60)
    assert len(await world.events.seen(EventType.SESSION_PHONE_BACK)) == 1
    counts = world.simulator.person(desk).party.desk.counts
    asked = counts["phone_key_requests"]
    assert 3 <= asked <= 40, "for a sign once a day from the tenth on, before ever more seldom"
    await world.pass_time(9 * DAY_S)
    assert world.perene.state() is State.OPEN
    assert days(await world.events.seen(EventType.SESSION_PHONE_ABSENT)) == [12], "it is seen"
