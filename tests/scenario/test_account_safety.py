"""An account that WhatsApp limits is not made worse: no second try, and nobody new is asked."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from perene.core.account import Ban, ReachOutPolicy
from perene.core.account_codes import LIMIT_MEANINGS, ban_meaning
from perene.core.events import EventType
from perene.core.failures import Failure, FailureCode
from perene.core.messages import Status
from perene.core.sessions import Connection
from perene.engine.reach_out import REFUSED_HERE
from perene.engine.sending import WINDOW
from perene.supervisor.ports import ReachOutLimited
from tests.support.watch import watched
from tests.support.world import DESK, World

pytestmark = pytest.mark.requirement("F10")

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def world(tmp_path: Path, template: Path) -> AsyncIterator[World]:
    """Let days pass quickly: a connection that is seldom pinged."""
    async with World.open(tmp_path, template, keepalive_s=3600.0, heartbeat_s=3600.0) as one:
        yield one


async def limited_world(world: World, *, duration: timedelta = DAY) -> tuple[str, str, str]:
    """Pair, let one contact write first, then limit the account; return own, friend, stranger."""
    own = await world.user.pair()
    friend = world.simulator.add_contact(name="Ana").account.phone
    stranger = world.simulator.add_contact(name="Bia").account.phone
    world.simulator.send_text(friend, own, "hello")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")
    world.simulator.limit(own, duration)
    return own, friend, stranger


def jid(phone: str) -> str:
    return f"{phone}@s.whatsapp.net"


async def statuses(world: World, phone: str) -> list[Status]:
    return [view.message.status for view in await world.stored.messages(jid(phone))]


@pytest.mark.parametrize("code", [463, 475])
async def test_a_refused_message_fails_once_and_is_never_sent_again(
    world: World, code: int
) -> None:
    own, _, stranger = await limited_world(world)
    world.simulator.limit(own, DAY, code)
    sent = await world.user.send(jid(stranger), "hi")
    failed = await world.events.wait(EventType.MESSAGE_FAILED, message_id=sent, error=str(code))
    assert failed.event.payload["meaning"] == LIMIT_MEANINGS[str(code)]
    limited = await world.events.wait(EventType.SESSION_LIMITED, code=str(code), message_id=sent)
    assert limited.event.payload["meaning"] == LIMIT_MEANINGS[str(code)]

    since = await world.events.now()
    world.simulator.disconnect(own)
    await world.come_back(since=since)
    since = await world.events.now()
    await world.perene.restart()
    await world.events.wait(EventType.SESSION_CONNECTED, since=since)
    await world.clock.advance(3600)

    assert world.simulator.world.reach_out.refused[own] == 1
    assert await statuses(world, stranger) == [Status.FAILED]
    assert world.server.inbox(stranger) == []


async def test_under_a_limit_new_chats_are_refused_and_old_ones_go_on(world: World) -> None:
    own, friend, stranger = await limited_world(world)
    other = world.simulator.add_contact(name="Caio").account.phone
    first = await world.user.send(jid(stranger), "hi")
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=first)

    for phone in (stranger, other):
        with pytest.raises(ReachOutLimited) as refused:
            await world.user.send(jid(phone), "hi")
        assert 0 < refused.value.retry_after_s <= 24 * 3600
    answer = await world.user.send(jid(friend), "hello too")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=answer)

    assert world.server.inbox(friend) == ["hello too"]
    assert world.simulator.world.reach_out.refused[own] == 1
    assert await statuses(world, other) == []


async def test_the_limit_survives_a_restart_and_ends_with_its_time(world: World) -> None:
    own, _, stranger = await limited_world(world)
    sent = await world.user.send(jid(stranger), "hi")
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=sent)
    since = await world.events.now()
    await world.perene.restart()
    await world.events.wait(EventType.SESSION_CONNECTED, since=since)

    [limit] = (await world.perene.accounts.account(DESK)).limits
    assert limit.code == "463"
    with pytest.raises(ReachOutLimited):
        await world.user.send(jid(stranger), "hi")
    await world.clock.advance((limit.until - world.clock.now()).total_seconds())
    assert (await world.perene.accounts.account(DESK)).limits == []
    again = await world.user.send(jid(stranger), "hi again")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=again)
    assert world.server.inbox(stranger) == ["hi again"]
    assert world.simulator.world.reach_out.refused[own] == 1


async def test_the_end_that_whatsapp_names_is_asked_for_and_believed(world: World) -> None:
    _, _, stranger = await limited_world(world, duration=3 * DAY)
    end = world.clock.now() + 3 * DAY
    await world.user.send(jid(stranger), "hi")
    await world.events.wait(EventType.SESSION_LIMITED, told=True)
    [limit] = (await world.perene.accounts.account(DESK)).limits
    assert (limit.until, limit.told) == (end, True)


async def test_an_announced_limit_counts_before_any_refusal_and_so_does_its_end(
    world: World,
) -> None:
    own, _, stranger = await limited_world(world)
    world.simulator.limit(own, HOUR, tell=True)
    await world.events.wait(EventType.SESSION_LIMITED, told=True)
    with pytest.raises(ReachOutLimited):
        await world.user.send(jid(stranger), "hi")
    assert world.simulator.world.reach_out.refused[own] == 0

    world.simulator.limit(own, timedelta(0), tell=True)
    await world.events.wait(EventType.SESSION_LIMIT_LIFTED, by="whatsapp")
    sent = await world.user.send(jid(stranger), "hi")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)


async def test_what_still_waits_in_the_queue_is_refused_here_once_the_limit_is_known(
    world: World,
) -> None:
    own, friend, _ = await limited_world(world)
    strangers = [world.simulator.add_contact().account.phone for _ in range(WINDOW + 6)]
    await world.perene.sessions.stop(DESK)
    await world.until(lambda: world.perene.state() is Connection.STOPPED, "the stop")
    for phone in strangers:
        await world.user.send(jid(phone), "hi")
    answer = await world.user.send(jid(friend), "hello too")
    since = await world.events.now()
    await world.perene.sessions.start(DESK)
    failed = await world.events.wait_many(EventType.MESSAGE_FAILED, len(strangers), since=since)
    await world.events.wait(EventType.MESSAGE_SENT, message_id=answer)

    here = [one for one in failed if one.event.payload["error"] == REFUSED_HERE]
    # What had left before the first answer was refused by the server, and nothing else was.
    assert world.simulator.world.reach_out.refused[own] == len(strangers) - len(here) <= WINDOW


async def test_a_queue_that_is_older_than_the_limit_is_not_sent_after_a_restart(
    world: World,
) -> None:
    own, _, stranger = await limited_world(world)
    other = world.simulator.add_contact(name="Caio").account.phone
    world.simulator.add_fault("lost_message", phone=own, count=1)
    waiting = await world.user.send(jid(other), "lost on its way")
    refused = await world.user.send(jid(stranger), "hi")
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=refused)
    await world.perene.restart()

    await world.events.wait(EventType.MESSAGE_FAILED, message_id=waiting, error=REFUSED_HERE)
    why = {str(one.message.key.id): one.failure for one in await world.stored.messages()}
    assert why[waiting] == Failure(code=FailureCode.REACH_OUT_LIMITED)
    assert why[refused] == Failure.of_refusal("463")
    assert world.simulator.world.reach_out.refused[own] == 1


async def test_a_person_may_lift_a_limit_and_a_repeated_request_is_not_refused(
    world: World,
) -> None:
    own, _, stranger = await limited_world(world)
    first = await world.perene.messages.send_text(
        DESK, to=jid(stranger), text="hi", idempotency_key="k", request_hash=b"h"
    )
    sent = first.message.message.key.id
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=sent)
    again = await world.perene.messages.send_text(
        DESK, to=jid(stranger), text="hi", idempotency_key="k", request_hash=b"h"
    )
    assert (again.repeated, again.message.message.key.id) == (True, sent)

    world.simulator.limit(own, timedelta(0))
    assert (await world.perene.accounts.lift(DESK)).limits == []
    later = await world.user.send(jid(stranger), "now?")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=later)


async def test_new_chats_are_paced_and_answered_ones_are_free(world: World) -> None:
    own, friend, _ = await limited_world(world, duration=timedelta(0))
    world.perene.policy = ReachOutPolicy(new_chats_per_day=2, new_chat_pause=timedelta(minutes=1))
    since = await world.events.now()
    await world.perene.restart()
    await world.events.wait(EventType.SESSION_CONNECTED, since=since)
    phones = [world.simulator.add_contact().account.phone for _ in range(3)]

    await world.user.send(jid(phones[0]), "one")
    await world.user.send(jid(phones[0]), "one more")
    with pytest.raises(ReachOutLimited) as paused:
        await world.user.send(jid(phones[1]), "two")
    assert paused.value.retry_after_s == 60
    await world.clock.advance(60)
    await world.user.send(jid(phones[1]), "two")
    await world.clock.advance(60)
    with pytest.raises(ReachOutLimited):
        await world.user.send(jid(phones[2]), "three")
    await world.user.send(jid(friend), "hello too")
    await world.user.send(jid(own), "a note to myself")
    view = await world.perene.accounts.account(DESK)
    assert (view.new_chats_24h, view.allowance) == (2, 2)
    await world.clock.advance((DAY - timedelta(minutes=2)).total_seconds())
    await world.user.send(jid(phones[2]), "three")


async def test_a_ban_is_shown_with_its_meaning_until_it_ends(world: World) -> None:
    own = await world.user.pair()
    end = world.clock.now() + DAY
    world.simulator.ban(own, DAY, code=104)
    await world.events.wait(EventType.SESSION_DISCONNECTED)
    live = world.perene.live()
    await world.pass_time(60, until=lambda: live.outlook.ban is not None)
    assert await world.events.seen(EventType.SESSION_BANNED)
    ban = (await world.perene.accounts.account(DESK)).ban
    assert ban is not None
    assert ban.code == "104"
    assert ban.until is not None
    assert abs(ban.until - end) < timedelta(seconds=2)
    await world.clock.advance((ban.until - world.clock.now()).total_seconds())
    assert (await world.perene.accounts.account(DESK)).ban is None


async def test_who_is_told_of_a_ban_is_told_why_and_until_when(world: World) -> None:
    own = await world.user.pair()
    async with watched(world) as watch:
        world.simulator.ban(own, DAY, code=104)
        await world.pass_time(60, until=lambda: "session_banned" in watch.pager.rules)
    ban = world.perene.live().outlook.ban
    assert ban is not None
    assert ban.until is not None
    told = watch.pager.reasons[DESK]
    assert ban_meaning("104") in told
    assert f"It ends at {ban.until:%Y-%m-%d %H:%M:%S} UTC." in told


async def test_no_end_is_shown_of_a_ban_that_whatsapp_names_none_of(world: World) -> None:
    own = await world.user.pair()
    world.simulator.add_fault("refuse_login", phone=own, reason=402, code=101)
    await world.network.cut(DESK)
    live = world.perene.live()
    await world.pass_time(60, until=lambda: live.outlook.ban is not None)
    assert live.outlook.ban == Ban(code="101", until=None)
    assert live.outlook.retry_at is not None
    (told,) = await world.events.seen(EventType.SESSION_BANNED)
    assert "until" not in told.event.payload
    ban = (await world.perene.accounts.account(DESK)).ban
    assert ban is not None
    assert (ban.code, ban.until) == ("101", None)


async def test_after_479_the_message_fails_and_the_next_asks_for_the_devices_anew(
    world: World,
) -> None:
    own = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    queries = world.simulator.evidence.queries
    for text in ("one", "two"):
        await world.events.wait(
            EventType.MESSAGE_SENT, message_id=await world.user.send(jid(ana), text)
        )
    known = queries["usync"]
    await world.events.wait(
        EventType.MESSAGE_SENT, message_id=await world.user.send(jid(ana), "three")
    )
    assert queries["usync"] == known

    world.simulator.add_fault("refuse_message", phone=own, code=479)
    refused = await world.user.send(jid(ana), "four")
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=refused, error="479")
    await world.events.wait(
        EventType.MESSAGE_SENT, message_id=await world.user.send(jid(ana), "five")
    )

    assert queries["usync"] == known + 1
    assert world.server.inbox(ana) == ["one", "two", "three", "five"]
    assert await world.events.seen(EventType.SESSION_LIMITED) == []


async def test_421_twice_fails_a_message_and_says_nothing_of_the_account(world: World) -> None:
    own = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    group = world.simulator.create_group("Club", ana, [own])
    fault = world.simulator.add_fault("refuse_message", phone=own, code=421, count=2)
    refused = await world.user.send(group.jid, "one")
    told = await world.events.wait(EventType.MESSAGE_FAILED, message_id=refused, error="421")
    assert "send it again" in str(told.event.payload["meaning"])
    assert fault.count == 0, "it was made ready anew once"
    await world.events.wait(
        EventType.MESSAGE_SENT, message_id=await world.user.send(group.jid, "two")
    )
    assert world.server.inbox(ana) == ["two"]
    assert await world.events.seen(EventType.SESSION_LIMITED) == []
