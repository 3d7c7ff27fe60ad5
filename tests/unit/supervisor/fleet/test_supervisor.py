"""Many sessions beside each other: each is driven to its desire, and none hurts another."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.errors import NotFound, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import Epoch, SessionId
from perene.core.notices import Opened
from perene.core.outages import Outage
from perene.core.sessions import Connection, Desired, SessionOptions, SessionRecord
from perene.core.standing import Standing
from perene.supervisor.fleet.supervisor import Supervisor
from tests.unit.supervisor.fakes import FakeEngine, World

ANA, BOB, CAT = SessionId("ana"), SessionId("bob"), SessionId("cat")
LOST = Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED)
REPLACED = Ending(kind=Kind.STREAM_ERROR, conflict="replaced")


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    """A world whose supervisor lives already, with no session."""
    life = await begin(world)
    yield world
    await end(world, life)


async def begin(world: World) -> "asyncio.Task[None]":
    life = asyncio.create_task(world.supervisor.run())
    await turns()
    return life


async def begin_many(world: World, sessions: int) -> "asyncio.Task[None]":
    """Begin with more sessions than are started at once: s0, s1 and so on."""
    for number in range(sessions):
        world.store.add(f"s{number}")
    return await begin(world)


async def started(world: World, *, paired: bool = False) -> FakeEngine:
    """Add ana, start her, and return her first connection."""
    world.store.add("ana", paired=paired)
    await world.supervisor.start(ANA)
    return await world.engine("ana")


async def end(world: World, life: "asyncio.Task[None]") -> None:
    world.supervisor.close()
    async with asyncio.timeout(10):
        await life


async def turns() -> None:
    """Let whatever is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def gone(supervisor: Supervisor, session: SessionId) -> None:
    """Let the session's task end, which nothing holds up."""
    await turns()
    assert not supervisor.is_running(session)


# --- the life of the service ----------------------------------------------------------------------


@pytest.mark.requirement("C4")
async def test_when_the_service_starts_every_session_with_saved_credentials_connects(
    world: World,
) -> None:
    for number in range(45):
        world.store.add(f"s{number}", paired=True)
    life = await begin(world)
    assert len(world.engines) < 45
    await world.clock.advance(1)
    await turns()
    assert world.engines.keys() == world.store.records.keys()
    assert all(len(engines) == 1 for engines in world.engines.values())
    await end(world, life)


@pytest.mark.requirement("C4", "E8")
async def test_a_database_that_comes_late_delays_the_sessions_and_ends_nothing(
    world: World,
) -> None:
    world.store.add("ana", paired=True)
    world.store.failing = StorageUnavailable("the database is starting")
    life = await begin(world)
    await world.clock.until_asleep(2)
    assert not world.engines
    world.store.failing = None
    await world.clock.advance(2)
    await turns()
    assert world.supervisor.is_running(ANA)
    await end(world, life)


async def test_a_session_that_was_stopped_stays_stopped_when_the_service_starts(
    world: World,
) -> None:
    world.store.add("ana", paired=True)
    world.store.add("bob", paired=True, desired=Desired.STOPPED)
    life = await begin(world)
    assert world.engines.keys() == {ANA}
    assert world.supervisor.live(BOB).connection is Connection.STOPPED
    await end(world, life)


async def test_a_session_that_is_stopped_while_others_start_is_not_started(world: World) -> None:
    life = await begin_many(world, 21)
    last = SessionId("s20")
    await world.supervisor.stop(last)
    await world.clock.advance(0.2)
    await turns()
    assert last not in world.engines
    await end(world, life)


async def test_a_session_that_is_deleted_while_others_start_is_passed_over(world: World) -> None:
    life = await begin_many(world, 22)
    await world.supervisor.delete(SessionId("s20"))
    await world.clock.advance(0.2)
    await world.engine("s21")
    await end(world, life)


async def test_a_session_that_was_started_meanwhile_is_not_started_twice(world: World) -> None:
    life = await begin_many(world, 21)
    await world.supervisor.start(SessionId("s20"))
    await world.clock.advance(0.2)
    await turns()
    assert len(world.engines[SessionId("s20")]) == 1
    await end(world, life)


