"""What is shown, kept and saved of a session while its database takes its time, or is away."""

import asyncio
from datetime import timedelta

import pytest

from perene.core.account import Ban
from perene.core.causes import Cause, Local
from perene.core.events import EventType
from perene.core.machines.inputs import Start
from perene.core.machines.outlook import Outlook
from perene.core.notices import QrShown
from perene.core.sessions import Connection
from tests.support.endings import LOST, REPLACED, failure, local
from tests.support.virtual_clock import START
from tests.unit.supervisor.session.one import OneSession


@pytest.mark.requirement("E8")
async def test_a_database_that_is_away_delays_and_loses_nothing(one: OneSession) -> None:
    one.storage_down = True
    before = len(one.units)
    await one.end(1, local(Local.STORAGE))
    await one.clock.until_asleep(2, within=0.2)
    assert len(one.units) == before
    one.storage_down = False
    one.acquisitions_to_fail = 2
    await one.clock.advance(2.2)
    for seconds in (2, 2):
        await one.clock.until_asleep(seconds, within=seconds / 10)
        await one.clock.advance(seconds * 1.1)
    await one.engine(2)
    assert one.archived == []
    [told] = one.events(EventType.SESSION_DISCONNECTED)
    assert told["cause"] == "storage"
    assert [unit.epoch for unit in one.units[before:]] == [one.epochs] * 2


@pytest.mark.requirement("E8", "D9")
async def test_what_befell_a_session_that_rests_is_saved_when_the_database_is_back(
    one: OneSession,
) -> None:
    before = len(one.units)
    one.storage_down = True
    await one.end(1, REPLACED)
    for wait in (10, 10, 20, 30, 50, 60, 60):  # ever more seldom, at last once a minute
        await one.clock.until_asleep(wait)
        await one.clock.advance(wait)
    assert len(one.units) == before
    one.storage_down = False
    await one.clock.until_asleep(60)
    await one.clock.advance(60)
    [told] = one.events(EventType.SESSION_REPLACED)
    assert told["retry_in_s"] is None
    saved = len(one.units)
    await one.clock.advance(86_400)
    assert (len(one.units), one.clock.asleep) == (saved, [])


@pytest.mark.requirement("C16", "E8")
async def test_an_end_is_shown_before_it_is_saved_and_what_follows_from_it_afterwards(
    one: OneSession,
) -> None:
    await one.opened(1)
    await one.end_while_storage_hangs(1, failure("402", code="101", expire="3600"))
    live = one.task.live
    assert (live.connection, live.connected_at) == (Connection.WAITING, None)
    assert live.outlook == Outlook()
    one.save()
    await one.clock.until_asleep(3601)
    over_at = START + timedelta(seconds=3601)
    assert live.connection is Connection.WAITING
    assert live.outlook == Outlook(
        cause=Cause.TEMPORARY_BAN,
        retry_at=over_at,
        outage_began_at=START,
        ban=Ban(code="101", until=over_at),
    )


@pytest.mark.requirement("E8")
async def test_that_a_person_is_needed_is_not_shown_before_it_is_saved(one: OneSession) -> None:
    await one.end_while_storage_hangs(1, REPLACED)
    assert (one.state, one.task.live.last_error) == (Connection.WAITING, None)
    one.save()
    await one.settled(Connection.NEEDS_ATTENTION)
    assert one.task.live.last_error is not None


async def test_a_qr_code_of_a_connection_that_has_ended_is_not_shown_any_more(
    one: OneSession,
) -> None:
    engine = await one.engine(1)
    engine.observer.notice(QrShown(text="qr", expires_at=START + timedelta(seconds=60)))
    assert one.task.live.qr is not None
    await one.end_while_storage_hangs(1, LOST)
    assert one.task.live.qr is None
    one.save()


