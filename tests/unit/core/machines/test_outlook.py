"""What people are shown of a session's way back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.account import Ban
from perene.core.causes import Cause
from perene.core.clock import Instant
from perene.core.ids import SessionId
from perene.core.machines.inputs import Start
from perene.core.machines.outlook import Outlook, outlook_of
from perene.core.machines.session import new_session
from perene.core.machines.state import (
    Connecting,
    Connection,
    Down,
    FindingVersion,
    Held,
    Open,
    SettingAside,
    Waiting,
)
from perene.core.machines.verdict import Verdict
from perene.core.policy import POLICIES, Count
from perene.core.standing import Standing
from tests.support.endings import LOST, UNLINKED
from tests.unit.core.machines.life import Life

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)


def shown(connection: Connection, standing: Standing | None = None) -> Outlook:
    linked = new_session(SessionId("ana"), paired=True)
    state = replace(linked, connection=connection, standing=standing or Standing())
    return outlook_of(state, POLICIES)


def waiting(cause: Cause) -> Waiting:
    return Waiting(until=30.0, at=LATER, cause=cause)


@pytest.mark.parametrize(
    "connection", [Down(), Connecting(), Open(since=Instant(wall=NOW, monotonic=0.0))]
)
def test_of_a_session_that_nothing_happened_to_there_is_nothing_to_show(
    connection: Connection,
) -> None:
    assert shown(connection) == Outlook()


def test_a_session_that_waits_shows_why_for_which_attempt_and_until_when() -> None:
    counted = Standing(counts={Count.NETWORK: 4})
    assert shown(waiting(Cause.DNS), counted) == Outlook(
        cause=Cause.DNS, attempt=4, limit=30, retry_at=LATER
    )


def test_a_session_that_looks_for_a_version_is_outdated() -> None:
    assert shown(FindingVersion()).cause is Cause.OUTDATED


@pytest.mark.requirement("F10")
def test_a_ban_is_shown_until_its_time_is_over() -> None:
    banned = Standing(ban_code="101", not_before=LATER)
    assert shown(waiting(Cause.TEMPORARY_BAN), banned).ban == Ban(code="101", until=LATER)
    over = replace(banned, not_before=None)
    assert shown(Connecting(), over).ban is None
    assert shown(waiting(Cause.DNS), over).ban is None


def test_no_more_attempts_are_shown_than_were_made() -> None:
    held = shown(Held(cause=Cause.UNKNOWN), Standing(counts={Count.UNKNOWN: 6}))
    assert (held.attempt, held.limit) == (5, 5)


def test_a_wait_after_the_limit_shows_the_attempts_that_are_made_beyond_it() -> None:
    beyond = shown(waiting(Cause.NETWORK), Standing(counts={Count.NETWORK: 34}))
    assert (beyond.attempt, beyond.limit) == (34, 30)


def test_a_session_whose_credentials_are_set_aside_shows_why() -> None:
    verdict = Verdict.of(UNLINKED, POLICIES)
    aside = SettingAside(verdict=verdict, again=True, exhausted=False)
    assert shown(aside).cause is Cause.UNLINKED


@pytest.mark.parametrize(
    ("connection", "cause"),
    [
        (Connecting(), Cause.NETWORK),
        (Open(since=Instant(wall=NOW, monotonic=0.0)), None),
        (Down(), None),
    ],
)
def test_an_outage_goes_on_until_a_connection_has_proved_stable_and_its_cause_until_it_is_made(
    connection: Connection, cause: Cause | None
) -> None:
    life = Life(Start(by_person=False))
    life.opened()
    life.lost(LOST)
    outlook = shown(connection, life.state.standing)
    assert (outlook.cause, outlook.outage_began_at) == (cause, life.outage.began_at)
