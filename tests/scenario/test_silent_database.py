"""A database that takes every question and answers none, at each point where one is asked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.sessions import Connection as State
from perene.sim import Settings
from tests.plugins.postgres import running_postgres
from tests.support.record import PATIENCE_S
from tests.support.storage import Health
from tests.support.world import DESK, World

LIMIT_S = 10.0
OUTAGE_S = 600.0
BACK_S = 35.0
"""One look at the database in 30 s at most, and the connection."""

SESSIONS = 30
CHEAP: dict[str, Any] = {"first_pre_keys": 20, "keepalive_s": 600.0, "heartbeat_s": 600.0}

silent = pytest.mark.parametrize("health", [Health.HANGING, Health.MUTE])


@silent
@pytest.mark.requirement("C4", "D9", "E6", "F1")
async def test_sessions_that_start_with_a_silent_database_all_come_up_when_it_speaks(
    tmp_path: Path, template: Path, health: Health
) -> None:
    async with World.open(
        tmp_path, template, settings=Settings(initial_sync=False), seed=60, **CHEAP
    ) as world:
        phones = await world.user.pair_many(SESSIONS)
        names = [SessionId(f"s{number}") for number in range(SESSIONS)]
        friend = world.simulator.add_contact(name="Ana").account.phone
        await world.pass_time(120)
        await world.perene.stop()
        for phone in phones:
            world.simulator.send_text(friend, phone, f"to {phone}")
        dials = len(world.network.dials)
        world.storage.falls_ill(health)
        await world.perene.start()
        asked = world.storage.asked
        await world.pass_time(OUTAGE_S)
        assert world.network.dials[dials:] == []
        assert world.storage.asked - asked < 120, "a few questions for all, with patience"
        world.storage.recovers()
        took = await world.pass_time(60, until=lambda: world.perene.all_open(names))
        assert took <= BACK_S
        assert len(world.network.dials) - dials == SESSIONS, "each connects once"
        for name, phone in zip(names, phones, strict=True):
            await world.server.answered(phone)
            assert await world.stored.texts(session=name) == [f"to {phone}"]


@silent
@pytest.mark.requirement("C4", "D9", "F1")
async def test_sessions_whose_claims_get_no_answer_claim_again_and_connect_once(
    tmp_path: Path, template: Path, health: Health
) -> None:
    async with World.open(
        tmp_path, template, settings=Settings(initial_sync=False), seed=60, **CHEAP
    ) as world:
        await world.user.pair_many(SESSIONS)
        names = [SessionId(f"s{number}") for number in range(SESSIONS)]
        await world.pass_time(120)
        await world.perene.stop()
        dials = len(world.network.dials)
        world.storage.falls_ill(health, once=lambda: world.perene.knows_all)
        await world.perene.start()
        await world.settled()
        assert world.storage.is_ill
        await world.pass_time(OUTAGE_S)
        assert world.network.dials[dials:] == []
        assert {world.perene.state(name) for name in names} == {State.WAITING}
        world.storage.recovers()
        took = await world.pass_time(60, until=lambda: world.perene.all_open(names))
        assert took <= BACK_S
        assert len(world.network.dials) - dials == SESSIONS, "each connects once"


@silent
@pytest.mark.parametrize("asked", [1, 2, 3])
@pytest.mark.requirement("C4", "D9", "F1")
async def test_a_start_that_the_database_leaves_half_way_goes_on_when_it_speaks(
    tmp_path: Path, template: Path, health: Health, asked: int
) -> None:
    async with World.open(
        tmp_path, template, settings=Settings(initial_sync=False), seed=60, **CHEAP
    ) as world:
        await world.user.pair()
        await world.pass_time(120)
        await world.perene.stop()
        dials = len(world.network.dials)
        world.storage.falls_ill(health, after=asked)
        await world.perene.start()
        await world.settled()
        assert world.storage.is_ill
        await world.pass_time(OUTAGE_S)
        assert world.network.dials[dials:] == []
        world.storage.recovers()
        took = await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
        assert took <= BACK_S
        assert len(world.network.dials) - dials == 1


@pytest.mark.requirement("C13", "E8", "F1")
async def test_a_message_that_cannot_be_looked_up_is_not_answered_and_comes_again(
    world: World,
) -> None:
    phone = await world.user.pair()
    friend = world.simulator.add_contact(name="Ana").account.phone
    mailbox = world.server.device(phone).mailbox
    since, dials = await world.events.now(), len(world.network.dials)
    world.storage.falls_ill(Health.HANGING)
    world.simulator.send_text(friend, phone, "first contact")
    took = await world.pass_time(60, until=lambda: world.network.open_now(DESK) == 0)
    assert took <= LIMIT_S
    assert len(mailbox) == 1, "the server still has it"
    await world.pass_time(OUTAGE_S)
    assert world.network.dials[dials:] == []
    world.storage.recovers()
    assert await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN) <= BACK_S
    await world.server.answered(phone)
    assert await world.stored.texts() == ["first contact"]
    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=since)
    assert ended.event.payload["cause"] == "storage"
    assert len(world.network.dials) - dials == 1


@silent
@pytest.mark.requirement("F1", "F5")
async def test_a_request_to_send_is_refused_in_time_and_sent_once_under_its_key(
    world: World, health: Health
) -> None:
    await world.user.pair()
    friend = world.simulator.add_contact(name="Ana").account.phone

    async def send() -> str:
        accepted = await world.perene.messages.send_text(
            DESK,
            to=f"{friend}@s.whatsapp.net",
            text="your order",
            idempotency_key="order-1042",
            request_hash=b"the same",
        )
        return accepted.message.message.key.id

    world.storage.falls_ill(health)
    for _ in range(3):
        request = asyncio.create_task(send())
        assert await world.pass_time(60, until=request.done) <= LIMIT_S
        with pytest.raises(StorageUnavailable):
            await request
    await world.pass_time(OUTAGE_S)
    world.storage.recovers()
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    first, second = await send(), await send()
    assert first == second
    await world.pass_time(60)
    assert world.server.inbox(friend) == ["your order"]
    assert await world.stored.texts() == ["your order"]
    assert world.simulator.evidence.reused_keys == []


@pytest.mark.requirement("C6", "C13", "E8", "F1")
async def test_a_postgresql_that_is_stopped_and_goes_on_loses_and_doubles_nothing(
    tmp_path: Path, template: Path
) -> None:
    with running_postgres("-F -c max_connections=20 -c shared_buffers=16MB") as server:
        async with World.open(tmp_path, template, url=server.url("postgres")) as world:
            phone = await world.user.pair()
            friend = world.simulator.add_contact(name="Ana").account.phone
            dials = len(world.network.dials)
            expected: list[str] = []
            for text in ("before", "before that is stopped"):
                world.simulator.send_text(friend, phone, text)
                expected.append(text)
            await world.events.wait_many(EventType.MESSAGE_RECEIVED, 2)
            await world.server.answered(phone)
            with server.frozen():
                world.perene.store.database.limit_s = (
                    0.2  # of the machine's time, which passes for it
                )
                world.simulator.send_text(friend, phone, "while it is silent")
                expected.append("while it is silent")
                await world.pass_time(OUTAGE_S)
                assert world.perene.state() is not State.OPEN
                assert len(world.server.device(phone).mailbox) == 1
            world.perene.store.database.limit_s = LIMIT_S
            await threads_are_back(world)
            took = await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
            assert took <= BACK_S
            await world.server.answered(phone)
            assert await world.stored.texts() == expected
            assert len(world.network.dials) - dials == 1
            assert world.simulator.evidence.reused_keys == []


async def threads_are_back(world: World) -> None:
    """Wait for those that were making connections: they live by the machine's time."""
    async with asyncio.timeout(PATIENCE_S):
        for ask in (world.perene.store.probe, world.perene.store.ping):
            while True:
                try:
                    await ask()
                    break
                except StorageUnavailable:
                    await asyncio.sleep(0)


@pytest.mark.requirement("E8", "F1")
async def test_a_message_that_was_stored_unheard_is_sent_once_the_database_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may repeat the request; hours later the message would come out of its time."""
    await world.user.pair()
    friend = world.simulator.add_contact(name="Ana").account.phone
    queue = world.perene.patient_store.queue_message

    async def mute(*asked: Any, **more: Any) -> None:
        await queue(*asked, **more)
        world.storage.falls_ill(Health.FAILING)
        raise StorageUnavailable("no answer within 10 s")

    monkeypatch.setattr(world.perene.patient_store, "queue_message", mute)
    sending = asyncio.create_task(world.user.send(f"{friend}@s.whatsapp.net", "your order"))
    await world.pass_time(60)
    with pytest.raises(StorageUnavailable):
        await sending
    world.storage.recovers()
    await world.pass_time(30)
    assert world.perene.state() is State.OPEN
    assert world.server.inbox(friend) == ["your order"]
