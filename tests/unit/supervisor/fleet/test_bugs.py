"""A bug ends the task of one session, for a while, and nothing else."""

import asyncio

import pytest

from perene.core.causes import Local
from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import Epoch, SessionId
from perene.core.notices import Opened
from perene.core.sessions import Connection, Desired, SessionRecord
from perene.core.unit import Committed, Unit
from tests.support.endings import LOST, REPLACED, STOPPED, local
from tests.support.turns import turns
from tests.unit.supervisor.fakes import FakeSessionStore, World
from tests.unit.supervisor.fleet.life import (
    ANA,
    BOB,
    CAT,
    SlowAnswer,
    begin,
    fail_in_an_outage,
    fail_six_times,
    gone,
    outage_of,
    started,
)


async def fail(world: World, *, paired: bool = False) -> None:
    """Let ana's first task die of a bug; what comes next is well again."""
    world.store.add("ana", paired=paired)
    world.broken.add(ANA)
    await world.supervisor.start(ANA)
    await world.clock.until_asleep(5)
    world.broken.clear()


async def test_a_task_that_fails_is_started_again_and_leaves_the_others_alone(
    running: World,
) -> None:
    running.store.add("ana")
    running.store.add("bob")
    running.broken.add(ANA)
    await running.supervisor.start(BOB)
    await running.supervisor.start(ANA)
    await running.clock.until_asleep(5)
    assert running.supervisor.roster.live(ANA).connection is Connection.WAITING
    assert running.supervisor.roster.live(ANA).last_error
    assert running.supervisor.task_failures == 1
    assert "perene_session_failures_total 1.0" in running.metrics.exposition().decode()
    assert not (await running.engine("bob")).ending.done()
    running.broken.clear()
    await running.clock.advance(5)
    await running.engine("ana")


async def test_a_task_that_fails_again_and_again_waits_longer_each_time(running: World) -> None:
    running.store.add("ana")
    running.broken.add(ANA)
    await running.supervisor.start(ANA)
    for failures, wait_s in enumerate((5, 5, 10), start=1):
        await running.clock.until_asleep(wait_s)
        assert running.supervisor.task_failures == failures
        await running.clock.advance(wait_s)
        await turns()


async def test_a_session_that_failed_can_be_started_or_stopped_at_once(running: World) -> None:
    await fail(running)
    await running.supervisor.start(ANA)
    await running.engine("ana")
    running.broken.add(ANA)
    (await running.engine("ana")).end(LOST)
    await running.clock.until_asleep(5)
    await running.supervisor.stop(ANA)
    assert running.supervisor.roster.live(ANA).connection is Connection.STOPPED


