"""How connections end, and what follows: one right reaction to each cause."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import Connection, update

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.sessions import Connection as State
from perene.core.sessions import SessionOptions
from perene.engine.keepalive import ANSWER_WITHIN_S
from perene.sim.faults import ENDLESS
from perene.store import schema
from perene.wire.node import Node
from tests.support.record import PATIENCE_S
from tests.support.world import DESK, World


async def last_end(world: World, since: int, cause: str | None = None) -> dict[str, object]:
    """Return what was said of the next end of the connection (by this cause)."""
    if cause is None:
        ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=since)
    else:
        ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=since, cause=cause)
    return dict(ended.event.payload)


@pytest.mark.requirement("C4", "E6", "E8")
@pytest.mark.parametrize("ending", ["stopped", "killed"])
async def test_after_a_restart_every_session_connects_with_what_is_stored(
    world: World, ending: str
) -> None:
    other = SessionId("other")
    phones = [await world.user.pair(), await world.user.pair(other)]
    position = await world.events.now()

    await (world.perene.stop() if ending == "stopped" else world.perene.kill())
    await world.perene.start()
    for session in (DESK, other):
        await world.events.wait(EventType.SESSION_CONNECTED, since=position, session=session)
    for phone in phones:
        ana = world.simulator.add_contact(name="Ana").account.phone
        world.simulator.send_text(ana, phone, f"hello {phone}")
    await world.events.wait(EventType.MESSAGE_RECEIVED, since=position, text=f"hello {phones[0]}")
    await world.events.wait(
        EventType.MESSAGE_RECEIVED, since=position, session=other, text=f"hello {phones[1]}"
    )

    assert world.simulator.evidence.events["pairings"] == 2
    assert await world.events.seen(EventType.SESSION_NEEDS_PAIRING, since=position) == []


@pytest.mark.requirement("C4", "E6")
async def test_a_session_whose_options_are_damaged_keeps_no_other_down_and_dials_nobody(
    world: World,
) -> None:
    """Least of all WhatsApp, without the proxy that nobody can read any more."""
    other = SessionId("other")
    await world.user.pair()
    await world.user.pair(other)
    await world.perene.store.set_options(other, SessionOptions(proxy="http://proxy"))

    def harm(connection: Connection) -> None:
        connection.execute(
            update(schema.sessions)
            .where(schema.sessions.c.id == other)
            .values(proxy_sealed=b"damaged")
        )

    await world.perene.store.database.write(harm)
    position = await world.events.now()
    dialled = len(world.network.dialled_by[other])
    await world.perene.restart()
    await world.events.wait(EventType.SESSION_CONNECTED, since=position, session=DESK)
    told = await world.events.wait(EventType.SESSION_NEEDS_ATTENTION, since=position, session=other)
    assert told.event.payload["cause"] == "unreadable_state"
    await world.pass_time(3600)
    assert len(world.network.dialled_by[other]) == dialled
    desk, broken = await world.perene.sessions.list_sessions()
    assert (desk.connection, broken.connection) == (State.OPEN, State.NEEDS_ATTENTION)


async def test_an_edge_that_is_gone_is_not_asked_for_twice(world: World) -> None:
    phone = await world.user.pair()
    await world.pass_time(35)
    world.simulator.add_fault("lost_edge", count=ENDLESS)
    position = await world.events.now()
    world.simulator.disconnect(phone)
    await world.pass_time(60)

    assert world.perene.state() is State.OPEN
    assert len(await world.events.seen(EventType.SESSION_DISCONNECTED, since=position)) == 2
    assert world.server.device(phone).logins == 2


@pytest.mark.requirement("C4")
async def test_a_session_that_was_stopped_stays_so_after_a_restart(world: World) -> None:
    await world.user.pair()
    other = SessionId("other")
    await world.user.pair(other)
    await world.perene.sessions.stop(DESK)
    position = await world.events.now()

    await world.perene.restart()
    await world.events.wait(EventType.SESSION_CONNECTED, since=position, session=other)
    assert (await world.perene.sessions.session(DESK)).connection is State.STOPPED


@pytest.mark.requirement("D5")
@pytest.mark.parametrize(
    ("how", "code", "cause"),
    [
        ("close", 0, "network"),
        ("stream_error", 503, "server_unavailable"),
        ("stream_error", 500, "server_unavailable"),
        ("stream_error", 429, "rate_limited"),
        ("stream_error", 999, "unknown"),
        ("stream_error", 515, "restart_required"),
        ("xmlstreamend", 0, "stream_ended"),
    ],
)
async def test_whatever_ends_the_transport_the_session_stays_and_comes_back(
    world: World, how: str, code: int, cause: str
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()

    world.simulator.disconnect(phone, how, code)  # pyright: ignore[reportArgumentType]  # a literal
    ended = await last_end(world, position)
    assert ended["cause"] == cause
    assert world.perene.supervisor.roster.is_running(DESK)
    await world.come_back(since=position)
    world.simulator.send_text(ana, phone, "still here")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="still here")

    assert (await world.perene.sessions.session(DESK)).record.has_credentials
    assert world.simulator.evidence.events["pairings"] == 1


@pytest.mark.requirement("D4")
async def test_515_again_and_again_follows_its_schedule(world: World) -> None:
    phone = await world.user.pair()
    delays: list[object] = []
    for _ in range(4):
        position = await world.events.now()
        world.simulator.disconnect(phone, "stream_error", 515)
        delays.append((await last_end(world, position))["retry_in_s"])
        await world.come_back(since=position)
    # The one that ended the pairing is none of them.
    assert delays == [0, 300, 600, 900]


async def test_a_stable_connection_begins_a_new_count(world: World) -> None:
    phone = await world.user.pair()
    await world.clock.until_asleep(10)
    await world.clock.advance(31)
    position = await world.events.now()
    world.simulator.disconnect(phone, "stream_error", 515)
    assert (await last_end(world, position))["retry_in_s"] == 0
    await world.come_back(since=position)


async def test_a_banned_session_waits_until_the_ban_is_over(world: World) -> None:
    phone = await world.user.pair()
    position = await world.events.now()
    world.simulator.ban(phone, timedelta(hours=2))
    await world.events.wait(EventType.SESSION_DISCONNECTED, since=position, cause="network")
    logins = world.simulator.evidence.events["logins"]

    first = await last_end(world, position, cause="network")
    delay = first["retry_in_s"]
    assert isinstance(delay, float)
    await world.clock.until_asleep(delay)
    await world.clock.advance(delay)
    ban = await last_end(world, position, cause="temporary_ban")
    wait = ban["retry_in_s"]
    assert isinstance(wait, int | float)
    assert 7190 < wait <= 7200
    await world.clock.until_asleep(wait)
    await world.clock.advance(wait - 60)
    assert world.simulator.evidence.events["logins"] == logins
    assert world.simulator.evidence.events["logins_refused_402"] == 1
    await world.clock.advance(60)
    # The server told whole seconds: a fraction of one may be left.
    await world.come_back(since=position)
    assert world.simulator.evidence.events["logins_refused_402"] <= 2


@pytest.mark.parametrize(("reason", "cause"), [(406, "banned"), (409, "refused"), (415, "refused")])
async def test_a_refusal_that_a_person_must_see_to_stops_and_keeps_the_credentials(
    world: World, reason: int, cause: str
) -> None:
    phone = await world.user.pair()
    await world.perene.sessions.stop(DESK)
    position = await world.events.now()
    world.simulator.add_fault("refuse_login", phone=phone, reason=reason)
    await world.perene.sessions.start(DESK)
    ended = await last_end(world, position)
    await world.until(lambda: world.perene.state() is State.NEEDS_ATTENTION, "the end of trying")

    assert (ended["cause"], ended["retry_in_s"]) == (cause, None)
    assert (await world.perene.sessions.session(DESK)).record.has_credentials
    await world.perene.sessions.start(DESK)
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)


async def test_a_locked_account_stops_with_its_credentials_set_aside(world: World) -> None:
    phone = await world.user.pair()
    await world.perene.sessions.stop(DESK)
    position = await world.events.now()
    world.simulator.add_fault("refuse_login", phone=phone, reason=403)
    await world.perene.sessions.start(DESK)
    ended = await last_end(world, position)
    assert (ended["cause"], ended["retry_in_s"]) == ("locked", None)
    await world.events.wait(EventType.SESSION_LOCKED, since=position)
    await world.events.wait(EventType.SESSION_NEEDS_ATTENTION, since=position)
    assert not (await world.perene.sessions.session(DESK)).record.has_credentials


@pytest.mark.requirement("D9")
async def test_a_replaced_session_does_not_fight(world: World) -> None:
    phone = await world.user.pair()
    position = await world.events.now()
    world.simulator.disconnect(phone, "replaced")  # the same credentials connected elsewhere
    ended = await last_end(world, position)
    assert (ended["cause"], ended["retry_in_s"]) == ("replaced", None)
    await world.until(lambda: world.perene.state() is State.NEEDS_ATTENTION, "the end of trying")


@pytest.mark.parametrize("fault", ["no_pong", "silence"])
async def test_a_server_that_is_silent_is_given_up_and_tried_again(
    world: World, fault: str
) -> None:
    phone = await world.user.pair()
    position = await world.events.now()
    world.simulator.add_fault(fault, phone=phone)  # pyright: ignore[reportArgumentType]  # a literal
    # One of the two is the monitor.
    await world.until(lambda: world.clock.asleep.count(10) >= 2, "the keepalive")
    await world.clock.advance(10)
    await world.clock.until_asleep(ANSWER_WITHIN_S)
    await world.clock.advance(ANSWER_WITHIN_S)

    ended = await last_end(world, position)
    assert (ended["cause"], ended["code"]) == ("keepalive", "keepalive")
    await world.come_back(since=position)


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("what", ["parts of one stanza", "one stanza after the other"])
async def test_what_is_on_its_way_over_a_slow_link_is_waited_for(world: World, what: str) -> None:
    """400 KB take 50 s at 64 kbit/s, and the answer to a ping comes behind them."""
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    world.simulator.add_fault("no_pong", phone=phone, count=ENDLESS)
    for number in range(10):
        await world.pass_time(5)
        if what == "parts of one stanza":
            world.network.trickle(DESK)
        else:
            world.simulator.send_text(ana, phone, f"message {number}")
    assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=position) == []
    await world.pass_time(30)
    assert (await last_end(world, position))["cause"] == "keepalive"


async def test_a_server_that_answers_is_kept(world: World) -> None:
    await world.user.pair()
    position = await world.events.now()
    for _ in range(12):
        await world.clock.until_asleep(10)
        await world.clock.advance(10)
    assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=position) == []
    assert world.perene.live().alive_at is not None


async def test_a_server_that_tells_nothing_of_pre_keys_keeps_no_message_back(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    world.simulator.add_fault("iq_drop", phone=phone, xmlns="encrypt", count=ENDLESS)
    await world.network.cut(DESK)
    world.simulator.send_text(ana, phone, "hello")
    await world.pass_time(90, until=lambda: world.perene.state() is State.OPEN)
    await world.events.wait(EventType.MESSAGE_RECEIVED, since=position, text="hello")
    await world.pass_time(3600)

    assert world.perene.state() is State.OPEN
    assert len(await world.events.seen(EventType.SESSION_DISCONNECTED, since=position)) == 1


async def test_the_servers_own_ping_is_answered(world: World) -> None:
    phone = await world.user.pair()
    assert world.simulator.ping(phone) == 1
    await world.until(lambda: world.simulator.evidence.events["pongs"] == 1, "the answer")


@pytest.mark.requirement("C1")
async def test_watchers_come_and_go_without_touching_the_session(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    before = await world.perene.sessions.session(DESK)
    logins = world.simulator.evidence.events["logins"]

    for _ in range(20):
        watcher = asyncio.create_task(world.perene.feed.wait_for_new(await world.events.now()))
        await asyncio.sleep(0)
        watcher.cancel()
    await world.perene.sessions.list_sessions()
    world.simulator.send_text(ana, phone, "still there?")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="still there?")

    after = await world.perene.sessions.session(DESK)
    assert after.connected_at == before.connected_at
    assert world.simulator.evidence.events["logins"] == logins


async def test_stopping_commits_and_answers_what_was_taken(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    for number in range(300):
        world.simulator.send_text(ana, phone, f"message {number}")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="message 0")
    await world.perene.sessions.stop(DESK)

    stored = await world.stored.texts()
    assert stored == [f"message {number}" for number in range(len(stored))]
    assert len(world.server.device(phone).mailbox) == 300 - len(stored)
    await world.perene.sessions.start(DESK)
    await world.events.wait_many(EventType.MESSAGE_RECEIVED, 300)
    await world.server.answered(phone)
    assert await world.stored.texts() == [f"message {number}" for number in range(300)]
    assert world.server.counters(phone).retries_asked == 0


async def test_a_deleted_session_leaves_nothing_behind(world: World) -> None:
    await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    sent = await world.user.send(str(ana.jid()), "hello")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    await world.perene.sessions.delete(DESK)

    assert await world.perene.sessions.list_sessions() == []
    assert not world.perene.supervisor.roster.is_running(DESK)
    await world.events.wait(EventType.SESSION_DELETED)
    await world.user.create()
    assert (await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)).text
    assert world.server.inbox(ana.phone) == ["hello"]


async def test_a_start_asked_for_twice_makes_one_connection(world: World) -> None:
    phone = await world.user.pair()
    await world.perene.sessions.stop(DESK)
    position = await world.events.now()
    await asyncio.gather(*(world.perene.sessions.start(DESK) for _ in range(5)))
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)
    assert world.simulator.evidence.events["replaced"] == 0
    assert world.server.device(phone).logins == 2


async def test_a_start_asked_for_while_the_service_starts_makes_one_connection(
    world: World,
) -> None:
    phone = await world.user.pair()
    position = await world.events.now()
    await world.perene.kill()
    await world.perene.start()
    await asyncio.gather(*(world.perene.sessions.start(DESK) for _ in range(3)))
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)
    assert world.simulator.evidence.events["replaced"] == 0
    assert world.server.device(phone).logins == 2


async def test_a_stop_that_nobody_waits_for_any_more_leaves_no_second_task(world: World) -> None:
    phone = await world.user.pair()
    position = await world.events.now()
    stopping = asyncio.create_task(world.perene.sessions.stop(DESK))
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    await world.perene.sessions.start(DESK)
    await world.perene.sessions.stop(DESK)
    await world.perene.sessions.start(DESK)
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)
    assert world.simulator.evidence.events["replaced"] == 0
    assert world.server.device(phone).logins >= 2


async def test_when_whatsapp_will_refuse_the_version_is_known_from_its_word_on(
    world: World,
) -> None:
    phone = await world.user.pair()
    assert world.perene.live().version_expires is None
    at = (world.clock.now() + timedelta(days=5)).replace(microsecond=0)
    said = Node("client_expiration", {"t": str(int(at.timestamp()))})
    world.simulator.inject(phone, Node("ib", {}, (Node("dirty", {"type": "groups"}), said)))
    await world.until(lambda: world.perene.live().version_expires is not None, "the word")

    told = world.perene.live().version_expires
    assert told is not None
    assert told.at == at
    position = await world.events.now()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "hello")
    await world.events.wait(EventType.MESSAGE_RECEIVED, since=position, text="hello")
    assert world.perene.live().version_expires == told
