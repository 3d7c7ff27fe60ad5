"""What people want, and when: each wish finds the session somewhere on its way."""

from collections.abc import Callable

import pytest

from perene.core.causes import Cause
from perene.core.ids import Epoch
from perene.core.machines.effects import Acquire, Connect, Destroy, Drain, OutageOver, Stopped
from perene.core.machines.inputs import (
    Destroyed,
    LogOut,
    NotAcquired,
    Restart,
    Start,
    Stop,
    VersionFound,
)
from perene.core.machines.session import next_deadline
from perene.core.machines.state import (
    Claiming,
    Connecting,
    Down,
    Draining,
    FindingVersion,
    Held,
    LoggingOut,
    Then,
)
from perene.core.outages import OutageEnd
from perene.core.policy import Count
from tests.support.endings import LOGGED_OUT, LOST, OUTDATED, REPLACED, STOPPED
from tests.unit.core.machines.life import Life

START, STOP, LEAVE = Start(by_person=True), Stop(by_person=True), Stop(by_person=False)
AWAY = NotAcquired(taken=False)


@pytest.fixture
def life() -> Life:
    """A linked session that is open."""
    life = Life(START)
    life.opened()
    return life


def test_a_start_while_a_stop_closes_the_connection_makes_another(life: Life) -> None:
    life.give(STOP, START)
    assert life.told(Drain) == [Drain()]
    life.lost(STOPPED)
    assert life.told(Stopped) == []
    assert life.granted()[-1] == Connect(epoch=Epoch(2), attempt=1)


@pytest.mark.parametrize("turn", [STOP, LEAVE, Restart()])
def test_the_last_wish_counts_for_a_connection_that_closes(
    life: Life, turn: Stop | Restart
) -> None:
    life.give(Restart(), STOP, turn)
    life.lost(STOPPED)
    wants_more = isinstance(turn, Restart)
    assert life.state.connection == (Claiming() if wants_more else Down())
    assert len(life.told(Stopped)) == (turn is STOP)


def test_a_person_who_starts_it_forgets_what_was_in_vain(life: Life) -> None:
    life.fails(LOST, times=5)
    life.lost(LOST)
    assert life.give(Start(by_person=False)) == (), "the service has no such say"
    life.give(START)
    (connect,) = life.granted()
    assert isinstance(connect, Connect)
    assert connect.attempt == 1
    life.lost(LOST)
    assert life.state.standing.counts == {Count.NETWORK: 1}


# --- while it is down -------------------------------------------------------------------------


def dies(life: Life) -> None:
    """Have its connection lost, and its task end without a word: an outage is left."""
    life.lost(LOST)
    life.give(LEAVE)
    life.done.clear()


def test_a_stop_ends_what_a_run_before_had_left(life: Life) -> None:
    dies(life)
    assert life.give(LEAVE) == ()
    assert life.state.standing.outage is not None
    life.give(STOP)
    assert [one.outage.end for one in life.told(OutageOver)] == [OutageEnd.STOPPED]
    assert len(life.told(Stopped)) == 1
    assert life.give(STOP) == (), "it is told once"


def test_a_restart_begins_what_was_down(life: Life) -> None:
    dies(life)
    assert life.give(Restart()) == (Acquire(held=Epoch(1)),)


def test_a_service_that_ends_asks_the_database_nothing_more() -> None:
    life = Life(START, AWAY)
    assert next_deadline(life.state) is not None
    life.give(LEAVE)
    assert (life.state.connection, next_deadline(life.state)) == (Down(), None)


def test_a_person_does_not_wait_for_the_next_question_to_a_database(life: Life) -> None:
    life.lost(LOST)
    life.comes_due()
    life.give(AWAY)
    assert life.give(Restart()) == (Acquire(held=None),)


def test_a_session_that_waits_for_a_person_is_ours_still(life: Life) -> None:
    life.lost(REPLACED)
    assert life.give(START) == (Acquire(held=Epoch(1)),)


# --- logout -----------------------------------------------------------------------------------


def held(life: Life) -> None:
    life.lost(REPLACED)
    assert life.state.connection == Held(cause=Cause.REPLACED)


def finding_version(life: Life) -> None:
    life.lost(OUTDATED)
    assert life.state.connection == FindingVersion()


def waiting_for_a_version(life: Life) -> None:
    finding_version(life)
    life.give(VersionFound(found=False))


def stopped(life: Life) -> None:
    life.give(STOP)
    life.lost(STOPPED)


@pytest.mark.parametrize("before", [held, finding_version, waiting_for_a_version, stopped, dies])
def test_a_logout_says_goodbye_from_wherever_the_session_is(
    life: Life, before: Callable[[Life], None]
) -> None:
    before(life)
    life.give(LogOut())
    life.granted()
    assert life.state.connection == Connecting(parting=True)


def test_a_logout_while_the_session_is_claimed_says_goodbye_on_that_connection() -> None:
    life = Life(START)
    assert life.give(LogOut()) == (), "the question is asked already"
    life.granted()
    assert life.state.connection == Connecting(parting=True)


def test_a_logout_of_what_was_never_linked_only_deletes() -> None:
    life = Life(paired=False)
    life.give(LogOut())
    assert life.granted() == (Destroy(epoch=Epoch(1)),)
    life.give(Destroyed(ok=True))
    assert life.state.connection == Down()


def claiming(life: Life) -> None:
    life.lost(LOST)
    life.give(LogOut())


def connecting(life: Life) -> None:
    claiming(life)
    life.granted()


def draining(life: Life) -> None:
    life.give(LogOut())
    assert life.state.connection == Draining(then=Then.LOG_OUT, parting=True)


def destroying(life: Life) -> None:
    draining(life)
    life.lost(LOGGED_OUT)
    assert life.state.connection == LoggingOut()


UNDER_WAY = [claiming, connecting, draining, destroying]


@pytest.mark.parametrize("wish", [STOP, Restart(), START, LogOut()])
@pytest.mark.parametrize("before", UNDER_WAY)
def test_a_logout_is_finished_whatever_is_wanted_meanwhile(
    life: Life, before: Callable[[Life], None], wish: Start | Stop | Restart | LogOut
) -> None:
    before(life)
    under_way = life.state
    assert life.give(wish) == ()
    assert (life.state.connection, life.state.pairing) == (under_way.connection, under_way.pairing)


@pytest.mark.parametrize("before", UNDER_WAY)
def test_a_service_that_ends_leaves_a_logout_to_the_next(
    life: Life, before: Callable[[Life], None]
) -> None:
    before(life)
    life.give(LEAVE)
    if isinstance(life.state.connection, Draining):
        life.lost(STOPPED)
    assert life.state.connection == Down()
    assert life.told(Destroy) == []
