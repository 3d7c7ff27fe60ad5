"""The account's phone, as far as its companion can see it."""

from datetime import UTC, datetime

from tests.support.world import DESK, World


def seen_at(world: World) -> datetime | None:
    return world.supervisor.live(DESK).phone_seen_at


async def test_the_phone_is_seen_whenever_it_takes_a_copy_of_what_the_session_sends(
    world: World,
) -> None:
    desk = await world.pair()
    ana = world.simulator.add_contact().account.phone
    await world.pass_time(3600)
    sent_at = whole_second(world)
    await world.send(f"{ana}@s.whatsapp.net", "one")
    await world.until(lambda: seen_at(world) == sent_at, "the phone's receipt")
    world.simulator.set_online(desk, online=False)
    await world.pass_time(3600)
    await world.send(f"{ana}@s.whatsapp.net", "two")
    await world.settled()
    assert seen_at(world) == sent_at, "its phone is off"
    back_at = whole_second(world)
    world.simulator.set_online(desk, online=True)
    await world.until(lambda: seen_at(world) == back_at, "the phone's return")


async def test_what_the_phone_wrote_while_the_session_was_away_is_dated_as_it_was_sent(
    world: World,
) -> None:
    desk = await world.pair()
    ana = world.simulator.add_contact().account.phone
    await world.pass_time(3600)
    await world.stop()
    wrote_at = whole_second(world)
    world.simulator.send_text(desk, ana, "from the phone")
    await world.clock.advance(2 * 86400)
    await world.start()
    await world.until(lambda: seen_at(world) == wrote_at, "the phone's message")


def whole_second(world: World) -> datetime:
    """The time as stanzas carry it."""
    return datetime.fromtimestamp(int(world.clock.now().timestamp()), UTC)
