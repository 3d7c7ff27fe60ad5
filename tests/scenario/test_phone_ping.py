"""The account's phone is asked for a sign of life, and gives one as soon as it can."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perene.core.events import EventType
from perene.core.sessions import Connection as State
from perene.engine.connection import Connection
from perene.engine.phone_ping import KEY_SHARE
from perene.sim import Settings
from perene.sim.phone import APP_STATE_KEY_ID
from perene.wire.proto import wa_pb2
from tests.support.record import PATIENCE_S
from tests.support.world import DESK, World


@pytest.fixture
async def world(tmp_path: Path, template: Path) -> AsyncIterator[World]:
    """Give the test a world in which a phone shares its key and its history when it is linked."""
    async with World.open(tmp_path, template, settings=Settings()) as one:
        yield one


def ping(world: World) -> None:
    engine = world.perene.supervisor.roster.task(DESK).engine
    assert isinstance(engine, Connection)
    engine.ping_phone()


def seen_at(world: World) -> datetime | None:
    return world.perene.live().phone_seen_at


def whole_second(world: World) -> datetime:
    """The time as stanzas carry it."""
    return datetime.fromtimestamp(int(world.clock.now().timestamp()), UTC)


def requests(world: World, phone: str) -> int:
    """How many requests for a key the phone has read."""
    return world.simulator.person(phone).party.desk.counts["phone_key_requests"]


async def shared(world: World) -> list[list[bytes]]:
    """The ids of the keys in every share that the session has stored."""
    stored = await world.perene.store.peer_messages(DESK, limit=100)
    messages = [wa_pb2.Message.FromString(one.body) for one in stored if one.kind == KEY_SHARE]
    shares = [message.protocolMessage.appStateSyncKeyShare for message in messages]
    return [[key.keyId.keyId for key in share.keys] for share in shares]


async def test_a_phone_that_is_on_answers_by_itself(world: World) -> None:
    desk = await world.user.pair()
    await world.pass_time(3600)
    since = await world.events.now()
    asked_at = whole_second(world)
    ping(world)
    await world.until(lambda: seen_at(world) == asked_at, "a sign of the phone")
    await world.server.answered(desk)
    assert requests(world, desk) == 1
    assert await shared(world) == [[APP_STATE_KEY_ID], [APP_STATE_KEY_ID]]
    assert await world.events.seen(since=since) == []
    assert world.simulator.evidence.reused_keys == []


async def test_a_phone_that_is_off_answers_when_it_is_back(world: World) -> None:
    desk = await world.user.pair()
    ana = world.simulator.add_contact().account.phone
    await world.settled()
    world.simulator.set_online(desk, online=False)
    seen_before = seen_at(world)
    for _ in range(3):
        ping(world)
        await world.pass_time(1200)
    assert (requests(world, desk), seen_at(world)) == (0, seen_before)
    await world.user.send(f"{ana}@s.whatsapp.net", "still here")
    await world.events.wait(EventType.MESSAGE_STATUS, status="delivered")
    assert world.perene.state() is State.OPEN
    back_at = whole_second(world)
    world.simulator.set_online(desk, online=True)
    await world.until(lambda: seen_at(world) == back_at, "the phone's return")
    await world.server.answered(desk)
    assert requests(world, desk) == 3


async def test_a_phone_that_has_never_written_is_asked_too(tmp_path: Path, template: Path) -> None:
    async with World.open(tmp_path, template) as world:
        desk = await world.user.pair()
        assert await shared(world) == []
        await world.pass_time(60)
        asked_at = whole_second(world)
        ping(world)
        await world.until(lambda: seen_at(world) == asked_at, "a sign of the phone")
        await world.server.answered(desk)
        assert requests(world, desk) == 1
        assert await shared(world) == [[]], "there was no key to ask for"


async def test_messages_and_requests_do_not_get_in_each_other_s_way(world: World) -> None:
    desk = await world.user.pair()
    ana = world.simulator.add_contact().account.phone
    texts = [str(number) for number in range(12)]
    for text in texts:
        ping(world)
        await world.user.send(f"{ana}@s.whatsapp.net", text)
    await world.events.wait_many(EventType.MESSAGE_STATUS, len(texts), status="delivered")
    await world.until(lambda: requests(world, desk) == len(texts), "all requests")
    assert world.server.inbox(ana) == texts
    assert world.server.inbox(desk) == texts
    assert world.simulator.evidence.reused_keys == []
    counts = world.simulator.person(desk).party.desk.counts
    assert (counts["undecryptable"], counts["repeated"]) == (0, 0)


async def test_a_phone_that_has_forgotten_the_session_shows_itself_too(world: World) -> None:
    desk = await world.user.pair()
    await world.pass_time(3600)
    world.simulator.lose_ratchets(desk)
    asked_at = whole_second(world)
    ping(world)
    await world.until(lambda: seen_at(world) == asked_at, "a sign of the phone")
    assert requests(world, desk) == 0
    assert world.perene.state() is State.OPEN

    ping(world)
    await world.until(lambda: requests(world, desk) == 1, "what it can read again")


@pytest.mark.parametrize("code", [463, 475, 479])
async def test_a_refused_request_says_nothing_of_the_user_s_messages(
    world: World, code: int
) -> None:
    desk = await world.user.pair()
    ana = world.simulator.add_contact().account.phone
    world.simulator.add_fault("refuse_message", phone=desk, device=1, code=code)
    since = await world.events.now()
    ping(world)
    await world.until(lambda: not world.simulator.faults.pending(), "the refusal")
    await world.settled()
    assert await world.events.seen(since=since) == []
    await world.user.send(f"{ana}@s.whatsapp.net", "hello")
    await world.events.wait(EventType.MESSAGE_STATUS, status="delivered")
    assert await world.events.seen(EventType.SESSION_LIMITED) == []


async def test_the_server_may_lose_a_request_or_its_answer(world: World) -> None:
    desk = await world.user.pair()
    await world.settled()
    for kind in ("lost_message", "lost_ack"):
        world.simulator.add_fault(kind, phone=desk, device=1)
        ping(world)
        await world.until(lambda: not world.simulator.faults.pending(), "the loss")
    await world.pass_time(600)
    assert world.perene.state() is State.OPEN
    assert requests(world, desk) == 1


async def test_nobody_is_asked_before_a_phone_is_linked(world: World) -> None:
    await world.user.create()
    qr = await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)
    ping(world)
    await world.settled()
    phone = world.simulator.scan_qr(qr.text).account.phone
    await world.events.wait(EventType.SESSION_CONNECTED)
    await world.settled()
    assert requests(world, phone) == 0


async def test_nobody_is_asked_while_the_login_is_not_complete(world: World) -> None:
    desk = await world.user.pair()
    since = await world.events.now()
    ended = world.perene.supervisor.roster.task(DESK).engine
    await world.network.down()
    await world.events.wait(EventType.SESSION_DISCONNECTED, since=since)
    assert isinstance(ended, Connection)
    ended.ping_phone()
    world.network.stall_handshake()
    await world.pass_time(
        60, until=lambda: world.perene.supervisor.roster.task(DESK).engine is not None
    )
    ping(world)
    world.network.up()
    await world.pass_time(600, until=lambda: world.perene.state() is State.OPEN)
    await world.settled()
    assert world.perene.state() is State.OPEN
    assert requests(world, desk) == 0
