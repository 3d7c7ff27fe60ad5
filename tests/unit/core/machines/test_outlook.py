"""What people are shown of a session's way back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.account import Ban
from perene.core.causes import Cause
from perene.core.clock import Instant
from perene.core.ids import SessionId
from perene.core.machines.outlook import Outlook, outlook_of
from perene.core.machines.session import new_session
from perene.core.machines.state import (
    Connecting,
    Connection,
    Down,
    FindingVersion,
    Held,
    Open,
    Waiting,
)
from perene.core.policy import POLICIES, Count
from perene.core.standing import Standing

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
