"""What is asked of a session, beside others: it is driven there, and none hurts another."""

import asyncio
from dataclasses import replace

import pytest

from perene.core.causes import Cause, Local
from perene.core.errors import NotFound, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import Epoch, SessionId
from perene.core.notices import Opened
from perene.core.sessions import Connection, Desired, SessionOptions
from tests.support.endings import LOST, REPLACED, STOPPED, local
from tests.support.turns import turns
from tests.unit.supervisor.fakes import World
from tests.unit.supervisor.fleet.life import (
    ANA,
    BOB,
    SlowAnswer,
    asked_about,
    refused,
    started,
)


@pytest.mark.requirement("D9")
async def test_starting_twice_makes_one_connection(running: World) -> None:
    running.store.add("ana", desired=Desired.STOPPED)
    await asyncio.gather(*(running.supervisor.start(ANA) for _ in range(5)))
    await turns()
    assert len(running.engines[ANA]) == 1
    assert running.store.records[ANA].desired is Desired.RUNNING
    assert running.store.records[ANA].epoch == Epoch(1)


async def test_stopping_is_remembered_and_returns_when_the_connection_has_drained(
    running: World,
) -> None:
    engine = await started(running)
    engine.drains = False
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await turns()
    assert engine.stopped
    assert not stopping.done()
    engine.end(STOPPED)
    async with asyncio.timeout(10):
        await stopping
    assert running.store.records[ANA].desired is Desired.STOPPED
    assert not running.supervisor.roster.is_running(ANA)
    assert running.supervisor.roster.live(ANA).connection is Connection.STOPPED
    assert EventType.SESSION_STOPPED in running.store.told(ANA)


async def test_stopping_a_session_that_never_ran_is_only_a_desire(running: World) -> None:
    running.store.add("ana")
    await running.supervisor.stop(ANA)
    assert running.store.records[ANA].desired is Desired.STOPPED


async def test_a_start_after_a_stop_that_nobody_waited_for_waits_for_the_old_connection(
    running: World,
) -> None:
    engine = await started(running)
    engine.drains = False
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await turns()
    stopping.cancel()
    starting = asyncio.create_task(running.supervisor.start(ANA))
    await turns()
    assert len(running.engines[ANA]) == 1
    engine.end(STOPPED)
    await running.engine("ana", 2)
    await starting
    assert running.store.records[ANA].desired is Desired.RUNNING


async def test_a_deleted_session_leaves_nothing_but_its_event(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running)
    await running.supervisor.delete(ANA)
    assert engine.stopped
    assert ANA not in running.store.records
    assert running.store.told(ANA)[-1] is EventType.SESSION_DELETED
    assert running.rung == 1
    assert running.supervisor.roster.lives == {}
    assert running.supervisor.roster.live(ANA).connection is Connection.STOPPED
    assert await asked_about(running, monkeypatch) == []


@pytest.mark.parametrize("desired", [Desired.RUNNING, Desired.STOPPED])
async def test_a_session_whose_deletion_was_not_answered_is_counted_no_more(
    running: World, monkeypatch: pytest.MonkeyPatch, desired: Desired
) -> None:
    running.store.add("ana", desired=desired, paired=True)
    running.supervisor.roster.known(ANA)
    if desired is Desired.RUNNING:
        await running.supervisor.start(ANA)
    delete = running.store.delete_session

    async def deleted_in_silence(session: SessionId, *, event: Event) -> None:
        if session in running.store.records:
            await delete(session, event=event)
        raise StorageUnavailable("no answer within 10 s")

    monkeypatch.setattr(running.store, "delete_session", deleted_in_silence)
    await refused(running, running.supervisor.delete(ANA))
    if desired is Desired.RUNNING:
        await running.clock.advance(10)
    else:
        with pytest.raises(NotFound):
            await running.supervisor.delete(ANA)
    assert running.supervisor.roster.lives == {}
    assert running.forgotten == [ANA], "whoever has its name next inherits nothing"
    await running.clock.advance(10)
    await turns()
    assert await asked_about(running, monkeypatch) == []


