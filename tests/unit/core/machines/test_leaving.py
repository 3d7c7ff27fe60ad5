"""A logout, wherever it finds the session: WhatsApp is told, and the credentials end."""

from collections.abc import Sequence

import pytest

from perene.core.causes import Cause, Ending, Local
from perene.core.ids import Epoch
from perene.core.machines.effects import Acquire, Connect, Deed, Destroy, Drain, Effect
from perene.core.machines.inputs import (
    Acquired,
    LoggedIn,
    LogOut,
    NotAcquired,
    PhoneAccepted,
    Restart,
    Start,
    Stop,
)
from perene.core.machines.state import Waiting
from tests.support.endings import (
    LOGGED_OUT,
    LOST,
    REPLACED,
    RESTART,
    STOPPED,
    UNLINKED,
    failure,
    local,
    stream_error,
)
from tests.unit.core.machines.life import Life

TAKEN = NotAcquired(taken=True)


def deeds(effects: Sequence[Effect]) -> Sequence[Deed]:
    return [effect for effect in effects if isinstance(effect, Deed)]


@pytest.fixture
def opened() -> Life:
    """A linked session that is open."""
    life = Life(Start(by_person=True))
    life.opened()
    return life


@pytest.fixture
def unlinked() -> Life:
    """A session that nobody has linked, and that offers its code."""
    life = Life(Start(by_person=True), paired=False)
    life.granted()
    return life


@pytest.mark.parametrize("turn", [Restart(), Stop(by_person=True)])
def test_a_logout_that_finds_a_connection_closing_makes_another_to_say_goodbye(
    opened: Life, turn: Restart | Stop
) -> None:
    opened.give(turn, LogOut())
    assert deeds(opened.lost(STOPPED)) == [Acquire(held=Epoch(1))]
    assert deeds(opened.granted()) == [Connect(epoch=Epoch(2), attempt=1)]
    assert deeds(opened.give(LoggedIn(at=opened.now))) == [Drain(log_out=True)]


@pytest.mark.parametrize("times", [1, 2])
def test_a_connection_that_closed_after_its_goodbye_needs_no_other(
    opened: Life, times: int
) -> None:
    opened.give(*[LogOut()] * times)
    opened.lost(LOGGED_OUT)
    assert deeds(opened.granted()) == [Destroy(epoch=Epoch(2))]


def test_a_logout_takes_the_session_from_another_owner_to_say_goodbye(opened: Life) -> None:
    opened.lost(LOST)
    assert deeds(opened.give(LogOut(), TAKEN)) == [Acquire(held=None)]
    goodbye = deeds(opened.give(Acquired(epoch=Epoch(7))))
    assert goodbye == [Connect(epoch=Epoch(7), attempt=1, limit=30)]


def test_a_logout_right_after_linking_says_goodbye_on_the_connection_that_linking_ends_with(
    unlinked: Life,
) -> None:
    unlinked.give(PhoneAccepted(), LogOut())
    assert deeds(unlinked.lost(RESTART)) == [Acquire(held=Epoch(1))]
    (connect,) = deeds(unlinked.granted())
    assert isinstance(connect, Connect)
    unlinked.lost(LOST)
    assert deeds(unlinked.granted()) == [Destroy(epoch=Epoch(3), still_linked=True)]


def test_a_logout_of_what_is_not_linked_has_nobody_to_tell(unlinked: Life) -> None:
    unlinked.give(Restart(), LogOut())
    unlinked.lost(STOPPED)
    assert deeds(unlinked.granted()) == [Destroy(epoch=Epoch(2))]


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize(
    ("ending", "still_linked"),
    [
        (LOGGED_OUT, False),
        (UNLINKED, False),
        (stream_error("401", "device_removed"), False),
        (STOPPED, True),
        (LOST, True),
        (local(Local.DNS), True),
        (failure("402"), True),
        (REPLACED, True),
    ],
    ids=["done", "401", "removed", "no answer", "lost", "dns", "ban", "replaced"],
)
def test_a_logout_says_whether_whatsapp_has_heard_of_it(
    opened: Life, connected: bool, ending: Ending, still_linked: bool
) -> None:
    if not connected:
        opened.lost(LOST)
    opened.give(LogOut())
    if not connected:
        opened.granted()
    opened.lost(ending)
    (destroy,) = deeds(opened.granted())
    assert isinstance(destroy, Destroy)
    assert destroy.still_linked is still_linked


def test_a_logout_during_a_ban_tells_nobody_and_says_so(opened: Life) -> None:
    opened.lost(failure("402", expire="3600"))
    opened.give(LogOut())
    assert deeds(opened.granted()) == [Destroy(epoch=Epoch(2), still_linked=True)]


def test_a_device_that_is_linked_while_its_logout_closes_the_connection_is_unlinked(
    unlinked: Life,
) -> None:
    unlinked.give(LogOut(), PhoneAccepted())
    assert deeds(unlinked.lost(STOPPED)) == [Acquire(held=Epoch(1))]
    (connect,) = deeds(unlinked.granted())
    assert isinstance(connect, Connect)


@pytest.mark.parametrize("code", [Local.STOPPED, Local.RESTARTED])
@pytest.mark.parametrize("logged_in", [True, False])
def test_a_connection_that_says_it_was_stopped_when_nobody_did_comes_back(
    code: Local, logged_in: bool
) -> None:
    life = Life(Start(by_person=True))
    life.granted()
    if logged_in:
        life.give(LoggedIn(at=life.now))
    life.lost(local(code))
    assert isinstance(life.state.connection, Waiting)
    assert life.state.connection.cause is Cause.INTERNAL


def test_a_device_that_logged_in_where_it_was_linked_says_goodbye_once(unlinked: Life) -> None:
    unlinked.give(PhoneAccepted(), LoggedIn(at=unlinked.now), LogOut())
    unlinked.lost(LOGGED_OUT)
    assert deeds(unlinked.granted()) == [Destroy(epoch=Epoch(2))]


def test_a_logout_while_a_code_is_shown_waits_for_nobody_to_scan_it(unlinked: Life) -> None:
    assert deeds(unlinked.give(LogOut())) == [Drain(log_out=True)]
