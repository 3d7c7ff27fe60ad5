"""One right reaction to every way in which a connection can end."""

import asyncio
from datetime import timedelta

import pytest

from perene.core.account import Ban
from perene.core.causes import Cause, Ending, Local
from perene.core.errors import NotFound, PereneError, StaleEpoch, StorageUnavailable
from perene.core.events import EventType
from perene.core.machines.inputs import Start
from perene.core.notices import Opened, VersionExpires
from perene.core.policy import POLICIES
from perene.core.sessions import Connection
from tests.support.endings import OUTDATED, REPLACED, RESTART, failure, local, stream_error
from tests.unit.supervisor.session.one import OneSession


@pytest.mark.requirement("D1", "D2", "D4")
async def test_515_restarts_at_once_and_then_by_its_schedule(one: OneSession) -> None:
    await one.end(1, RESTART)
    await one.end(2, RESTART)
    for number, minutes in ((3, 5), (4, 10), (5, 15)):
        await one.clock.until_asleep(minutes * 60)
        assert len(one.engines) == number - 1
        assert one.state is Connection.WAITING
        await one.clock.advance(minutes * 60)
        await one.end(number, RESTART)
    await one.clock.until_asleep(20 * 60)
    assert one.archived == []
    assert [told["attempt"] for told in one.events(EventType.SESSION_ERROR_515)] == [1, 2, 3, 4, 5]


@pytest.mark.requirement("D6")
async def test_a_connection_that_was_stable_begins_a_new_count(one: OneSession) -> None:
    await one.end(1, RESTART)
    engine = await one.engine(2)
    engine.observer.notice(Opened(at=one.clock.now()))
    assert one.state is Connection.OPEN
    await one.clock.advance(31)
    engine.ending.set_result(RESTART)
    await one.engine(3)
    assert one.clock.monotonic() == 31


async def test_a_connection_that_was_open_for_a_moment_does_not(one: OneSession) -> None:
    await one.end(1, RESTART)
    engine = await one.engine(2)
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.clock.advance(29)
    engine.ending.set_result(RESTART)
    await one.clock.until_asleep(300)


async def test_the_network_is_tried_again_with_growing_delays(one: OneSession) -> None:
    for number, seconds in enumerate((1, 1, 2, 3, 5, 8, 13), start=1):
        await one.end(number, local(Local.UNREACHABLE))
        await one.clock.until_asleep(seconds, within=seconds / 10)
        await one.clock.advance(seconds * 1.1)
    await one.engine(8)


@pytest.mark.parametrize(
    "ending",
    [failure("401"), stream_error("401", "device_removed"), stream_error("516")],
)
async def test_an_unlinked_device_is_archived_and_pairing_begins_again(
    one: OneSession, ending: Ending
) -> None:
    await one.end(1, ending)
    await one.clock.until_asleep(1, within=0.1)
    assert one.archived == ["unlinked"]
    assert not one.task.live.paired
    await one.clock.advance(1.1)
    await one.engine(2)


CANNOT_NOW = [StorageUnavailable("down"), NotFound("a backup is being restored")]


@pytest.mark.parametrize("error", CANNOT_NOW)
async def test_credentials_that_cannot_be_set_aside_now_are_set_aside_later(
    one: OneSession, error: PereneError
) -> None:
    one.refusals = [error, error]
    await one.end(1, failure("401"))
    for _ in range(2):
        await one.clock.until_asleep(2, within=0.2)
        assert (one.archived, one.task.live.paired, len(one.engines)) == ([], True, 1)
        await one.clock.advance(2.2)
    await one.clock.until_asleep(1, within=0.1)
    assert (one.archived, one.task.live.paired) == (["unlinked"], False)
    await one.clock.advance(1.1)
    await one.engine(2)


async def test_credentials_that_another_owner_has_by_now_are_left_to_it(one: OneSession) -> None:
    one.refusals = [StaleEpoch("taken")]
    await one.end(1, failure("401"))
    await one.settled(Connection.NEEDS_ATTENTION)
    assert one.task.live.last_error == POLICIES[Cause.OWNERSHIP_LOST].sentence
    assert (one.archived, one.task.live.paired) == ([], True)


@pytest.mark.requirement("D7")
async def test_after_ten_restarts_in_vain_the_credentials_are_set_aside(one: OneSession) -> None:
    await one.end(1, RESTART)
    for attempt in range(2, 11):
        await one.end(attempt, RESTART)
        await one.clock.until_asleep(300 * (attempt - 1))
        await one.clock.advance(300 * (attempt - 1))
    assert one.archived == []
    await one.end(11, RESTART)
    await one.engine(12)
    assert one.archived == ["restart_required"]


async def test_a_ban_is_waited_out_to_the_end_of_its_last_second(one: OneSession) -> None:
    await one.end(1, failure("402", code="101", expire="3600"))
    await one.clock.until_asleep(3601)
    await one.clock.advance(3600)
    assert len(one.engines) == 1
    await one.clock.advance(1)
    await one.engine(2)
    assert one.archived == []


async def test_a_ban_that_is_not_over_after_its_time_is_not_asked_after_every_second(
    one: OneSession,
) -> None:
    await one.end(1, failure("402", code="101", expire="5"))
    await one.clock.until_asleep(6)
    await one.clock.advance(6)
    await one.end(2, failure("402", code="101", expire="1"))
    await one.clock.until_asleep(60)
    await one.clock.advance(59)
    assert len(one.engines) == 2
    await one.clock.advance(1)
    await one.engine(3)