@pytest.mark.requirement("E8")
async def test_an_end_is_shown_also_while_an_earlier_step_still_waits_to_be_saved(
    one: OneSession,
) -> None:
    await one.end(1, LOST)
    await one.next_attempt()
    engine = await one.opened(2)
    one.storage_hangs = True
    await one.clock.advance(30)  # it counts as stable, and the outage as over
    await one.until_unsaved()
    assert one.state is Connection.OPEN
    engine.ending.set_result(LOST)
    await one.settled(Connection.WAITING)
    assert len(one.unsaved) == 1
    assert one.task.live.outlook.retry_at is None
    one.save()
    await one.next_attempt()
    await one.engine(3)


@pytest.mark.parametrize("open_before", [True, False])
async def test_a_stop_is_shown_once_the_connection_is_closed(
    one: OneSession, open_before: bool
) -> None:
    await (one.opened(1) if open_before else one.engine(1))
    one.storage_hangs = True
    one.task.stop()
    await one.until_unsaved()
    assert one.state is Connection.STOPPED
    one.save()
    await one.ended()
    assert one.state is Connection.STOPPED


async def test_a_restart_and_a_logout_are_not_shown_as_a_stop(one: OneSession) -> None:
    await one.opened(1)
    one.storage_hangs = True
    one.task.restart()
    await one.until_unsaved()
    assert one.state is Connection.WAITING
    one.save()
    await one.opened(2)
    one.storage_hangs = True
    one.task.log_out()
    await one.until_unsaved()
    assert one.state is Connection.WAITING
    one.save()
    await one.ended()
    assert one.state is Connection.STOPPED


@pytest.mark.requirement("E8")
async def test_a_stop_right_after_the_database_came_back_ends_the_outage(one: OneSession) -> None:
    await one.opened(1)
    one.storage_down = True
    one.acquisitions_to_fail = 2
    await one.end(1, local(Local.STORAGE))
    await one.clock.until_asleep(2, within=0.2)
    await one.clock.advance(2.2)
    await one.clock.until_asleep(2, within=0.2)
    one.storage_down = False
    one.task.stop()
    await one.ended()
    last = [unit for unit in one.units if unit.outage][-1]
    assert last.outage is not None
    assert (last.outage.end, last.epoch) == ("stopped", one.epochs)
    assert len(one.events(EventType.SESSION_STOPPED)) == 1


@pytest.mark.requirement("E8")
async def test_what_waits_to_be_saved_is_not_written_under_an_epoch_that_may_be_old(
    one: OneSession,
) -> None:
    await one.opened(1)
    one.storage_down = True
    await one.end(1, LOST)
    await one.clock.until_asleep(1, within=0.1)
    before = len(one.units)
    one.acquiring.clear()  # the next epoch is made, and the answer takes its time
    await one.clock.advance(1.1)
    one.task.stop()
    one.storage_down = False
    await one.clock.until_asleep(10, within=2)
    await one.clock.advance(60)
    assert len(one.units) == before
    one.acquiring.set()
    await one.ended()
    assert [unit.epoch for unit in one.units[before:]] == [2, 2]


async def test_the_end_of_the_service_waits_for_no_epoch_under_which_nothing_is_to_be_written() -> (
    None
):
    one = OneSession()
    one.acquiring.clear()
    running = asyncio.create_task(one.task.run(first=Start(by_person=False)))
    await one.settled(Connection.CONNECTING)
    one.task.stop(by_person=False)
    async with asyncio.timeout(5):
        await running
    assert (one.units, one.engines) == ([], [])


@pytest.mark.parametrize("answered", [True, False])
async def test_a_stop_while_an_epoch_is_asked_for_is_written_under_the_one_that_comes(
    one: OneSession, answered: bool
) -> None:
    await one.opened(1)
    await one.end(1, LOST)
    await one.clock.until_asleep(1, within=0.1)
    one.acquiring.clear()
    await one.clock.advance(1.1)
    one.task.stop()
    for _ in range(20):
        await asyncio.sleep(0)
    one.acquisitions_to_fail = 0 if answered else 1
    one.acquiring.set()
    await one.ended()
    last = [unit for unit in one.units if unit.outage][-1]
    assert last.outage is not None
    assert (last.outage.end, last.epoch) == ("stopped", 2 if answered else 1)
    assert len(one.events(EventType.SESSION_STOPPED)) == 1
