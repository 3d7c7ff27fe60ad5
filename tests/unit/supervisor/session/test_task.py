"""The task that owns a session: what is asked of it, what it shows, and how it ends."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from perene.core.causes import Cause, Ending, Local
from perene.core.errors import NotFound, PereneError, StaleEpoch, StorageUnavailable
from perene.core.events import EventType
from perene.core.notices import Opened, PhoneLinked, PhoneSeen, QrShown
from perene.core.policy import POLICIES, Relief
from perene.core.sessions import Connection
from perene.core.standing import Standing
from perene.core.unit import Unit
from tests.support.endings import LOST, REPLACED, failure, local
from tests.support.turns import turns
from tests.unit.supervisor.session.one import OneSession


async def test_a_logout_is_the_only_thing_that_destroys_credentials(one: OneSession) -> None:
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now()))
    one.task.log_out()
    await one.ended()
    assert (engine.logged_out, one.destroyed, one.archived) == (True, 1, [])
    assert one.state is Connection.STOPPED


async def test_a_logout_during_a_login_waits_for_it_to_unlink_the_device(one: OneSession) -> None:
    engine = await one.engine(1)
    one.task.log_out()
    await asyncio.sleep(0)
    assert not engine.ending.done()
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.ended()
    assert (engine.logged_out, one.destroyed) == (True, 1)


@pytest.mark.parametrize("why", [local(Local.DNS), failure("401"), failure("402"), failure("403")])
async def test_a_logout_that_whatsapp_cannot_be_told_of_is_done_all_the_same(
    one: OneSession, why: Ending
) -> None:
    await one.end(1, local(Local.UNREACHABLE))
    await one.clock.until_asleep(1, within=0.1)
    one.task.log_out()
    await one.end(2, why)
    await one.ended()
    assert (len(one.engines), one.destroyed, one.archived) == (2, 1, [])


@pytest.mark.parametrize(
    "error", [StorageUnavailable("down"), NotFound("a backup is being restored")]
)
async def test_a_logout_destroys_later_what_cannot_be_destroyed_now(
    one: OneSession, error: PereneError
) -> None:
    one.refusals = [error]
    await one.opened(1)
    one.task.log_out()
    await one.clock.until_asleep(2, within=0.2)
    assert one.destroyed == 0
    await one.clock.advance(2.2)
    await one.ended()
    assert one.destroyed == 1


async def test_a_logout_takes_back_a_session_that_another_owner_took_meanwhile(
    one: OneSession,
) -> None:
    one.refusals = [StaleEpoch("taken")]
    await one.opened(1)
    one.task.log_out()
    await one.ended()
    assert one.destroyed == 1


@pytest.mark.parametrize("when", ["connected", "waiting"])
async def test_a_stop_ends_the_task_in_whatever_state(one: OneSession, when: str) -> None:
    await one.engine(1)
    if when == "waiting":
        await one.end(1, LOST)
        await one.clock.until_asleep(1, within=0.1)
    one.task.stop()
    await one.ended()
    assert one.state is Connection.STOPPED
    assert len(one.engines) == 1


async def test_a_bug_beside_the_connection_ends_the_task_that_would_wait_for_ever(
    one: OneSession,
) -> None:
    await one.end(1, local(Local.DNS))
    await one.clock.until_asleep(1, within=0.1)
    one.broken_acquire = True
    await one.clock.advance(1.1)
    with pytest.raises(ZeroDivisionError):
        await one.ended()


async def test_a_bug_in_a_connection_ends_that_connection_only(one: OneSession) -> None:
    (await one.engine(1)).ending.set_exception(ZeroDivisionError())
    await one.clock.until_asleep(5, within=0.5)
    one.broken_connect = True
    await one.clock.advance(5.5)
    await one.clock.until_asleep(5, within=0.5)
    await one.clock.advance(5.5)
    await one.engine(2)
    causes = [told["cause"] for told in one.events(EventType.SESSION_DISCONNECTED)]
    assert causes == ["internal", "internal"]


async def test_notices_show_in_the_live_state(one: OneSession) -> None:
    engine = await one.engine(1)
    expires = one.clock.now() + timedelta(seconds=60)
    engine.observer.notice(QrShown(text="qr", expires_at=expires))
    live = one.task.live
    assert (live.connection, live.qr is not None) == (Connection.PAIRING, True)
    engine.observer.notice(PhoneLinked())
    assert live.qr is None
    engine.observer.notice(Opened(at=one.clock.now()))
    assert (live.connection, live.connected_at) == (Connection.OPEN, one.clock.now())
    engine.ending.set_result(LOST)
    await one.clock.until_asleep(1, within=0.1)
    assert (live.connection, live.connected_at) == (Connection.WAITING, None)


async def test_the_log_tells_of_a_link_and_of_each_connection_that_opens(one: OneSession) -> None:
    engine = await one.engine(1)
    with capture_logs() as lines:
        engine.observer.notice(PhoneLinked())
        engine.observer.notice(Opened(at=one.clock.now()))
        await turns()
    assert [line["event"] for line in lines] == ["paired", "connected"]


@pytest.mark.requirement("D9", "E8")
async def test_a_login_is_told_with_what_the_next_run_must_know_of_it_in_one_transaction(
    one: OneSession,
) -> None:
    """A run that ends right after it tells of the end of the connection, or of nothing."""
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now(), pn="1@s.whatsapp.net", lid="2@lid"))
    await turns()
    (unit,) = [unit for unit in one.units if unit.events]
    (told,) = unit.events
    assert told.type is EventType.SESSION_CONNECTED
    assert told.payload == {"pn": "1@s.whatsapp.net", "lid": "2@lid"}
    assert Standing.parse(unit.standing).shown_up


async def test_why_a_connection_ended_is_shown_until_the_next_one_is_open(one: OneSession) -> None:
    await one.end(1, local(Local.DNS))
    await one.next_attempt()
    engine = await one.engine(2)
    assert one.task.live.last_error == POLICIES[Cause.DNS].sentence
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.settled(Connection.OPEN)
    assert one.task.live.last_error is None


async def test_a_wake_reaches_the_connection_of_this_moment(one: OneSession) -> None:
    engine = await one.engine(1)
    one.task.wake_sender()
    assert engine.woken == 1
    await one.end(1, LOST)
    await one.clock.until_asleep(1, within=0.1)
    one.task.wake_sender()
    assert engine.woken == 1


async def test_a_cancelled_task_ends_even_when_its_connection_fails_then(one: OneSession) -> None:
    engine = await one.engine(1)
    assert one.running is not None
    engine.ending.set_result(LOST)
    one.running.cancel()
    await asyncio.wait([one.running])
    assert one.running.cancelled()


async def test_that_a_session_is_up_is_saved_with_its_login_and_not_once_more(
    one: OneSession,
) -> None:
    await one.opened(1)
    assert [saved_as_up(unit) for unit in one.units] == [True]
    await one.clock.advance(31)
    await one.clock.until_asleep(10 * 86_400, within=60)  # it is stable, and has been saved
    assert len(one.units) == 1


async def test_a_connection_that_has_just_opened_is_not_stable_yet(one: OneSession) -> None:
    await one.opened(1)
    assert (one.task.is_open, one.task.is_stable) == (True, False)
    await one.clock.advance(31)
    await one.clock.until_asleep(10 * 86_400, within=60)
    assert (one.task.is_open, one.task.is_stable) == (True, True)


async def test_a_login_that_ends_an_outage_is_saved_once_it_is_stable(one: OneSession) -> None:
    await one.end(1, local(Local.UNREACHABLE))
    await one.next_attempt()
    before = len(one.units)
    await one.opened(2)
    assert not any(saved_as_up(unit) for unit in one.units[before:])
    await one.clock.advance(31)
    await one.settled(Connection.OPEN)
    await one.clock.until_asleep(10 * 86_400, within=60)  # it is stable, and has been saved
    assert saved_as_up(one.units[-1])


def saved_as_up(unit: Unit) -> bool:
    """Tell whether a unit says that the session is up."""
    return Standing.parse(unit.standing).up


@pytest.mark.parametrize(
    ("why", "reliefs"),
    [
        (local(Local.DNS), {Relief.WAY}),
        (local(Local.CERTIFICATE), {Relief.WAY, Relief.CLOCK}),
        (local(Local.INTERNAL), set[Relief]()),
    ],
)
async def test_a_session_waits_for_what_may_end_its_trouble(
    one: OneSession, why: Ending, reliefs: set[Relief]
) -> None:
    await one.opened(1)
    assert not any(one.task.waits_for(relief) for relief in Relief)
    await one.end(1, why)
    await one.settled(Connection.WAITING)
    await turns()
    assert {relief for relief in Relief if one.task.waits_for(relief)} == reliefs


async def test_a_start_right_after_a_stop_is_obeyed(one: OneSession) -> None:
    await one.opened(1)
    one.task.stop()
    one.task.start()
    assert one.task.heeds
    await one.engine(2)
    assert one.state is not Connection.STOPPED


async def test_a_start_that_a_stop_overtakes_is_not_obeyed(one: OneSession) -> None:
    await one.end(1, REPLACED)
    await one.settled(Connection.NEEDS_ATTENTION)
    one.task.start()
    one.task.stop()
    await one.ended()
    assert (len(one.engines), one.epochs) == (1, 1)


async def test_a_phone_that_has_been_away_is_asked_for_a_sign(one: OneSession) -> None:
    engine = await one.opened(1)
    await one.clock.advance(5 * 86_400)
    engine.observer.notice(PhoneSeen(at=one.clock.now()))
    await one.clock.until_asleep(10 * 86_400, within=86_400)
    await one.clock.advance(9 * 86_400)
    assert engine.pinged == 0
    await one.clock.advance(1.5 * 86_400)
    assert engine.pinged == 1


async def test_what_was_wrong_is_shown_until_a_login_though_the_next_attempt_has_begun(
    one: OneSession,
) -> None:
    await one.end(1, local(Local.DNS))
    await one.next_attempt()
    await one.engine(2)
    assert one.task.live.last_error == POLICIES[Cause.DNS].sentence
    await one.opened(2)
    assert one.task.live.last_error is None


async def test_what_the_database_said_is_shown_until_it_has_answered(one: OneSession) -> None:
    await one.opened(1)
    one.acquisitions_to_fail = 1
    await one.end(1, LOST)
    await one.next_attempt()
    async with asyncio.timeout(10):
        while one.task.live.last_error != "down":
            await one.task.live.changed()
    await one.clock.until_asleep(3, within=3)
    await one.clock.advance(3)
    await one.engine(2)
    assert one.task.live.last_error is None
