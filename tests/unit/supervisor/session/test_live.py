"""The live half of a session follows the notices of its connection."""

import asyncio
from datetime import timedelta

import pytest

from perene.core.machines.outlook import Outlook
from perene.core.notices import (
    Alive,
    DeafOutcome,
    HearingDoubted,
    LoginStarted,
    Notice,
    Opened,
    PhoneLinked,
    PhoneSeen,
    QrShown,
    VersionExpires,
)
from perene.core.sessions import Connection
from perene.supervisor.ports import QrView
from perene.supervisor.session.live import LiveState
from tests.support.virtual_clock import START

QR = QrShown(text="qr", expires_at=START + timedelta(seconds=60))
LATER = START + timedelta(minutes=1)


def after(*notices: Notice, paired: bool = False) -> LiveState:
    live = LiveState()
    live.paired = paired
    for notice in notices:
        live.notice(notice)
    return live


def test_a_session_that_never_ran_is_stopped() -> None:
    live = LiveState()
    assert live.connection is Connection.STOPPED
    assert (live.connected_at, live.alive_at, live.last_error, live.qr) == (None,) * 4


@pytest.mark.parametrize(
    ("paired", "connection"), [(True, Connection.LOGGING_IN), (False, Connection.PAIRING)]
)
def test_a_login_is_a_pairing_when_there_is_no_device_yet(
    paired: bool, connection: Connection
) -> None:
    assert after(LoginStarted(), paired=paired).connection is connection


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ([5], 5),
        ([5, 3], 3),
        ([3, 5], 3),
        ([3, None], None),
        ([None], None),
        ([None, 5], 5),
    ],
)
def test_of_when_a_version_expires_the_soonest_time_is_kept_until_it_is_taken_back(
    said: list[int | None], kept: int | None
) -> None:
    notices = [
        VersionExpires(
            at=None if days is None else START + timedelta(days=days), version=(2, 3000, 1)
        )
        for days in said
    ]
    live = after(*notices)
    found = live.version_expires
    assert (found.at if found else None) == (kept and START + timedelta(days=kept))
    newer = VersionExpires(at=START + timedelta(days=90), version=(2, 3000, 2))
    live.notice(newer)
    assert live.version_expires == newer, "what was said of another version says nothing of it"


def test_a_qr_code_is_shown_until_the_next_one() -> None:
    assert after(QR).qr == QrView(text="qr", expires_at=QR.expires_at)
    assert after(QR, QrShown(text="next", expires_at=LATER)).qr == QrView(
        text="next", expires_at=LATER
    )


def test_a_linked_phone_leaves_no_qr_code_behind_and_the_next_login_is_no_pairing() -> None:
    live = after(QR, PhoneLinked())
    assert live.qr is None
    live.notice(LoginStarted())
    assert live.connection is Connection.LOGGING_IN


def test_an_open_connection_has_a_time_and_no_error() -> None:
    live = LiveState()
    live.moved(Connection.WAITING, error="The network is gone.")
    live.notice(Opened(at=LATER))
    assert live.connection is Connection.OPEN
    assert live.connected_at == live.alive_at == LATER
    assert live.last_error is None


def test_a_sign_of_life_moves_only_its_own_time() -> None:
    live = after(Opened(at=START), Alive(at=LATER))
    assert (live.connection, live.connected_at, live.alive_at) == (Connection.OPEN, START, LATER)


@pytest.mark.parametrize("connection", [one for one in Connection if one is not Connection.OPEN])
def test_a_connection_that_is_not_open_is_not_connected_and_has_no_qr_code(
    connection: Connection,
) -> None:
    live = after(Opened(at=START), QR)
    live.moved(connection)
    assert (live.connection, live.connected_at, live.qr) == (connection, None, None)


def test_the_last_error_stays_until_a_login_or_the_next_error() -> None:
    live = LiveState()
    live.moved(Connection.WAITING, error="One.")
    live.moved(Connection.CONNECTING)
    assert live.last_error == "One."
    live.moved(Connection.WAITING, error="Two.")
    assert live.last_error == "Two."


