"""A session's task owns what it writes: epochs, archives, and stops at awkward moments."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import Epoch, SessionId
from perene.core.notices import LoginStarted, Opened
from perene.core.policy import POLICIES
from perene.core.sessions import Connection
from perene.supervisor.session.task import SessionTask
from tests.support.endings import LOST, OUTDATED, RESTART, UNLINKED, failure, local, stream_error
from tests.support.turns import turns
from tests.unit.supervisor.fakes import World

ANA = SessionId("ana")
DOWN = StorageUnavailable("down")

# Every ending that is answered by another connection, without a person.
RETRYABLE = [
    Ending(kind=Kind.STREAM_END),
    RESTART,
    stream_error("503"),
    stream_error("777"),
    stream_error("516"),
    failure("402", expire="60"),
    failure("429"),
    failure("500"),
    UNLINKED,
    local(Local.UNREACHABLE),
    local(Local.HANDSHAKE_FAILED),
    local(Local.MALFORMED),
    local(Local.KEEPALIVE),
    local(Local.STORAGE),
    local(Local.INTERNAL),
    local(Local.PAIRING_EXPIRED),
    local(Local.PAIRING_REFUSED),
]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A supervisor that lives, with one linked session that connects."""
    world = World()
    world.store.add("ana", paired=True)
    life = asyncio.create_task(world.supervisor.run())
    yield world
    world.supervisor.close()
    async with asyncio.timeout(10):
        await life


async def task_of(world: World) -> SessionTask:
    await world.engine("ana")
    return world.supervisor.roster.task(ANA)


@pytest.mark.requirement("D5")
@pytest.mark.parametrize("ending", RETRYABLE, ids=lambda one: f"{one.kind}-{one.code}")
async def test_the_task_outlives_every_ending_that_may_be_tried_again(
    world: World, ending: Ending
) -> None:
    task = await task_of(world)
    for number in range(1, 4):
        (await world.engine("ana", number)).end(ending)
        await turns()
        assert world.supervisor.roster.task(ANA) is task
        await world.clock.advance(3600)
    await world.engine("ana", 4)


async def test_every_connection_writes_under_an_epoch_of_its_own(world: World) -> None:
    await task_of(world)
    assert world.store.records[ANA].epoch == 1
    (await world.engine("ana")).end(LOST)
    await world.clock.until_asleep(1)
    await world.clock.advance(1)
    await world.engine("ana", 2)
    assert world.store.records[ANA].epoch == 2


@pytest.mark.requirement("D9")
async def test_a_session_that_another_process_took_meanwhile_is_let_go(world: World) -> None:
    task = await task_of(world)
    (await world.engine("ana")).end(LOST)
    await world.clock.until_asleep(1)
    world.store.records[ANA] = replace(world.store.records[ANA], epoch=Epoch(40))
    await world.clock.advance(1)
    await turns()
    assert task.live.connection is Connection.NEEDS_ATTENTION
    assert len(world.engines[ANA]) == 1
    assert world.store.records[ANA].epoch == 40


async def test_a_database_that_is_away_is_asked_again_and_again(world: World) -> None:
    task = await task_of(world)
    (await world.engine("ana")).end(LOST)
    await world.clock.until_asleep(1)
    world.store.failing = DOWN
    await world.clock.advance(1)
    await turns()
    for _ in range(20):
        assert task.live.connection is Connection.WAITING
        assert task.live.last_error == "down"
        await world.clock.advance(30)
        await turns()
    assert len(world.engines[ANA]) == 1
    world.store.failing = None
    await world.clock.advance(30)
    await world.engine("ana", 2)
    assert task.live.last_error is None


async def test_a_stop_does_not_wait_for_a_database_that_is_away(world: World) -> None:
    task = await task_of(world)
    (await world.engine("ana")).end(LOST)
    await world.clock.until_asleep(1)
    world.store.failing = DOWN
    await world.clock.advance(1)
    async with asyncio.timeout(10):
        await world.supervisor.stop(ANA)
    assert task.live.connection is Connection.STOPPED
    assert len(world.engines[ANA]) == 1


async def test_an_outdated_client_that_cannot_look_for_another_version_waits(world: World) -> None:
    await task_of(world)
    (await world.engine("ana")).end(OUTDATED)
    await turns()
    await world.clock.advance(60)
    await turns()
    assert len(world.engines[ANA]) == 1


async def test_credentials_that_cannot_be_archived_are_tried_again(
    world: World,
) -> None:
    task = await task_of(world)
    engine = await world.engine("ana")
    engine.observer.notice(Opened(at=world.clock.now()))
    world.store.failing = DOWN
    engine.end(UNLINKED)
    await world.clock.until_asleep(2)
    assert task.live.connection is Connection.WAITING
    assert task.live.connected_at is None
    assert task.live.paired
    assert EventType.SESSION_NEEDS_PAIRING not in world.store.told(ANA)
    world.store.failing, rung = None, world.rung
    await world.clock.advance(2)
    await turns()
    assert world.store.archived == [ANA]
    assert world.rung == rung + 1, "who waits for events hears of it"
    told = [row.event for row in world.store.outbox]
    (needed,) = [event for event in told if event.type is EventType.SESSION_NEEDS_PAIRING]
    assert needed.payload == {
        "cause": "unlinked",
        "sentence": POLICIES[Cause.UNLINKED].sentence,
    }
    assert not task.live.paired
    assert EventType.SESSION_FAILED not in world.store.told(ANA), "it is no bug"


@pytest.mark.requirement("D7")
async def test_after_the_credentials_were_set_aside_pairing_begins_again(world: World) -> None:
    task = await task_of(world)
    for number in range(1, 12):
        (await world.engine("ana", number)).end(RESTART)
        await turns()
        if number < 11:
            await world.clock.advance(60 * 60)
    (await world.engine("ana", 12)).observer.notice(LoginStarted())
    assert task.live.connection is Connection.PAIRING
    assert world.store.archived == [ANA]
    assert not world.store.records[ANA].has_credentials
    assert EventType.SESSION_NEEDS_PAIRING in world.store.told(ANA)


async def test_a_stop_during_the_login_is_no_failure(world: World) -> None:
    task = await task_of(world)
    await world.supervisor.stop(ANA)
    assert task.live.connection is Connection.STOPPED
    assert task.live.last_error is None
    assert world.store.told(ANA) == [EventType.SESSION_DISCONNECTED, EventType.SESSION_STOPPED]


async def test_the_end_of_a_connection_is_told_with_its_cause_and_what_follows(
    world: World,
) -> None:
    await task_of(world)
    (await world.engine("ana")).end(stream_error("503"))
    await world.clock.until_asleep(1)
    [row] = world.store.outbox
    assert row.event.type is EventType.SESSION_DISCONNECTED
    assert row.event.payload["cause"] == "server_unavailable"
    assert row.event.payload["code"] == "503"
    assert row.event.payload["retry_in_s"] == 1.0
