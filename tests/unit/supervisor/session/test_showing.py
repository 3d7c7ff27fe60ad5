"""What the live state of a session shows of its machines."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Cause
from perene.core.ids import Epoch, SessionId
from perene.core.machines.outlook import outlook_of
from perene.core.machines.session import new_session
from perene.core.machines.state import (
    Asking,
    Claiming,
    Connecting,
    Destroying,
    Held,
    Owned,
    Ownership,
    SessionState,
    Unpaired,
    Waiting,
)
from perene.core.notices import QrShown
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


def test_the_days_of_a_phone_s_absence_are_shown() -> None:
    assert shown(replace(LINKED, standing=Standing(phone_absent_days=12))).phone_absent_days == 12


def test_what_a_connection_tells_of_itself_stays_when_something_else_changes() -> None:
    connecting = replace(LINKED, connection=Connecting())
    live = shown(connecting)
    live.notice(QrShown(text="qr", expires_at=NOW))
    later = replace(connecting, standing=Standing(phone_absent_days=1))
    show(live, connecting, later, POLICIES)
    assert live.connection is Connection.PAIRING
    assert live.qr is not None


@pytest.mark.parametrize("still_linked", [True, False])
def test_a_logout_that_whatsapp_did_not_confirm_says_what_to_look_for(still_linked: bool) -> None:
    live = LiveState()
    live.last_error = "what was wrong before"
    destroying = replace(LINKED, pairing=Destroying(still_linked=still_linked))
    show(live, LINKED, destroying, POLICIES)
    assert live.last_error == "what was wrong before"
    show(live, destroying, replace(LINKED, pairing=Unpaired()), POLICIES)
    assert (live.last_error is not None and "Linked devices" in live.last_error) is still_linked
    assert still_linked or live.last_error is None


@pytest.mark.parametrize(
    ("ownership", "connection"),
    [
        (Asking(held=None), Connection.CONNECTING),
        (Asking(held=None, failures=1, until=5.0), Connection.WAITING),
        (Owned(epoch=Epoch(1)), Connection.CONNECTING),
    ],
)
def test_a_session_waits_while_its_database_does_not_answer(
    ownership: Ownership, connection: Connection
) -> None:
    state = replace(LINKED, connection=Claiming(), ownership=ownership)
    assert shown(state).connection is connection
    if isinstance(ownership, Asking):
        live = shown(replace(state, ownership=Asking(held=None)))
        show(live, replace(state, ownership=Asking(held=None)), state, POLICIES)
        assert live.connection is connection