async def test_a_stop_while_a_bug_is_being_told_is_obeyed_at_once(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    telling = asyncio.Event()
    told: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()

    def tell(store: FakeSessionStore, unit: Unit) -> "asyncio.Future[Committed]":
        if unit.events[0].type is not EventType.SESSION_FAILED:
            raise ZeroDivisionError
        telling.set()
        return told

    monkeypatch.setattr(FakeSessionStore, "submit", tell)
    engine.end(LOST)
    await telling.wait()
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await turns()
    monkeypatch.undo()
    told.set_result(Committed(new_messages=0))
    async with asyncio.timeout(5):
        await stopping
    assert not running.supervisor.roster.is_running(ANA)


async def test_a_stop_while_a_failed_session_is_read_anew_is_obeyed(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail(running)
    reading = SlowAnswer(running, monkeypatch, "get_session")
    await running.clock.advance(5)
    await reading.waiting.wait()
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await turns()
    reading.go_on.set()
    async with asyncio.timeout(5):
        await stopping
    assert ANA not in running.engines
    assert not running.supervisor.roster.is_running(ANA)


@pytest.mark.requirement("E6", "F1")
async def test_a_stop_in_the_pause_after_a_bug_ends_the_outage(running: World) -> None:
    await fail_in_an_outage(running)
    async with asyncio.timeout(5):
        await running.supervisor.stop(ANA)
    assert outage_of(running) is None
    assert running.store.told(ANA)[-1] is EventType.SESSION_STOPPED
    assert not running.supervisor.roster.is_running(ANA)
    assert running.supervisor.roster.live(ANA).connection is Connection.STOPPED
    assert len(running.engines[ANA]) == 1


async def test_a_start_in_the_pause_after_a_bug_goes_on_with_the_outage(running: World) -> None:
    await fail_in_an_outage(running)
    before = outage_of(running)
    await running.supervisor.start(ANA)
    await running.engine("ana", 2)
    after = outage_of(running)
    assert before is not None
    assert after is not None
    assert after.id == before.id
    assert EventType.SESSION_STOPPED not in running.store.told(ANA)


async def test_a_service_that_closes_while_a_failed_session_is_read_anew_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.add("ana")
    world.broken.add(ANA)
    life = await begin(world)
    await world.clock.until_asleep(5)
    world.broken.clear()
    reading = SlowAnswer(world, monkeypatch, "get_session")
    await world.clock.advance(5)
    await reading.waiting.wait()
    world.supervisor.close()
    await turns()
    reading.go_on.set()
    async with asyncio.timeout(5):
        await life
    assert ANA not in world.engines


async def test_a_failed_session_that_cannot_be_read_when_the_service_closes_cuts_off_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.add("ana")
    world.store.add("bob")
    world.broken.add(ANA)
    life = await begin(world)
    bob = await world.engine("bob")
    bob.drains = False
    await world.clock.until_asleep(5)

    async def away(session: SessionId) -> SessionRecord:
        raise StorageUnavailable("down")

    monkeypatch.setattr(world.store, "get_session", away)
    await world.clock.advance(5)
    await world.clock.until_asleep(2)
    world.supervisor.close()
    await world.clock.advance(2)
    await turns()
    assert not life.done()
    bob.end(STOPPED)
    async with asyncio.timeout(5):
        await life


async def test_a_failed_session_that_is_gone_when_it_is_read_anew_hinders_no_other(
    running: World,
) -> None:
    await fail(running)
    running.store.add("bob")
    await running.supervisor.start(BOB)
    bob = await running.engine("bob")
    del running.store.records[ANA]  # with the restore of a backup
    await running.clock.advance(5)
    await gone(running.supervisor, ANA)
    assert running.supervisor.roster.is_running(BOB)
    assert not bob.stopped


async def test_a_logout_of_a_session_that_has_just_failed_is_done(running: World) -> None:
    await fail(running, paired=True)
    leaving = asyncio.create_task(running.supervisor.logout(ANA))
    engine = await running.engine("ana")
    engine.observer.notice(Opened(at=running.clock.now()))
    async with asyncio.timeout(5):
        await leaving
    assert engine.logged_out
    assert running.store.destroyed == [ANA]


async def log_out_into_a_bug(running: World) -> None:
    """Log out a session that waits for its next attempt, and let that die of a bug."""
    running.store.add("ana", paired=True)
    await running.supervisor.start(ANA)
    (await running.engine("ana")).end(LOST)
    await turns()
    running.broken.add(ANA)
    async with asyncio.timeout(5):
        await running.supervisor.logout(ANA)


async def test_a_logout_that_dies_of_a_bug_is_taken_up_again(running: World) -> None:
    await log_out_into_a_bug(running)
    assert running.store.destroyed == [], "nobody waits for what a bug keeps"
    assert running.supervisor.task_failures == 1
    running.broken.clear()
    await running.clock.until_asleep(5)
    await running.clock.advance(5)
    engine = await running.engine("ana", 2)
    engine.observer.notice(Opened(at=running.clock.now()))
    await gone(running.supervisor, ANA)
    assert engine.logged_out
    assert running.store.destroyed == [ANA]


async def test_a_logout_that_died_of_a_bug_is_given_up_by_a_stop(running: World) -> None:
    await log_out_into_a_bug(running)
    async with asyncio.timeout(5):
        await running.supervisor.stop(ANA)
    await gone(running.supervisor, ANA)
    assert running.store.destroyed == []
    assert running.store.records[ANA].desired is Desired.STOPPED


async def test_a_person_s_start_of_a_session_that_has_failed_is_a_person_s(running: World) -> None:
    running.store.add("ana", paired=True)
    await running.supervisor.start(ANA)
    (await running.engine("ana")).end(REPLACED)
    await turns()
    running.broken.add(ANA)
    await running.supervisor.restart(ANA)  # which dies of a bug, held as it was
    await running.clock.until_asleep(5)
    running.broken.clear()
    await running.supervisor.start(ANA)
    await running.engine("ana", 2)


async def stay_open(world: World, session: SessionId) -> None:
    """Let a session connect, and be open for longer than it takes to count."""
    world.store.add(session, paired=True)
    await world.supervisor.start(session)
    (await world.engine(session)).observer.notice(Opened(at=world.clock.now()))
    await pass_time(world, 40)


async def pass_time(world: World, seconds: int) -> None:
    for _ in range(seconds // 10):
        await world.clock.advance(10)
        await turns()


async def test_a_session_that_waits_for_a_person_still_does_after_a_bug(running: World) -> None:
    (await started(running, paired=True)).end(REPLACED)
    await turns()
    running.broken.add(ANA)
    await running.supervisor.restart(ANA)  # which dies of a bug, held as it was
    await running.clock.until_asleep(5)
    running.broken.clear()
    await running.clock.advance(60)
    await turns()
    assert running.supervisor.roster.live(ANA).connection is Connection.NEEDS_ATTENTION
    assert len(running.engines[ANA]) == 1


async def test_nothing_cuts_the_time_short_that_follows_a_bug(running: World) -> None:
    engine = await fail_six_times(running)
    running.broken.add(ANA)
    engine.end(LOST)  # dies on its way to wait for the next attempt, which is never overdue
    await running.clock.until_asleep(65)
    running.broken.clear()
    await pass_time(running, 20)
    await stay_open(running, BOB)  # that there is a network again does not mend a bug either
    assert len(running.engines[ANA]) == 1
    await running.clock.advance(5)
    await running.engine("ana", 2)


async def test_a_session_that_died_while_open_does_not_show_others_that_there_is_a_network(
    running: World,
) -> None:
    (await fail_six_times(running)).end(LOST)
    await running.clock.until_asleep(1)
    await running.clock.advance(1)
    engine = await running.engine("ana", 2)
    engine.observer.notice(Opened(at=running.clock.now()))
    await turns()
    running.broken.add(ANA)
    await running.clock.advance(30)  # dies of the end of its outage, which is to be saved
    await running.clock.until_asleep(65)
    assert engine.ending.cancelled(), "its connection ends with it"
    running.store.add("bob", paired=True)
    await running.supervisor.start(BOB)
    (await running.engine("bob")).end(local(Local.CERTIFICATE))  # to be tried again in two minutes
    await turns()
    await pass_time(running, 10)
    await stay_open(running, CAT)
    await running.engine("bob", 2)
    assert len(running.engines[ANA]) == 2


async def test_bugs_are_counted_in_a_row_and_a_long_life_begins_anew(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire, bugs = running.store.acquire, [False]

    async def faulty(session: SessionId, held: Epoch | None) -> Epoch:
        if bugs.pop(0):
            raise ZeroDivisionError
        return await acquire(session, held)

    monkeypatch.setattr(running.store, "acquire", faulty)
    engine = await started(running, paired=True)
    for number, lives_s in ((2, 60), (3, 16 * 60), (4, 60)):
        engine.observer.notice(Opened(at=running.clock.now()))
        await turns()
        await running.clock.advance(lives_s)
        bugs += [True, False]
        engine.end(LOST)
        await running.clock.until_asleep(1)
        await running.clock.advance(1)
        await running.clock.until_asleep(5)
        await running.clock.advance(5)
        engine = await running.engine("ana", number)
    told = [row.event for row in running.store.outbox]
    failed = [event for event in told if event.type is EventType.SESSION_FAILED]
    assert [event.payload for event in failed] == [
        {"error": "ZeroDivisionError", "in_a_row": in_a_row} for in_a_row in (1, 1, 2)
    ]


@pytest.mark.requirement("C7", "D7")
async def test_a_logout_that_dies_of_a_bug_once_the_keys_are_gone_starts_no_pairing(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    engine.observer.notice(Opened(at=running.clock.now()))
    await turns()

    def broken(*_: object) -> None:
        if running.store.destroyed:
            monkeypatch.undo()
            raise ZeroDivisionError

    monkeypatch.setattr("perene.supervisor.session.task.show", broken)
    await running.supervisor.logout(ANA)
    assert EventType.SESSION_FAILED in running.store.told(ANA)
    await running.clock.advance(60)
    await gone(running.supervisor, ANA)
    assert len(running.engines[ANA]) == 1
    assert running.store.destroyed == [ANA]
    assert running.supervisor.roster.live(ANA).connection is Connection.STOPPED
