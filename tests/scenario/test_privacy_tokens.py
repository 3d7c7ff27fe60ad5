"""Messages to people show the token that these gave, so that WhatsApp lets them pass."""

from datetime import timedelta

import pytest

from perene.core.events import EventType
from perene.sim.people import Person
from perene.supervisor.ports import ReachOutLimited
from tests.support.world import DESK, World

pytestmark = pytest.mark.requirement("F10")


async def met(world: World) -> tuple[str, Person]:
    """Link a session, and let a contact write to it; return the number and the contact."""
    world.simulator.use_tokens()
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    world.simulator.send_text(ana.account.phone, phone, "hello")
    await world.events.wait(EventType.MESSAGE_RECEIVED)
    await world.server.answered(phone)
    return phone, ana


async def away(world: World, time: timedelta) -> None:
    """Stop the service for a time."""
    await world.perene.stop()
    await world.clock.advance(time.total_seconds())
    await world.perene.start()
    await world.until(lambda: world.perene.all_open([DESK]), "the session")


async def test_an_answer_shows_the_token_that_came_with_the_first_message(world: World) -> None:
    phone, ana = await met(world)
    world.simulator.require_tokens(phone)
    sent = await world.user.send(f"{ana.account.phone}@s.whatsapp.net", "hi")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert world.server.inbox(ana.account.phone) == ["hi"]
    events = world.simulator.evidence.events
    assert (events["tokens_shown"], events["wrong_tokens_shown"]) == (1, 0)


async def test_a_message_that_goes_again_shows_the_token_too(world: World) -> None:
    world.resends_expected = True
    phone, ana = await met(world)
    world.simulator.require_tokens(phone)
    to = f"{ana.account.phone}@s.whatsapp.net"
    sent = await world.user.send(to, "hi")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    world.simulator.lose_ratchets(ana.account.phone)
    await world.user.send(to, "are you there?")
    read = ["hi", "are you there?"]
    await world.until(lambda: world.server.inbox(ana.account.phone) == read, "the resend")


async def test_tokens_survive_a_restart_and_age_away_after_four_weeks(world: World) -> None:
    _, ana = await met(world)
    to = f"{ana.account.phone}@s.whatsapp.net"
    await away(world, timedelta(0))
    sent = await world.user.send(to, "one")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert world.simulator.evidence.events["tokens_shown"] == 1
    await away(world, timedelta(weeks=5))
    sent = await world.user.send(to, "two")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    events = world.simulator.evidence.events
    assert (events["tokens_shown"], events["wrong_tokens_shown"]) == (1, 0)


async def test_an_old_token_is_shown_for_as_long_as_whatsapp_says(world: World) -> None:
    phone, ana = await met(world)
    world.simulator.require_tokens(phone, weeks=26)
    to = f"{ana.account.phone}@s.whatsapp.net"
    for text in ("one", "two"):
        await away(world, timedelta(weeks=12))
        sent = await world.user.send(to, text)
        await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    await away(world, timedelta(weeks=3))
    sent = await world.user.send(to, "three")
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=sent, error="463")


async def test_the_life_of_tokens_is_asked_for_only_if_one_is_old(world: World) -> None:
    _, ana = await met(world)
    events = world.simulator.evidence.events
    to = f"{ana.account.phone}@s.whatsapp.net"
    sent = await world.user.send(to, "one")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert (events["tokens_shown"], events["props_queries"]) == (1, 0)
    await away(world, timedelta(weeks=5))
    for text in ("two", "three"):
        sent = await world.user.send(to, text)
        await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert (events["tokens_shown"], events["props_queries"]) == (1, 1)


async def test_whom_we_write_to_is_given_ours_once_a_week(world: World) -> None:
    phone, ana = await met(world)
    to = f"{ana.account.phone}@s.whatsapp.net"
    given = world.simulator.evidence.events["privacy_tokens_given"]

    async def write(text: str) -> int:
        sent = await world.user.send(to, text)
        await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
        await world.settled()
        return world.simulator.evidence.events["privacy_tokens_given"] - given

    assert await write("one") == 1
    assert await write("two") == 1
    assert world.simulator.world.tokens.knows(world.simulator.person(phone).account, ana.account)
    await away(world, timedelta(0))
    assert await write("three") == 1
    await away(world, timedelta(days=7))
    assert await write("four") == 2


async def test_a_message_without_a_token_where_one_is_wanted_fails_once_and_alone(
    world: World,
) -> None:
    phone = await world.user.pair()
    world.simulator.require_tokens(phone)
    sent = await world.user.send(f"{stranger(world)}@s.whatsapp.net", "who are you")
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=sent, error="463")
    await world.events.wait(EventType.SESSION_LIMITED, code="463")
    await world.events.wait(EventType.SESSION_LIMIT_LIFTED, code="463", by="whatsapp")
    world.simulator.require_tokens(phone, required=False)
    other = await world.user.send(f"{stranger(world)}@s.whatsapp.net", "and you")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=other)
    assert (await world.perene.accounts.account(DESK)).limits == []


async def test_who_keeps_asking_for_463_is_held_over_a_restart_too(world: World) -> None:
    phone = await world.user.pair()
    world.simulator.require_tokens(phone)
    for _ in range(2):
        since = await world.events.now()
        await world.user.send(f"{stranger(world)}@s.whatsapp.net", "who are you")
        await world.events.wait(EventType.SESSION_LIMIT_LIFTED, since=since)
    await away(world, timedelta(0))
    sent = await world.user.send(f"{stranger(world)}@s.whatsapp.net", "who are you")
    await world.events.wait(EventType.SESSION_LIMITED, message_id=sent)
    await world.settled()
    with pytest.raises(ReachOutLimited):
        await world.user.send(f"{stranger(world)}@s.whatsapp.net", "who are you")
    assert len((await world.perene.accounts.account(DESK)).limits) == 1


def stranger(world: World) -> str:
    return world.simulator.add_contact(name="Stranger").account.phone


async def test_notes_to_oneself_and_groups_show_nothing(world: World) -> None:
    phone, ana = await met(world)
    group = world.simulator.create_group("Two", ana.account.phone, [phone])
    for to in (f"{phone}@s.whatsapp.net", group.jid):
        sent = await world.user.send(to, "note")
        await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert world.simulator.evidence.events["tokens_shown"] == 0
