"""A connection that answers pings and delivers nothing: noticed, opened anew, nothing lost."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from perene.core.events import EventType, Json
from perene.core.sessions import Connection as State
from tests.support.world import DESK, World

pytestmark = pytest.mark.requirement("F3")

MINUTE_S, HOUR_S = 60.0, 3600.0


async def traffic(world: World, phone: str, *, every_s: float, count: int) -> None:
    """Let Ana write `count` texts, at random times a mean of `every_s` apart."""
    rng = random.Random(world.seed)
    ana = world.simulator.add_contact(name="Ana").account.phone
    for number in range(count):
        await world.pass_time(rng.expovariate(1 / every_s))
        world.simulator.send_text(ana, phone, f"message {number}")
    await world.settled()


async def suspicions(world: World, since: int) -> Sequence[dict[str, Json]]:
    """Return the payloads of the events that speak of deafness."""
    found = await world.events.seen(EventType.SESSION_DEAF, since=since)
    return [dict(one.event.payload) for one in found]


async def ends(world: World, since: int) -> Sequence[dict[str, Json]]:
    """Return how connections ended."""
    found = await world.events.seen(EventType.SESSION_DISCONNECTED, since=since)
    return [dict(one.event.payload) for one in found]


async def test_a_busy_session_that_turns_deaf_is_reopened_within_two_minutes(world: World) -> None:
    phone = await world.user.pair()
    await traffic(world, phone, every_s=10, count=120)
    position = await world.events.now()
    world.simulator.add_fault("deaf", phone=phone)
    turned = world.clock.now()
    ben = world.simulator.add_contact(name="Ben").account.phone
    for number in range(12):
        await world.pass_time(10)
        world.simulator.send_text(ben, phone, f"unheard {number}")
    await world.pass_time(MINUTE_S)

    phases = await suspicions(world, position)
    assert [one["phase"] for one in phases] == ["suspected", "confirmed"]
    noticed = await world.events.wait(EventType.SESSION_DEAF, since=position, phase="suspected")
    assert noticed.event.at - turned < timedelta(seconds=150)
    assert [one["code"] for one in await ends(world, position)] == ["deaf"]
    assert world.perene.state() is State.OPEN
    assert (await world.perene.sessions.session(DESK)).deaf_suspicions == 1
    texts = await world.stored.texts()
    assert [text for text in texts if text and text.startswith("unheard")] == [
        f"unheard {number}" for number in range(12)
    ]
    await world.server.answered(phone)


@pytest.fixture
async def patient(tmp_path: Path, template: Path) -> AsyncIterator[World]:
    """Give the test a world with few pings, so that hours pass quickly."""
    async with World.open(tmp_path, template, keepalive_s=900.0, heartbeat_s=900.0) as one:
        yield one


async def test_a_slower_session_is_given_longer(patient: World) -> None:
    world = patient
    phone = await world.user.pair()
    await traffic(world, phone, every_s=2 * MINUTE_S, count=60)
    position = await world.events.now()
    world.simulator.add_fault("deaf", phone=phone)
    await traffic(world, phone, every_s=2 * MINUTE_S, count=4)
    assert await suspicions(world, position) == []
    await traffic(world, phone, every_s=2 * MINUTE_S, count=20)
    phases = [one["phase"] for one in await suspicions(world, position)]
    assert phases == ["suspected", "confirmed"]
    assert len(await world.stored.texts()) == 84


async def test_a_silent_session_is_left_alone(patient: World) -> None:
    world = patient
    phone = await world.user.pair()
    await traffic(world, phone, every_s=10 * MINUTE_S, count=3)
    position = await world.events.now()
    await world.pass_time(6 * HOUR_S)
    assert await suspicions(world, position) == []
    assert await ends(world, position) == []


async def test_a_silence_that_the_phone_can_explain_costs_no_reopening(world: World) -> None:
    phone = await world.user.pair()
    await traffic(world, phone, every_s=10, count=120)
    position = await world.events.now()
    seen = len(world.simulator.person(phone).party.reader.inbox)
    await world.pass_time(25 * MINUTE_S)
    assert await suspicions(world, position) == []
    assert await ends(world, position) == []
    assert world.perene.state() is State.OPEN
    assert await world.stored.texts() == [f"message {number}" for number in range(120)]
    assert len(world.simulator.person(phone).party.reader.inbox) == seen, "nobody sees a message"


async def test_a_silence_of_its_own_is_a_false_alarm_and_the_next_waits(world: World) -> None:
    phone = await world.user.pair()
    world.simulator.set_online(phone, online=False)
    await traffic(world, phone, every_s=10, count=120)
    position = await world.events.now()
    await world.pass_time(25 * MINUTE_S)

    phases = await suspicions(world, position)
    assert [one["phase"] for one in phases] == ["suspected", "false_alarm"]
    assert phases[1]["next_not_before_s"] == 30 * MINUTE_S
    assert len(await ends(world, position)) == 1
    assert world.perene.state() is State.OPEN


async def test_messages_that_nobody_answers_for_are_reason_enough(world: World) -> None:
    await world.user.pair()
    people = [world.simulator.add_contact().account for _ in range(3)]
    position = await world.events.now()
    world.simulator.add_fault("lost_message", count=6)  # and when they are sent again
    sent = [await world.user.send(str(one.jid()), f"hello {one.phone}") for one in people]
    began: datetime = world.clock.now()
    await world.pass_time(5 * MINUTE_S)

    phases = await suspicions(world, position)
    assert [one["phase"] for one in phases] == ["suspected", "confirmed"]
    assert phases[0]["reason"] == "unanswered"
    noticed = await world.events.wait(EventType.SESSION_DEAF, since=position, phase="suspected")
    assert noticed.event.at - began < timedelta(minutes=2.5)
    for message_id in sent:
        await world.events.wait(EventType.MESSAGE_SENT, since=position, message_id=message_id)
    for one in people:
        assert world.server.inbox(one.phone) == [f"hello {one.phone}"]


async def test_a_dead_connection_is_the_keepalives_business(world: World) -> None:
    phone = await world.user.pair()
    await traffic(world, phone, every_s=10, count=120)
    position = await world.events.now()
    world.simulator.add_fault("silence", phone=phone)
    await world.pass_time(90)
    assert [one["code"] for one in await ends(world, position)] == ["keepalive"]
    assert await suspicions(world, position) == []


async def turns_deaf(world: World, phone: str) -> None:
    """Let a session of a message every ten seconds go deaf, and be written to for three minutes."""
    await traffic(world, phone, every_s=10, count=120)
    world.simulator.add_fault("deaf", phone=phone)
    ben = world.simulator.add_contact(name="Ben").account.phone
    for number in range(18):
        await world.pass_time(10)
        world.simulator.send_text(ben, phone, f"unheard {number}")
    await world.pass_time(MINUTE_S)


@pytest.mark.parametrize("ahead_s", [10 * MINUTE_S, -10 * MINUTE_S], ids=["ahead", "behind"])
async def test_a_clock_that_is_wrong_makes_no_false_alarm_of_a_deaf_connection(
    world: World, ahead_s: float
) -> None:
    world.clock.jump(ahead_s)
    phone = await world.user.pair()
    position = await world.events.now()
    await turns_deaf(world, phone)
    assert [one["phase"] for one in await suspicions(world, position)] == ["suspected", "confirmed"]


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S], ids=["forwards", "back"])
async def test_a_clock_that_is_set_hides_no_deaf_connection(world: World, jump_s: float) -> None:
    """Neither the one that was open then, nor the next: nothing waits for a time gone by."""
    phone = await world.user.pair()
    await traffic(world, phone, every_s=10, count=60)
    world.clock.jump(jump_s)
    await world.pass_time(15)
    position = await world.events.now()
    await turns_deaf(world, phone)
    await world.network.cut(DESK)
    await world.pass_time(MINUTE_S, until=lambda: world.perene.state() is not State.OPEN)
    await world.pass_time(MINUTE_S, until=lambda: world.perene.state() is State.OPEN)
    await turns_deaf(world, phone)
    phases = [one["phase"] for one in await suspicions(world, position)]
    assert phases == ["suspected", "confirmed"] * 2


async def test_a_session_that_hears_nothing_all_day_is_found_deaf_in_hours(patient: World) -> None:
    """Nobody writes to it, so only its phone can tell: it is asked after two hours of silence."""
    world = patient
    phone = await world.user.pair()
    await world.pass_time(5 * HOUR_S)
    assert world.perene.state() is State.OPEN
    position = await world.events.now()
    assert await suspicions(world, 0) == []
    world.simulator.add_fault("deaf", phone=phone)
    turned = world.clock.now()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "unheard")
    while "unheard" not in await world.stored.texts():
        assert world.clock.now() - turned < timedelta(hours=9), f"seed {world.seed}"
        await world.pass_time(HOUR_S / 4)
    phases = await suspicions(world, position)
    assert [one["phase"] for one in phases] == ["suspected", "confirmed"]
    noticed = await world.events.wait(EventType.SESSION_DEAF, since=position, phase="suspected")
    print(f"noticed after {noticed.event.at - turned}")
    await world.server.answered(phone)
