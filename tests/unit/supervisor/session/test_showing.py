"""What people see of the machines of a session."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from perene.core.causes import Cause
from perene.core.ids import SessionId
from perene.core.machines.session import new_session
from perene.core.machines.state import Connecting, Held, SessionState, Waiting
from perene.core.policy import POLICIES, Count
from perene.core.sessions import Connection
from perene.core.standing import Standing
from perene.supervisor.session.live import LiveState
from perene.supervisor.session.showing import show

UNTIL = datetime(2026, 11, 21, tzinfo=UTC)
LINKED = new_session(SessionId("ana"), paired=True)


def shown(state: SessionState) -> LiveState:
    live = LiveState()
    show(live, LINKED, state, POLICIES)
    return live


def test_a_ban_is_shown_until_its_time_is_over() -> None:
    waiting = Waiting(until=60.0, at=UNTIL, cause=Cause.TEMPORARY_BAN)
    banned = Standing(ban_code="101", not_before=UNTIL)
    live = shown(replace(LINKED, connection=waiting, standing=banned))
    assert (live.ban_code, live.ban_until) == ("101", UNTIL)
    over = replace(banned, not_before=None)
    live = shown(replace(LINKED, connection=Connecting(), standing=over))
    assert (live.ban_code, live.ban_until) == (None, None)
    lost = Waiting(until=90.0, at=UNTIL + timedelta(seconds=30), cause=Cause.DNS)
    live = shown(replace(LINKED, connection=lost, standing=over))
    assert (live.ban_code, live.ban_until) == (None, None)


def test_no_more_attempts_are_shown_than_were_made() -> None:
    standing = Standing(counts={Count.UNKNOWN: 6})
    live = shown(replace(LINKED, connection=Held(cause=Cause.UNKNOWN), standing=standing))
    assert live.connection is Connection.NEEDS_ATTENTION
    assert (live.attempt, live.limit) == (5, 5)