async def test_a_session_that_is_gone_before_it_could_be_deleted_is_not_found(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running)

    async def gone(session: SessionId, *, event: Event) -> None:
        raise NotFound("with the restore of a backup")

    monkeypatch.setattr(running.store, "delete_session", gone)
    with pytest.raises(NotFound):
        await running.supervisor.delete(ANA)
    assert engine.stopped
    assert running.supervisor.roster.lives == {}
    assert running.forgotten == [ANA]


async def test_a_session_that_could_not_be_deleted_is_kept_up_as_before(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(running, paired=True)

    async def refuse(session: SessionId, *, event: Event) -> None:
        raise StorageUnavailable("the database is gone")

    monkeypatch.setattr(running.store, "delete_session", refuse)
    await refused(running, running.supervisor.delete(ANA))
    await running.clock.advance(10)
    await running.engine("ana", 2)


async def test_the_time_to_reconnect_ends_when_the_session_is_open_again(running: World) -> None:
    running.store.add("ana", paired=True)
    await running.supervisor.start(ANA)
    for number in (1, 2):
        engine = await running.engine("ana", number)
        await running.clock.advance(2)
        engine.observer.notice(Opened(at=running.clock.now()))
        await turns()
        await running.clock.advance(60)
        if number == 1:
            engine.end(LOST)
            await turns()
            await running.clock.advance(1)
    page = running.metrics.exposition().decode()
    assert "perene_reconnect_seconds_count 1.0" in page
    assert float(page.partition("perene_reconnect_seconds_sum ")[2].split()[0]) < 5


@pytest.mark.parametrize("change", ["start", "stop", "restart", "logout", "delete"])
async def test_nothing_can_be_asked_of_a_session_that_does_not_exist(
    running: World, change: str
) -> None:
    with pytest.raises(NotFound):
        await getattr(running.supervisor, change)(ANA)
    assert not running.supervisor.roster.lives
    assert not running.engines


async def test_a_session_that_needs_a_person_stays_and_can_be_started_again(
    running: World,
) -> None:
    running.store.add("ana", paired=True)
    await running.supervisor.start(ANA)
    (await running.engine("ana")).end(REPLACED)
    await turns()
    assert running.supervisor.roster.live(ANA).connection is Connection.NEEDS_ATTENTION
    assert running.supervisor.roster.is_running(ANA)
    await running.supervisor.start(ANA)
    await running.engine("ana", 2)


async def test_a_logout_unlinks_destroys_and_stays_stopped(running: World) -> None:
    engine = await started(running, paired=True)
    engine.observer.notice(Opened(at=running.clock.now()))
    await running.supervisor.logout(ANA)
    assert engine.logged_out
    assert running.store.destroyed == [ANA]
    assert running.rung > 0, "who waits for events hears of it"
    assert running.store.told(ANA)[-2:] == [
        EventType.SESSION_DISCONNECTED,
        EventType.SESSION_LOGGED_OUT,
    ]
    assert running.store.records[ANA].desired is Desired.STOPPED
    assert not running.supervisor.roster.is_running(ANA)


async def test_a_logout_of_a_stopped_session_connects_once_to_say_goodbye(running: World) -> None:
    running.store.add("bob", desired=Desired.STOPPED, paired=True)
    leaving = asyncio.create_task(running.supervisor.logout(BOB))
    engine = await running.engine("bob")
    engine.observer.notice(Opened(at=running.clock.now()))
    await leaving
    assert engine.logged_out
    assert running.store.destroyed == [BOB]


async def test_a_restart_makes_a_new_connection_of_whatever_there_was(running: World) -> None:
    await started(running, paired=True)
    await running.supervisor.restart(ANA)
    (await running.engine("ana", 2)).end(REPLACED)
    await turns()
    await running.supervisor.restart(ANA)
    await running.engine("ana", 3)


async def test_a_restart_of_a_stopped_session_starts_it(running: World) -> None:
    running.store.add("ana", paired=True, desired=Desired.STOPPED)
    await running.supervisor.restart(ANA)
    await running.engine("ana")
    assert running.store.records[ANA].desired is Desired.RUNNING


@pytest.mark.parametrize("ask", ["start", "restart"])
async def test_a_session_whose_options_were_mended_is_asked_to_run_and_does(
    running: World, ask: str
) -> None:
    running.store.add("ana", paired=True)
    running.store.records[ANA] = replace(running.store.records[ANA], readable=False)
    await running.supervisor.start(ANA)
    await turns()
    assert running.supervisor.roster.live(ANA).connection is Connection.NEEDS_ATTENTION
    assert running.supervisor.roster.live(ANA).outlook.cause is Cause.UNREADABLE_STATE
    running.store.records[ANA] = replace(running.store.records[ANA], readable=True)
    await getattr(running.supervisor, ask)(ANA)
    await running.engine("ana")


async def test_a_restart_connects_with_the_options_that_are_stored_by_then(running: World) -> None:
    await started(running, paired=True)
    assert running.options[ANA] == SessionOptions()
    changed = SessionOptions(proxy="http://proxy:3128")
    running.store.records[ANA] = replace(running.store.records[ANA], options=changed)
    await running.supervisor.restart(ANA)
    await running.engine("ana", 2)
    assert running.options[ANA] == changed


@pytest.mark.requirement("D5")
async def test_a_session_stays_registered_while_its_transport_comes_and_goes(
    running: World,
) -> None:
    running.store.add("ana", paired=True)
    await running.supervisor.start(ANA)
    task = running.supervisor.roster.task(ANA)
    for number in range(1, 6):
        (await running.engine("ana", number)).end(LOST)
        await turns()
        assert running.supervisor.roster.task(ANA) is task
        assert running.supervisor.roster.live(ANA).connection is Connection.WAITING
        await running.clock.advance(60)
    await running.engine("ana", 6)
    assert running.supervisor.roster.task(ANA) is task


async def test_a_wake_reaches_the_session_that_it_is_for_and_no_other(running: World) -> None:
    for session in ("ana", "bob"):
        running.store.add(session)
        await running.supervisor.start(SessionId(session))
    ana, bob = await running.engine("ana"), await running.engine("bob")
    running.supervisor.roster.wake_sender(ANA)
    running.supervisor.roster.wake_sender(SessionId("nobody"))
    assert (ana.woken, bob.woken) == (1, 0)


async def test_a_stopped_session_without_an_outage_is_told_nothing_of(running: World) -> None:
    running.store.add("ana", paired=True, desired=Desired.STOPPED)
    await running.supervisor.stop(ANA)
    assert running.store.told(ANA) == []


async def test_a_session_that_is_made_again_under_its_id_gets_one_task(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.store.add("ana", desired=Desired.STOPPED)
    deleting = SlowAnswer(running, monkeypatch, "delete_session")
    deletion = asyncio.create_task(running.supervisor.delete(ANA))
    await deleting.waiting.wait()
    # Somebody starts what is being deleted; somebody else makes it anew, and starts it.
    late = asyncio.create_task(running.supervisor.start(ANA))
    await turns()
    deleting.go_on.set()
    running.store.add("ana")
    reading = SlowAnswer(running, monkeypatch, "get_session", 1)  # the first is for the desire
    await deletion
    fresh = asyncio.create_task(running.supervisor.start(ANA))
    await turns()
    reading.go_on.set()
    await asyncio.gather(late, fresh)
    await turns()
    assert len(running.engines[ANA]) == 1


async def test_a_session_that_waits_is_hurried_by_who_asks_and_one_at_rest_is_not(
    running: World,
) -> None:
    engine = await started(running)
    engine.end(local(Local.PAIRING_EXPIRED))
    await turns()
    assert len(running.engines[ANA]) == 1
    await running.supervisor.hurry(ANA)
    await turns()
    assert len(running.engines[ANA]) == 2
    await running.supervisor.stop(ANA)
    await running.supervisor.hurry(ANA)
    await turns()
    assert not running.supervisor.roster.is_running(ANA)