@pytest.mark.parametrize(
    "ending",
    [
        failure("406"),
        failure("409"),
        REPLACED,
        local(Local.UNREADABLE_STATE),
    ],
)
async def test_what_needs_a_person_waits_and_keeps_the_credentials(
    one: OneSession, ending: Ending
) -> None:
    await one.end(1, ending)
    await one.settled(Connection.NEEDS_ATTENTION)
    assert one.task.live.last_error
    assert one.archived == []
    assert len(one.events(EventType.SESSION_NEEDS_ATTENTION)) == 1
    await one.clock.advance(86_400)
    assert len(one.engines) == 1

    one.task.start()
    await one.engine(2)


async def test_a_session_of_another_owner_waits_for_a_person_and_is_not_written_to(
    one: OneSession,
) -> None:
    await one.end(1, local(Local.STALE_EPOCH))
    await one.settled(Connection.NEEDS_ATTENTION)
    assert one.task.live.last_error == POLICIES[Cause.OWNERSHIP_LOST].sentence
    assert (one.archived, one.units) == ([], [])


async def test_a_locked_account_waits_with_its_credentials_set_aside(one: OneSession) -> None:
    await one.end(1, failure("403"))
    await one.settled(Connection.NEEDS_ATTENTION)
    assert one.archived == ["locked"]
    await one.clock.advance(86_400)
    assert len(one.engines) == 1


async def test_an_outdated_client_looks_for_a_newer_version_and_tries_it_once(
    one: OneSession,
) -> None:
    one.versions = [False, True]
    await one.end(1, OUTDATED)
    await one.clock.until_asleep(3600, within=360)
    assert len(one.engines) == 1
    await one.clock.advance(3960)
    await one.end(2, OUTDATED)
    await one.settled(Connection.NEEDS_ATTENTION)
    assert len(one.engines) == 2
    assert one.archived == []


async def test_a_device_that_is_to_be_linked_wants_a_new_version_and_a_linked_one_none(
    one: OneSession,
) -> None:
    await one.end(1, local(Local.DNS))
    await one.next_attempt()
    await one.engine(2)
    assert one.renewals == 0
    await one.end(2, failure("401"))
    await one.next_attempt()
    await one.engine(3)
    assert one.renewals == 1


@pytest.mark.parametrize(("version", "looks"), [((2, 3000, 1), 1), ((2, 2999, 9), 0)])
async def test_a_version_that_expires_is_looked_for_before_the_next_login(
    one: OneSession, version: tuple[int, int, int], looks: int
) -> None:
    """Unless another one is presented by now."""
    engine = await one.engine(1)
    at = one.clock.now() + timedelta(days=30)
    engine.observer.notice(VersionExpires(at=at, version=version))
    await one.end(1, local(Local.DNS))
    await one.next_attempt()
    await one.engine(2)
    assert one.renewals == looks


@pytest.mark.requirement("D3")
async def test_an_unknown_code_gets_five_attempts(one: OneSession) -> None:
    for number in range(1, 6):
        await one.end(number, stream_error("777"))
        await one.next_attempt()
    await one.end(6, stream_error("777"))
    await one.settled(Connection.NEEDS_ATTENTION)
    assert len(one.engines) == 6
    assert one.archived == []


@pytest.mark.requirement("C5")
async def test_the_network_gets_thirty_attempts_before_a_person_is_asked(one: OneSession) -> None:
    for number in range(1, 33):
        await one.end(number, local(Local.DNS))
        await one.next_attempt()
        told = one.events(EventType.SESSION_NEEDS_ATTENTION)
        assert len(told) == (0 if number <= 30 else 1)
    assert one.archived == []


async def test_a_ban_survives_a_restart_of_the_service(one: OneSession) -> None:
    await one.end(1, failure("402", code="101", expire="3600"))
    await one.clock.until_asleep(3601)
    standing = [unit.standing for unit in one.units if unit.standing][-1]
    again = OneSession(standing)
    running = asyncio.create_task(again.task.run(first=Start(by_person=False)))
    await again.clock.until_asleep(3601)
    again.task.restart()
    again.task.start()
    await again.clock.advance(3600)
    assert again.engines == []
    outlook = again.task.live.outlook
    assert outlook.ban == Ban(code="101", until=outlook.retry_at)
    await again.clock.advance(1)
    await again.engine(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_outage_is_a_row_from_the_loss_to_the_next_stable_connection(
    one: OneSession,
) -> None:
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.clock.advance(31)
    engine.ending.set_result(stream_error("503"))
    await one.next_attempt()
    await one.end(2, local(Local.DNS))
    await one.next_attempt()
    await one.opened(3)
    await one.clock.advance(30)
    rows = [unit.outage for unit in one.units if unit.outage]
    assert [(row.attempts, row.last_cause, row.end) for row in rows if row.retry_at] == [
        (0, "server_unavailable", None),
        (1, "dns", None),
    ], "it is kept as it goes on"
    assert len({row.id for row in rows}) == 1
    last = rows[-1]
    assert (last.cause, last.last_cause, last.attempts) == ("server_unavailable", "dns", 2)
    assert (last.end, last.code) == ("recovered", "503")
    assert len(one.events(EventType.SESSION_RECOVERED)) == 1
    counted = one.metrics.exposition().decode()
    for cause in ("server_unavailable", "dns"):
        assert f'perene_disconnects_total{{cause="{cause}"}} 1.0' in counted
    assert 'perene_outages_total{end="recovered"} 1.0' in counted
