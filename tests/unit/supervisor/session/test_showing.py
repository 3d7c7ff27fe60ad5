"""What the live state of a session shows of its machines."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from perene.core.causes import Cause
from perene.core.ids import SessionId
from perene.core.machines.outlook import outlook_of
from perene.core.machines.session import new_session
from perene.core.machines.state import Held, SessionState, Waiting
from perene.core.policy import POLICIES
from perene.core.sessions import Connection
from perene.core.standing import Standing
from perene.supervisor.session.live import LiveState
from perene.supervisor.session.showing import show

NOW = datetime(2026, 11, 21, tzinfo=UTC)
LINKED = new_session(SessionId("ana"), paired=True)


def shown(state: SessionState) -> LiveState:
    live = LiveState()
    show(live, LINKED, state, POLICIES)
    return live


def test_a_session_that_waits_is_shown_with_its_outlook_and_what_is_wrong() -> None:
    waiting = Waiting(until=5.0, at=NOW + timedelta(seconds=5), cause=Cause.DNS)
    state = replace(LINKED, connection=waiting)
    live = shown(state)
    assert live.connection is Connection.WAITING
    assert live.outlook == outlook_of(state, POLICIES)
    assert live.last_error == POLICIES[Cause.DNS].sentence


def test_a_session_that_is_held_needs_attention() -> None:
    live = shown(replace(LINKED, connection=Held(cause=Cause.REPLACED)))
    assert live.connection is Connection.NEEDS_ATTENTION
    assert live.last_error == POLICIES[Cause.REPLACED].sentence


def test_the_phone_was_seen_when_a_notice_or_an_earlier_run_says_latest() -> None:
    live = LiveState()
    live.phone_seen_at = NOW
    for earlier_run in (NOW - timedelta(days=1), NOW + timedelta(hours=1)):
        standing = Standing(phone_seen_at=earlier_run)
        show(live, LINKED, replace(LINKED, standing=standing), POLICIES)
        assert live.phone_seen_at == max(NOW, earlier_run)