async def test_closing_drains_every_connection_and_keeps_every_desire(world: World) -> None:
    world.store.add("ana")
    world.store.add("bob")
    life = await begin(world)
    engine = await world.engine("ana")
    engine.drains = False
    world.supervisor.close()
    await turns()
    assert engine.stopped
    assert not life.done()
    engine.end(Ending(kind=Kind.LOCAL, code=Local.STOPPED))
    async with asyncio.timeout(10):
        await life
    assert {one.desired for one in world.store.records.values()} == {Desired.RUNNING}
    assert world.supervisor.live(ANA).connection is Connection.STOPPED


async def test_nothing_starts_once_the_service_is_closing(world: World) -> None:
    world.store.add("ana", desired=Desired.STOPPED)
    life = await begin(world)
    world.supervisor.close()
    await world.supervisor.start(ANA)
    async with asyncio.timeout(10):
        await life
    assert not world.engines
    assert world.store.records[ANA].desired is Desired.RUNNING


# --- desires --------------------------------------------------------------------------------------


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
    engine.end(Ending(kind=Kind.LOCAL, code=Local.STOPPED))
    async with asyncio.timeout(10):
        await stopping
    assert running.store.records[ANA].desired is Desired.STOPPED
    assert not running.supervisor.is_running(ANA)
    assert running.supervisor.live(ANA).connection is Connection.STOPPED
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
    engine.end(Ending(kind=Kind.LOCAL, code=Local.STOPPED))
    await running.engine("ana", 2)
    await starting
    assert running.store.records[ANA].desired is Desired.RUNNING


async def test_a_deleted_session_leaves_nothing_but_its_event(running: World) -> None:
    engine = await started(running)
    await running.supervisor.delete(ANA)
    assert engine.stopped
    assert ANA not in running.store.records
    assert running.store.told(ANA)[-1] is EventType.SESSION_DELETED
    assert running.rung == 1
    assert running.supervisor.lives() == {}
    assert running.supervisor.live(ANA).connection is Connection.STOPPED