@pytest.mark.parametrize(
    "notice", [LoginStarted(), QR, PhoneLinked(), Opened(at=START), Alive(at=START)]
)
async def test_every_notice_wakes_everybody_who_waits(notice: Notice) -> None:
    live = LiveState()
    waiting = [asyncio.create_task(live.changed()) for _ in range(3)]
    await asyncio.sleep(0)
    live.notice(notice)
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)


async def test_a_change_of_the_past_wakes_nobody() -> None:
    live = after(QR)
    waiting = asyncio.create_task(live.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    live.moved(Connection.WAITING)
    async with asyncio.timeout(10):
        await waiting


def test_every_real_change_of_state_is_told_once_with_both_ends() -> None:
    told: list[tuple[Connection, Connection]] = []
    live = LiveState(on_transition=lambda before, after: told.append((before, after)))
    live.moved(Connection.CONNECTING)
    live.moved(Connection.CONNECTING)
    live.notice(LoginStarted())
    live.notice(QR)
    live.notice(Opened(at=START))
    live.notice(Alive(at=LATER))
    assert told == [
        (Connection.STOPPED, Connection.CONNECTING),
        (Connection.CONNECTING, Connection.PAIRING),
        (Connection.PAIRING, Connection.OPEN),
    ]


@pytest.mark.parametrize("connection", list(Connection))
def test_only_a_session_that_is_down_has_a_next_attempt(connection: Connection) -> None:
    live = LiveState()
    live.outlook = Outlook(retry_at=LATER)
    live.moved(connection)
    planned = connection in (Connection.WAITING, Connection.NEEDS_ATTENTION)
    assert live.outlook.retry_at == (LATER if planned else None)


def test_a_session_that_never_ran_has_no_history() -> None:
    live = LiveState()
    assert (live.outlook, live.deaf_suspicions) == (Outlook(), 0)


def test_the_phone_was_seen_at_the_latest_of_its_sightings() -> None:
    live = after(PhoneSeen(at=LATER), PhoneSeen(at=START))
    assert live.phone_seen_at == LATER


@pytest.mark.requirement("F3")
def test_suspicions_of_deafness_are_counted_and_their_outcomes_told() -> None:
    told: list[DeafOutcome] = []
    live = LiveState(on_deaf=told.append)
    for outcome in (None, DeafOutcome.FALSE_ALARM, None, DeafOutcome.CONFIRMED):
        live.notice(HearingDoubted(outcome=outcome))
    assert live.deaf_suspicions == 2
    assert told == [DeafOutcome.FALSE_ALARM, DeafOutcome.CONFIRMED]


def test_a_device_that_was_linked_and_is_not_needs_pairing_until_it_is_linked_again() -> None:
    live = LiveState()
    live.paired = False
    assert not live.needs_pairing
    live.paired = True
    assert not live.needs_pairing
    live.paired = False
    live.paired = False
    assert live.needs_pairing
    live.notice(PhoneLinked())
    assert not live.needs_pairing


def test_a_device_that_was_unlinked_needs_pairing_also_while_the_session_waits() -> None:
    live = after(PhoneLinked())
    live.paired = False
    live.moved(Connection.WAITING)
    live.moved(Connection.CONNECTING)
    assert live.needs_pairing


def test_each_connection_but_the_first_after_a_stop_is_one_that_was_opened_again() -> None:
    live = LiveState()
    counted: list[int] = []
    for connection in (Connection.WAITING, Connection.NEEDS_ATTENTION, Connection.STOPPED):
        live.notice(Opened(at=START))
        live.moved(connection)
        live.notice(Opened(at=LATER))
        counted.append(live.reopened)
    live.moved(Connection.WAITING)
    assert counted == [1, 3, 4]


def test_a_session_that_a_person_stopped_waits_for_no_pairing() -> None:
    live = LiveState()
    live.paired = True
    live.paired = False
    live.moved(Connection.STOPPED)
    assert not live.needs_pairing
