"""A logout, wherever it finds the session: WhatsApp is told, and the credentials end."""

from datetime import UTC, datetime

import pytest

from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Acquire, Connect, Destroy, Drain, Effect
from perene.core.machines.inputs import (
    Acquired,
    Ended,
    Input,
    LoggedIn,
    LogOut,
    NotAcquired,
    PhoneAccepted,
    Restart,
    Start,
    Stop,
)
from perene.core.machines.session import new_session, step
from perene.core.machines.state import Chances, SessionState, Waiting
from perene.core.outages import OutageId

NOW = Instant(wall=datetime(2026, 11, 21, tzinfo=UTC), monotonic=0.0)
CHANCES = Chances(jitter=0.5, outage_id=OutageId("one"))
START = Start(by_person=True)
LOST = Ended(ending=Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED))
CLOSED = Ended(ending=Ending(kind=Kind.LOCAL, code=Local.STOPPED))
RESTART_REQUIRED = Ended(ending=Ending(kind=Kind.STREAM_ERROR, code="515"))


def lived(*inputs: Input, paired: bool = True) -> tuple[SessionState, list[Effect]]:
    """Return the state after these, and the deeds that the last of them asked for."""
    state, effects = new_session(SessionId("ana"), paired=paired), list[Effect]()
    for given in inputs:
        taken = step(state, given, NOW, CHANCES)
        state, effects = taken.state, list(taken.effects)
    return state, [one for one in effects if isinstance(one, Acquire | Connect | Drain | Destroy)]


def epoch(number: int) -> Acquired:
    return Acquired(epoch=Epoch(number))


OPEN = (START, epoch(1), LoggedIn(at=NOW))


def test_a_logout_that_finds_a_connection_closing_makes_another_to_say_goodbye() -> None:
    for turn in (Restart(), Stop(by_person=True)):
        _, effects = lived(*OPEN, turn, LogOut(), CLOSED)
        assert effects == [Acquire(held=Epoch(1))]
        _, effects = lived(*OPEN, turn, LogOut(), CLOSED, epoch(2))
        assert effects == [Connect(epoch=Epoch(2), attempt=1)]
        _, effects = lived(*OPEN, turn, LogOut(), CLOSED, epoch(2), LoggedIn(at=NOW))
        assert effects == [Drain(log_out=True)]


def test_a_connection_that_closed_after_its_goodbye_needs_no_other() -> None:
    _, effects = lived(*OPEN, LogOut(), CLOSED, epoch(2))
    assert effects == [Destroy(epoch=Epoch(2))]
    _, effects = lived(*OPEN, LogOut(), LogOut(), CLOSED, epoch(2))
    assert effects == [Destroy(epoch=Epoch(2))]


def test_a_logout_takes_the_session_from_another_owner_to_say_goodbye() -> None:
    _, effects = lived(*OPEN, LOST, LogOut(), NotAcquired(taken=True))
    assert effects == [Acquire(held=None)]
    _, effects = lived(*OPEN, LOST, LogOut(), NotAcquired(taken=True), epoch(7))
    assert effects == [Connect(epoch=Epoch(7), attempt=1, limit=30)]


def test_a_logout_right_after_linking_says_goodbye_on_the_connection_that_linking_ends_with() -> (
    None
):
    linked = (START, epoch(1), PhoneAccepted(), LogOut(), RESTART_REQUIRED)
    _, effects = lived(*linked, paired=False)
    assert effects == [Acquire(held=Epoch(1))]
    _, effects = lived(*linked, epoch(2), paired=False)
    assert [type(one) for one in effects] == [Connect]
    _, effects = lived(*linked, epoch(2), LOST, epoch(3), paired=False)
    assert effects == [Destroy(epoch=Epoch(3))]


def test_a_logout_of_what_is_not_linked_has_nobody_to_tell() -> None:
    _, effects = lived(START, epoch(1), Restart(), LogOut(), CLOSED, epoch(2), paired=False)
    assert effects == [Destroy(epoch=Epoch(2))]


def test_a_device_that_is_linked_while_its_logout_closes_the_connection_is_unlinked() -> None:
    linked = (START, epoch(1), LogOut(), PhoneAccepted(), CLOSED)
    _, effects = lived(*linked, paired=False)
    assert effects == [Acquire(held=Epoch(1))]
    _, effects = lived(*linked, epoch(2), paired=False)
    assert [type(one) for one in effects] == [Connect]


@pytest.mark.parametrize("code", [Local.STOPPED, Local.RESTARTED])
def test_a_connection_that_says_it_was_stopped_when_nobody_did_comes_back(code: Local) -> None:
    unasked = Ended(ending=Ending(kind=Kind.LOCAL, code=code))
    for living in (OPEN, OPEN[:2]):
        state, _ = lived(*living, unasked)
        assert isinstance(state.connection, Waiting)
        assert state.connection.cause is Cause.INTERNAL
