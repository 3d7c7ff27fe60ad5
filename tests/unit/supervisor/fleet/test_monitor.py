"""The look around: sessions that are not where they are wanted are brought there."""

import asyncio
from dataclasses import replace

import pytest

from perene.core.causes import Local
from perene.core.errors import NotFound, PereneError, StorageUnavailable, UnreadableState
from perene.core.ids import SessionId
from perene.core.machines.inputs import Due, Input
from perene.core.machines.state import Waiting
from perene.core.sessions import Desired, SessionRecord
from tests.support.endings import failure, local
from tests.support.turns import turns
from tests.unit.supervisor.fakes import World
from tests.unit.supervisor.fleet.life import (
    ANA,
    BOB,
    CAT,
    SlowAnswer,
    gone,
    started,
)


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
    running.supervisor.roster.task(ANA).stop()  # of which the supervisor knows nothing
    await gone(running.supervisor, ANA)
    await running.clock.advance(10)
    await running.engine("ana", 2)


@pytest.mark.requirement("C3", "E8")
async def test_a_database_that_is_away_is_asked_with_patience_what_is_wanted(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(running, paired=True)
    running.supervisor.roster.task(ANA).stop()  # of which the supervisor knows nothing
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
@pytest.mark.parametrize(
    ("error", "forgotten"), [(UnreadableState("damaged"), False), (NotFound("deleted"), True)]
)
async def test_a_session_that_cannot_be_read_keeps_nobody_from_being_looked_at(
    running: World, monkeypatch: pytest.MonkeyPatch, error: PereneError, forgotten: bool
) -> None:
    for name in ("ana", "bob"):
        running.store.add(name, paired=True)
        await running.supervisor.start(SessionId(name))
        await running.engine(name)
    for session in (ANA, BOB):
        running.supervisor.roster.task(session).stop()  # of which the supervisor knows nothing
        await gone(running.supervisor, session)
    read, asked = running.store.get_session, list[SessionId]()

    async def refuse_the_first(session: SessionId) -> SessionRecord:
        asked.append(session)
        if session == asked[0]:
            raise error
        return await read(session)

    monkeypatch.setattr(running.store, "get_session", refuse_the_first)
    await running.clock.advance(10)
    await turns()
    (other,) = {ANA, BOB} - {asked[0]}
    await running.engine(other, 2)
    assert (asked[0] in running.supervisor.roster.lives) is not forgotten


@pytest.mark.requirement("C3")
async def test_a_change_that_takes_its_time_holds_up_no_look_at_the_others(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session in ("ana", "bob"):
        running.store.add(session, paired=True)
        await running.supervisor.start(SessionId(session))
    bob = await running.engine("bob")
    await running.engine("ana")
    running.supervisor.roster.task(ANA).stop()  # of which the supervisor knows nothing
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


@pytest.mark.requirement("C3")
async def test_it_is_found_within_ten_seconds_each_time(running: World) -> None:
    await started(running, paired=True)
    for number in (2, 3, 4):
        running.supervisor.roster.task(ANA).stop()  # of which the supervisor knows nothing
        await gone(running.supervisor, ANA)
        await running.clock.advance(10)
        await turns()
        assert len(running.engines[ANA]) == number


@pytest.mark.requirement("C3")
async def test_a_session_whose_timer_was_missed_is_woken(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    engine.end(failure("402", expire="3600"))
    await turns()
    task = running.supervisor.roster.task(ANA)
    told, tell = list[Input](), task.tell

    def note(given: Input) -> None:
        told.append(given)
        tell(given)

    monkeypatch.setattr(task, "tell", note)
    for late_s, woken in ((29, []), (31, [Due()])):
        told.clear()
        waiting = task.state.connection
        assert isinstance(waiting, Waiting)
        missed = replace(waiting, until=running.clock.monotonic() + 10 - late_s)
        task.state = replace(task.state, connection=missed)
        assert task.overdue_s == max(0, late_s - 10)
        await running.clock.advance(10)
        assert told == woken


@pytest.mark.requirement("C3", "C5")
async def test_a_clock_that_was_set_ends_the_wait_for_a_certificate(running: World) -> None:
    engine = await started(running, paired=True)
    engine.end(local(Local.CERTIFICATE))
    await turns()
    await running.clock.advance(20)
    assert len(running.engines[ANA]) == 1
    running.clock.jump(3600)
    await running.clock.advance(10)
    await running.clock.advance(10)
    await turns()
    assert len(running.engines[ANA]) == 2