@pytest.mark.requirement("C16")
async def test_a_session_that_never_ran_is_known_from_the_start() -> None:
    world = World()
    world.store.add("ana", desired=Desired.STOPPED)
    life = asyncio.create_task(world.supervisor.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.supervisor.lives()[ANA].connection is Connection.STOPPED
    world.supervisor.close()
    await life


@pytest.mark.parametrize("desired", [Desired.RUNNING, Desired.STOPPED])
async def test_a_session_whose_deletion_was_not_answered_is_counted_no_more(
    running: World, monkeypatch: pytest.MonkeyPatch, desired: Desired
) -> None:
    running.store.add("ana", desired=desired, paired=True)
    running.supervisor.known(ANA)
    if desired is Desired.RUNNING:
        await running.supervisor.start(ANA)
    delete = running.store.delete_session

    async def deleted_in_silence(session: SessionId, *, event: Event) -> None:
        await delete(session, event=event)
        raise StorageUnavailable("no answer within 10 s")

    monkeypatch.setattr(running.store, "delete_session", deleted_in_silence)
    with pytest.raises(StorageUnavailable):
        await running.supervisor.delete(ANA)
    if desired is Desired.RUNNING:
        await running.clock.advance(10)
    else:
        with pytest.raises(NotFound):
            await running.supervisor.delete(ANA)
    assert running.supervisor.lives() == {}


async def test_a_session_that_could_not_be_deleted_is_kept_up_as_before(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(running, paired=True)

    async def refuse(session: SessionId, *, event: Event) -> None:
        raise StorageUnavailable("the database is gone")

    monkeypatch.setattr(running.store, "delete_session", refuse)
    with pytest.raises(StorageUnavailable):
        await running.supervisor.delete(ANA)
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


async def test_what_does_not_exist_can_be_neither_started_nor_stopped_nor_deleted(
    running: World,
) -> None:
    for desire in (running.supervisor.start, running.supervisor.stop, running.supervisor.delete):
        with pytest.raises(NotFound):
            await desire(ANA)


# --- one beside the other -------------------------------------------------------------------------


async def test_a_task_that_fails_is_started_again_and_leaves_the_others_alone(
    running: World,
) -> None:
    running.store.add("ana")
    running.store.add("bob")
    running.broken.add(ANA)
    await running.supervisor.start(BOB)
    await running.supervisor.start(ANA)
    await running.clock.until_asleep(5)
    assert running.supervisor.live(ANA).connection is Connection.WAITING
    assert running.supervisor.live(ANA).last_error
    assert running.supervisor.task_failures == 1
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
    running.store.add("ana")
    running.broken.add(ANA)
    await running.supervisor.start(ANA)
    await running.clock.until_asleep(5)
    running.broken.clear()
    await running.supervisor.start(ANA)
    await running.engine("ana")
    running.broken.add(ANA)
    (await running.engine("ana")).end(LOST)
    await running.clock.until_asleep(5)
    await running.supervisor.stop(ANA)
    assert running.supervisor.live(ANA).connection is Connection.STOPPED


async def test_a_session_that_needs_a_person_stays_and_can_be_started_again(
    running: World,
) -> None:
    running.store.add("ana", paired=True)
    await running.supervisor.start(ANA)
    (await running.engine("ana")).end(REPLACED)
    await turns()
    assert running.supervisor.live(ANA).connection is Connection.NEEDS_ATTENTION
    assert running.supervisor.is_running(ANA)
    await running.supervisor.start(ANA)
    await running.engine("ana", 2)


async def test_a_logout_unlinks_destroys_and_stays_stopped(running: World) -> None:
    engine = await started(running, paired=True)
    engine.observer.notice(Opened(at=running.clock.now()))
    await running.supervisor.logout(ANA)
    assert engine.logged_out
    assert running.store.destroyed == [ANA]
    assert running.store.told(ANA)[-2:] == [
        EventType.SESSION_DISCONNECTED,
        EventType.SESSION_LOGGED_OUT,
    ]
    assert running.store.records[ANA].desired is Desired.STOPPED
    assert not running.supervisor.is_running(ANA)


async def test_a_logout_of_a_stopped_session_connects_once_to_say_goodbye(running: World) -> None:
    running.store.add("bob", desired=Desired.STOPPED, paired=True)
    leaving = asyncio.create_task(running.supervisor.logout(BOB))
    engine = await running.engine("bob")
    engine.observer.notice(Opened(at=running.clock.now()))
    await leaving
    assert engine.logged_out
    assert running.store.destroyed == [BOB]


async def test_a_logout_cut_short_by_the_end_of_the_service_is_finished_by_the_next(
    running: World,
) -> None:
    running.store.add("ana", desired=Desired.LOGGED_OUT, paired=True)
    again = running.another()
    life = asyncio.create_task(again.run())
    (await running.engine("ana")).end(LOST)
    await turns()
    assert running.store.destroyed == [ANA]
    assert running.store.records[ANA].desired is Desired.STOPPED
    again.close()
    await life


async def test_a_restart_makes_a_new_connection_of_whatever_there_was(running: World) -> None:
    await started(running, paired=True)
    await running.supervisor.restart(ANA)
    (await running.engine("ana", 2)).end(REPLACED)
    await turns()
    await running.supervisor.restart(ANA)
    await running.engine("ana", 3)


@pytest.mark.parametrize("ask", ["start", "restart"])
async def test_a_session_whose_options_were_mended_is_asked_to_run_and_does(
    running: World, ask: str
) -> None:
    running.store.add("ana", paired=True)
    running.store.records[ANA] = replace(running.store.records[ANA], readable=False)
    await running.supervisor.start(ANA)
    await turns()
    assert running.supervisor.live(ANA).connection is Connection.NEEDS_ATTENTION
    assert running.supervisor.live(ANA).outlook.cause is Cause.UNREADABLE_STATE
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


async def test_a_jump_of_the_clock_makes_every_connection_prove_itself(running: World) -> None:
    engine = await started(running, paired=True)
    running.clock.jump(3600)
    await running.clock.advance(10)
    await turns()
    assert engine.checked == 1
    assert not engine.ending.done()


@pytest.mark.requirement("C3")
async def test_a_wanted_session_that_nobody_drives_is_found_within_ten_seconds(
    running: World,
) -> None:
    await started(running, paired=True)
    running.supervisor.task(ANA).stop()  # of which the supervisor knows nothing
    await gone(running.supervisor, ANA)
    await running.clock.advance(10)
    await running.engine("ana", 2)


@pytest.mark.requirement("C3", "E8")
async def test_a_database_that_is_away_is_asked_with_patience_what_is_wanted(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(running, paired=True)
    running.supervisor.task(ANA).stop()  # of which the supervisor knows nothing
    await gone(running.supervisor, ANA)
    began, asked_s = running.clock.monotonic(), list[float]()

    async def refuse(session: SessionId) -> SessionRecord:
        asked_s.append(running.clock.monotonic() - began)
        raise StorageUnavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(running.store, "get_session", refuse)
        for _ in range(12):
            await running.clock.advance(10)
            await turns()
    assert asked_s == pytest.approx([10, 30, 60, 90, 120])
    await running.clock.advance(30)
    await running.engine("ana", 2)


@pytest.mark.requirement("C3")
async def test_a_change_that_takes_its_time_holds_up_no_look_at_the_others(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session in ("ana", "bob"):
        running.store.add(session, paired=True)
        await running.supervisor.start(SessionId(session))
    bob = await running.engine("bob")
    await running.engine("ana")
    running.supervisor.task(ANA).stop()  # of which the supervisor knows nothing
    await gone(running.supervisor, ANA)
    desiring = SlowAnswer(running, monkeypatch, "set_desired")
    starting = asyncio.create_task(running.supervisor.start(ANA))
    await desiring.waiting.wait()
    await running.clock.advance(10)
    running.clock.jump(3600)
    await running.clock.advance(10)
    await turns()
    assert bob.checked == 1
    assert len(running.engines[ANA]) == 1, "whoever starts it brings it back"
    desiring.go_on.set()
    await starting
    await running.engine("ana", 2)


@pytest.mark.requirement("C3")
async def test_a_change_that_begins_while_the_monitor_reads_holds_up_no_look_at_the_others(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    for session in (BOB, CAT):
        running.store.add(session)
        running.supervisor.doubt(session)
    reading = SlowAnswer(running, monkeypatch, "get_session")
    desiring = SlowAnswer(running, monkeypatch, "set_desired")
    await running.clock.advance(10)
    await reading.waiting.wait()
    # One is being looked at, and waits; the other one's database takes its time.
    starting = [asyncio.create_task(running.supervisor.start(one)) for one in (BOB, CAT)]
    await desiring.waiting.wait()
    reading.go_on.set()
    await turns()
    running.clock.jump(3600)
    await running.clock.advance(10)
    await turns()
    assert engine.checked == 1
    running.supervisor.doubt(ANA)
    running.store.records[ANA] = replace(running.store.records[ANA], desired=Desired.STOPPED)
    await running.clock.advance(10)
    await gone(running.supervisor, ANA)
    desiring.go_on.set()
    await asyncio.gather(*starting)


@pytest.mark.requirement("C3")
async def test_a_database_that_takes_its_time_holds_up_no_look_at_the_sessions(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    running.supervisor.doubt(ANA)
    reading = SlowAnswer(running, monkeypatch, "get_session")
    await running.clock.advance(10)
    await reading.waiting.wait()
    running.clock.jump(3600)
    await running.clock.advance(10)
    await turns()
    assert engine.checked == 1
    reading.go_on.set()


@pytest.mark.requirement("C3")
async def test_nobody_brings_back_what_a_person_stopped(running: World) -> None:
    await started(running, paired=True)
    await running.supervisor.stop(ANA)
    await running.clock.advance(60)
    await turns()
    assert len(running.engines[ANA]) == 1


@pytest.mark.requirement("D5")
async def test_a_session_stays_registered_while_its_transport_comes_and_goes(
    running: World,
) -> None:
    running.store.add("ana", paired=True)
    await running.supervisor.start(ANA)
    task = running.supervisor.task(ANA)
    for number in range(1, 6):
        (await running.engine("ana", number)).end(LOST)
        await turns()
        assert running.supervisor.task(ANA) is task
        assert running.supervisor.live(ANA).connection is Connection.WAITING
        await running.clock.advance(60)
    await running.engine("ana", 6)
    assert running.supervisor.task(ANA) is task


async def test_a_wake_reaches_the_session_that_it_is_for_and_no_other(running: World) -> None:
    for session in ("ana", "bob"):
        running.store.add(session)
        await running.supervisor.start(SessionId(session))
    ana, bob = await running.engine("ana"), await running.engine("bob")
    running.supervisor.wake_sender(ANA)
    running.supervisor.wake_sender(SessionId("nobody"))
    assert (ana.woken, bob.woken) == (1, 0)


# --- races ----------------------------------------------------------------------------------------


class SlowAnswer:
    """Holds up one answer of the store to one question, after it was made: the n-th, from 0."""

    def __init__(
        self, world: World, monkeypatch: pytest.MonkeyPatch, method: str, number: int = 0
    ) -> None:
        left = iter(range(number, -1, -1))
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        inner = getattr(world.store, method)

        async def ask(*arguments: object, **named: object) -> object:
            answer = await inner(*arguments, **named)
            if next(left, None) == 0:
                self.waiting.set()
                await self.go_on.wait()
            return answer

        monkeypatch.setattr(world.store, method, ask)


async def test_a_session_that_is_started_before_the_list_is_read_gets_one_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.add("ana", desired=Desired.STOPPED)
    listing = SlowAnswer(world, monkeypatch, "list_sessions")
    desiring = SlowAnswer(world, monkeypatch, "set_desired")
    # The API answers already; the service is still starting.
    starting = asyncio.create_task(world.supervisor.start(ANA))
    await desiring.waiting.wait()
    life = await begin(world)
    await listing.waiting.wait()
    desiring.go_on.set()
    await starting
    listing.go_on.set()
    await turns()
    assert len(world.engines[ANA]) == 1
    await end(world, life)


async def test_a_stop_while_a_failed_session_is_read_anew_is_obeyed(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.store.add("ana")
    running.broken.add(ANA)
    await running.supervisor.start(ANA)
    await running.clock.until_asleep(5)
    running.broken.clear()
    reading = SlowAnswer(running, monkeypatch, "get_session")
    await running.clock.advance(5)
    await reading.waiting.wait()
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await turns()
    reading.go_on.set()
    async with asyncio.timeout(5):
        await stopping
    assert ANA not in running.engines
    assert not running.supervisor.is_running(ANA)


async def fail_in_an_outage(world: World) -> None:
    """Lose Ana's connection, and let her task die of a bug at the next attempt."""
    world.store.add("ana", paired=True)
    await world.supervisor.start(ANA)
    (await world.engine("ana")).end(LOST)
    await turns()
    world.broken.add(ANA)
    await world.clock.advance(1)
    await world.clock.until_asleep(5)
    world.broken.clear()
    assert outage_of(world) is not None


def outage_of(world: World) -> Outage | None:
    return Standing.parse(world.store.records[ANA].standing).outage


@pytest.mark.requirement("E6", "F1")
async def test_a_stop_in_the_pause_after_a_bug_ends_the_outage(running: World) -> None:
    await fail_in_an_outage(running)
    async with asyncio.timeout(5):
        await running.supervisor.stop(ANA)
    assert outage_of(running) is None
    assert running.store.told(ANA)[-1] is EventType.SESSION_STOPPED
    assert not running.supervisor.is_running(ANA)
    assert running.supervisor.live(ANA).connection is Connection.STOPPED
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


async def test_an_outage_that_nobody_came_to_end_is_ended_when_the_service_starts(
    world: World,
) -> None:
    life = await begin(world)
    await fail_in_an_outage(world)
    # The wish is stored, and the service is killed before it is obeyed.
    await world.store.set_desired(ANA, Desired.STOPPED)
    life.cancel()
    await asyncio.wait([life])
    heir = World(store=world.store)
    life = await begin(heir)
    assert outage_of(heir) is None
    assert heir.store.told(ANA)[-1] is EventType.SESSION_STOPPED
    assert not heir.engines
    assert not heir.supervisor.is_running(ANA)
    await end(heir, life)


async def test_a_stopped_session_without_an_outage_is_told_nothing_of(running: World) -> None:
    running.store.add("ana", paired=True, desired=Desired.STOPPED)
    await running.supervisor.stop(ANA)
    assert running.store.told(ANA) == []


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
    bob.end(Ending(kind=Kind.LOCAL, code=Local.STOPPED))
    async with asyncio.timeout(5):
        await life


async def test_a_logout_of_a_session_that_has_just_failed_is_done(running: World) -> None:
    running.store.add("ana", paired=True)
    running.broken.add(ANA)
    await running.supervisor.start(ANA)
    await running.clock.until_asleep(5)
    running.broken.clear()
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


async def test_nothing_cuts_the_time_short_that_follows_a_bug(running: World) -> None:
    running.store.add("ana", paired=True)
    running.broken.add(ANA)
    await running.supervisor.start(ANA)
    for wait in (5, 5, 10, 15, 25):
        await running.clock.until_asleep(wait)
        await running.clock.advance(wait)
    await running.clock.until_asleep(40)
    running.broken.clear()
    await running.clock.advance(40)
    engine = await running.engine("ana")
    running.broken.add(ANA)
    engine.end(LOST)  # dies on its way to wait for the next attempt, which is never overdue
    await running.clock.until_asleep(65)
    running.broken.clear()
    for _ in range(6):
        await running.clock.advance(10)
        await turns()
    assert len(running.engines[ANA]) == 1
    await running.clock.advance(5)
    await running.engine("ana", 2)


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
    await running.clock.advance(16 * 60)
    bugs += [True, False]
    engine.end(LOST)
    await running.clock.until_asleep(1)
    await running.clock.advance(1)
    await running.clock.until_asleep(5)
    await running.clock.advance(5)
    engine = await running.engine("ana", 2)
    bugs += [True]
    engine.end(LOST)
    await running.clock.until_asleep(1)
    await running.clock.advance(1)
    await running.clock.until_asleep(5)
    told = [row.event for row in running.store.outbox]
    failed = [event for event in told if event.type is EventType.SESSION_FAILED]
    assert [event.payload["in_a_row"] for event in failed] == [1, 2]


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


async def test_a_start_while_the_service_finishes_a_logout_is_wanted_afterwards(
    world: World,
) -> None:
    world.store.add("ana", desired=Desired.LOGGED_OUT, paired=True)
    life = await begin(world)
    goodbye = await world.engine("ana")
    starting = asyncio.create_task(world.supervisor.start(ANA))
    await turns()
    goodbye.end(LOST)
    await starting
    await world.engine("ana", 2)
    assert world.store.destroyed == [ANA]
    assert world.store.records[ANA].desired is Desired.RUNNING
    await end(world, life)


# --- changes of which nobody knows what came of them ----------------------------------------------


class Unsure:
    """Lets changes of a desire be stored, and says that the database did not answer."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        set_desired = world.store.set_desired

        async def unsure(session: SessionId, desired: Desired) -> None:
            if self.lasts:
                if self.stores:
                    await set_desired(session, desired)
                raise StorageUnavailable("no answer in time")
            await set_desired(session, desired)

        self.lasts = self.stores = True
        monkeypatch.setattr(world.store, "set_desired", unsure)


@pytest.mark.requirement("C3", "E8")
async def test_a_start_that_was_stored_unheard_is_followed_within_ten_seconds(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.store.add("ana", paired=True, desired=Desired.STOPPED)
    Unsure(running, monkeypatch)
    with pytest.raises(StorageUnavailable):
        await running.supervisor.start(ANA)
    assert not running.supervisor.is_running(ANA)
    await running.clock.advance(10)
    await running.engine("ana")


@pytest.mark.requirement("C3", "E8")
async def test_a_stop_that_was_stored_unheard_is_followed_within_ten_seconds(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    Unsure(running, monkeypatch)
    with pytest.raises(StorageUnavailable):
        await running.supervisor.stop(ANA)
    assert running.supervisor.is_running(ANA)
    await running.clock.advance(10)
    await gone(running.supervisor, ANA)
    assert engine.stopped
    assert not engine.logged_out
    await running.clock.advance(60)
    await turns()
    assert len(running.engines[ANA]) == 1


@pytest.mark.requirement("C3", "E8")
async def test_a_logout_that_was_stored_unheard_is_followed_within_ten_seconds(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    engine.observer.notice(Opened(at=running.clock.now()))
    await turns()
    Unsure(running, monkeypatch)
    with pytest.raises(StorageUnavailable):
        await running.supervisor.logout(ANA)
    await running.clock.advance(10)
    await gone(running.supervisor, ANA)
    assert engine.logged_out
    assert running.store.destroyed == [ANA]


@pytest.mark.requirement("C3", "E8")
@pytest.mark.parametrize("change", ["start", "stop", "logout"])
async def test_a_change_that_was_not_stored_changes_nothing(
    running: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    engine = await started(running, paired=True)
    Unsure(running, monkeypatch).stores = False
    with pytest.raises(StorageUnavailable):
        await getattr(running.supervisor, change)(ANA)
    await running.clock.advance(60)
    await turns()
    assert running.supervisor.is_running(ANA)
    assert not engine.stopped


@pytest.mark.requirement("C3", "E8")
async def test_a_start_whose_caller_goes_away_in_between_is_followed_all_the_same(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.store.add("ana", paired=True, desired=Desired.STOPPED)
    reading = SlowAnswer(running, monkeypatch, "get_session", 1)  # the first is for the desire
    starting = asyncio.create_task(running.supervisor.start(ANA))
    await reading.waiting.wait()
    starting.cancel()
    await asyncio.wait([starting])
    reading.go_on.set()
    assert not running.supervisor.is_running(ANA)
    await running.clock.advance(10)
    await running.engine("ana")


@pytest.mark.requirement("C3", "E8")
async def test_the_outage_that_a_stop_cut_short_leaves_open_is_ended(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_in_an_outage(running)
    reading = SlowAnswer(running, monkeypatch, "get_session", 1)  # the first is for the desire
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await reading.waiting.wait()
    stopping.cancel()
    await asyncio.wait([stopping])
    reading.go_on.set()
    assert outage_of(running) is not None
    await running.clock.advance(10)
    await gone(running.supervisor, ANA)
    assert outage_of(running) is None
    assert running.store.told(ANA)[-1] is EventType.SESSION_STOPPED
    assert len(running.engines[ANA]) == 1


async def test_a_service_that_ends_before_its_database_answers_ends_in_order(world: World) -> None:
    world.store.add("ana", paired=True)
    world.store.failing = StorageUnavailable("the database is starting")
    life = await begin(world)
    await world.clock.until_asleep(2)
    world.supervisor.close()
    await world.clock.advance(2)
    await life
    assert not world.engines


@pytest.mark.parametrize("change", ["start", "stop", "restart", "logout", "delete"])
async def test_what_is_asked_of_a_session_that_is_none_leaves_nothing_behind(
    running: World, change: str
) -> None:
    for number in range(100):
        with pytest.raises(NotFound):
            await getattr(running.supervisor, change)(SessionId(f"none{number}"))
    assert running.supervisor.changed == 0
