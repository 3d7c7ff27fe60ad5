"""A service that lives on while another one has its database: what it had in hand does no harm."""

import asyncio

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.messages import Status
from perene.core.sessions import Connection as State
from perene.core.sessions import Desired
from tests.support.former import Former
from tests.support.world import DESK, World

pytestmark = pytest.mark.requirement("D9", "F5")


async def take_over(world: World, former: Former) -> None:
    """Let the hold lapse, and another service start; its sessions are open then."""
    former.go_on()
    world.perene.lose_hold()
    await world.perene.start()
    await world.pass_time(5, until=lambda: world.perene.all_open([DESK]))
    assert world.perene.state() is State.OPEN


async def ended_alone(world: World, former: Former) -> None:
    """Let the former service learn of it; the session is the other one's all along."""
    await world.pass_time(60, until=lambda: former.has_ended)
    assert former.has_ended
    assert await former.problems() == []
    await world.pass_time(60)
    assert world.perene.state() is State.OPEN
    assert world.network.open_now(DESK) == 1
    assert await world.events.seen(EventType.SESSION_REPLACED) == []


async def test_a_login_under_way_does_not_throw_out_who_took_over(world: World) -> None:
    phone = await world.user.pair()
    await world.network.cut(DESK)
    world.network.stall_connect()
    await world.pass_time(5, until=lambda: world.network.open_now(DESK) == 1)
    former = world.perene.leave()
    former.holder.answers_after_s = 30  # it takes long to learn of it
    former.go_on()
    world.perene.lose_hold()
    await world.perene.start()
    await world.pass_time(5, until=lambda: world.network.open_now(DESK) == 2)
    assert world.network.open_now(DESK) == 2, "both are dialling"

    world.network.up()

    await world.pass_time(5, until=lambda: world.perene.all_open([DESK]))
    await ended_alone(world, former)
    assert world.simulator.evidence.events["replaced"] == 0
    friend = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(friend, phone, "hello")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")


@pytest.mark.parametrize("silent", [False, True], ids=["refusing", "silent"])
async def test_one_whose_database_comes_back_logs_in_no_more(world: World, silent: bool) -> None:
    await world.user.pair()
    former = world.perene.leave()
    former.part(silent=silent)
    await take_over(world, former)

    former.join()

    await ended_alone(world, former)
    assert world.simulator.evidence.events["replaced"] == 1, "the other one came, and nobody since"


async def test_what_it_was_asked_of_a_session_is_not_done_any_more(world: World) -> None:
    await world.user.pair()
    desk, messages = world.perene.sessions, world.perene.messages
    friend = world.simulator.add_contact(name="Ana").account.phone
    former = world.perene.leave()
    former.part(silent=True)
    asked: list[asyncio.Task[object]] = [
        asyncio.create_task(desk.stop(DESK), context=former.standstill.context),
        asyncio.create_task(desk.delete(DESK), context=former.standstill.context),
        asyncio.create_task(
            messages.send_text(
                DESK,
                to=f"{friend}@s.whatsapp.net",
                text="too late",
                idempotency_key=None,
                request_hash=b"",
            ),
            context=former.standstill.context,
        ),
    ]
    await world.pass_time(1)
    await take_over(world, former)

    former.join()

    await ended_alone(world, former)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 3
    assert (await world.perene.sessions.session(DESK)).record.desired is Desired.RUNNING
    assert await world.stored.texts() == []


async def test_one_that_stood_still_sends_nothing_that_is_not_stored(world: World) -> None:
    phone = await world.user.pair()
    friend = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(friend, phone, "before")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="before")
    world.perene.commits.hold()
    for text in ("one", "two"):
        await world.user.send(f"{friend}@s.whatsapp.net", text)
    world.simulator.send_text(friend, phone, "meanwhile")
    await world.pass_time(0)
    former = world.perene.leave()
    former.freeze()
    world.perene.commits.release()
    await take_over(world, former)
    await world.pass_time(30)

    former.wake()

    await ended_alone(world, former)
    stored = [(one.message.text, one.message.status) for one in await world.stored.messages()]
    assert sorted(stored, key=str) == [
        ("before", Status.RECEIVED),
        ("meanwhile", Status.RECEIVED),
        ("one", Status.DELIVERED),
        ("two", Status.DELIVERED),
    ]
    assert world.server.inbox(friend) == ["one", "two"]
    assert world.simulator.evidence.reused_keys == []


async def test_people_are_told_of_the_end_of_a_login_that_was_stored_late(world: World) -> None:
    await world.user.pair()
    await world.network.cut(DESK)
    world.network.stall_connect()
    await world.pass_time(5, until=lambda: world.network.open_now(DESK) == 1)
    world.perene.commits.hold()
    world.network.up()
    await world.pass_time(5, until=lambda: world.perene.all_open([DESK]))
    former = world.perene.leave()
    former.freeze()
    world.perene.commits.release()
    former.go_on()
    world.perene.lose_hold()
    await world.perene.start()
    former.wake()  # with the news of its login, which the other one has not read
    await world.pass_time(5, until=lambda: world.perene.all_open([DESK]))

    await ended_alone(world, former)

    kinds = EventType.SESSION_CONNECTED, EventType.SESSION_DISCONNECTED
    told = [one.event.type for one in await world.events.seen(*kinds)]
    assert told == [kinds[0], kinds[1]] * (len(told) // 2) + [kinds[0]], told
