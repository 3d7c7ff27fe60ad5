"""Credentials that are of no use are set aside, and nothing that was known of them stays."""

from datetime import timedelta

import pytest

from perene.core.causes import Cause, Ending
from perene.core.ids import Epoch
from perene.core.machines.effects import (
    Acquire,
    Archive,
    Connect,
    Deed,
    Destroy,
    Disconnected,
    OutageOver,
    Stopped,
)
from perene.core.machines.inputs import (
    Archived,
    Destroyed,
    Due,
    LogOut,
    NotAcquired,
    PhoneAccepted,
    Restart,
    Start,
    Stop,
)
from perene.core.machines.session import next_deadline
from perene.core.machines.state import Down, Held, LoggingOut, SettingAside
from perene.core.outages import OutageEnd
from perene.core.policy import POLICIES, Count
from perene.core.standing import Standing
from tests.support.endings import LOST, RESTART, UNLINKED, failure
from tests.unit.core.machines.life import Life

LOCKED = failure("403")
STOP = Stop(by_person=True)


@pytest.fixture
def life() -> Life:
    """A linked session that is open."""
    life = Life(Start(by_person=True))
    life.opened()
    return life


def archived(life: Life) -> None:
    life.granted()
    life.give(Archived(ok=True))


def comes_to_know_much(life: Life) -> None:
    """Have it banned, lost and without its phone for long, then let the next attempt be made."""
    life.live(timedelta(days=13))
    for ending in (LOST, failure("402", code="101", expire="60")):
        life.lost(ending)
        life.comes_due()
        life.granted()


def test_an_unlinked_device_ends_its_outage_and_a_new_code_follows(life: Life) -> None:
    life.lost(UNLINKED)
    assert life.told(Disconnected) == [], "a failing database must not make us lie"
    archived(life)
    (told,) = life.told(Disconnected)
    assert (told.decided.verdict.cause, told.decided.attention) == (Cause.UNLINKED, False)
    assert told.decided.wait == timedelta(seconds=1)
    (over,) = life.told(OutageOver)
    assert (over.outage.cause, over.outage.end) == (Cause.UNLINKED, OutageEnd.LOGGED_OUT)
    assert not life.state.paired
    life.comes_due()
    assert isinstance(life.granted()[-1], Connect)


@pytest.mark.parametrize("ending", [UNLINKED, LOCKED], ids=["unlinked", "locked"])
def test_nothing_that_was_known_of_credentials_outlives_them(life: Life, ending: Ending) -> None:
    comes_to_know_much(life)
    life.lost(ending)
    archived(life)
    if ending is LOCKED:
        assert life.state.standing == Standing(held=Cause.LOCKED)
    else:
        assert life.state.standing == Standing(counts={Count.PAIRINGS: 1})


def test_nor_does_it_outlive_a_logout(life: Life) -> None:
    comes_to_know_much(life)
    life.lost(LOST)
    life.give(LogOut())
    life.granted()
    life.lost(LOST)
    life.granted()
    assert isinstance(life.state.connection, LoggingOut)
    life.give(Destroyed(ok=True))
    assert (life.state.connection, life.state.standing) == (Down(), Standing())


def test_a_server_that_refuses_fresh_credentials_too_is_asked_ever_more_seldom(life: Life) -> None:
    waits: list[float] = []
    for _ in range(5):
        life.lost(UNLINKED)
        archived(life)
        wait = life.told(Disconnected)[-1].decided.wait
        assert wait is not None
        waits.append(wait.total_seconds())
        life.comes_due()
        life.granted()
    assert waits == [1, 1, 2, 3, 5]


def test_a_locked_account_waits_for_a_person_and_says_so(life: Life) -> None:
    life.lost(LOCKED)
    archived(life)
    (told,) = life.told(Disconnected)
    assert (told.decided.verdict.cause, told.decided.attention) == (Cause.LOCKED, True)
    assert told.decided.wait is None
    assert (life.state.connection, next_deadline(life.state)) == (Held(cause=Cause.LOCKED), None)


@pytest.mark.requirement("D8")
def test_after_the_last_515_a_new_code_is_offered_at_once(life: Life) -> None:
    limit = POLICIES[Cause.RESTART_REQUIRED].limit
    assert limit is not None
    life.fails(RESTART, times=limit)
    life.done.clear()
    life.lost(RESTART)
    archived(life)
    (told,) = life.told(Disconnected)
    assert (told.decided.exhausted, told.decided.wait) == (True, timedelta())
    assert life.state.standing.counts == {}, "what comes begins anew"
    life.comes_due()
    assert isinstance(life.granted()[-1], Connect)


def test_a_stop_meanwhile_is_followed_once_they_are_set_aside(life: Life) -> None:
    life.lost(UNLINKED)
    life.give(STOP)
    assert isinstance(life.state.connection, SettingAside)
    archived(life)
    assert (life.state.connection, life.state.paired) == (Down(), False)
    assert (len(life.told(Disconnected)), len(life.told(Stopped))) == (1, 1)


@pytest.mark.parametrize("wishes", [(STOP, Start(by_person=True)), (Restart(),), (STOP, Restart())])
def test_so_is_a_start_and_it_waits_for_nothing(
    life: Life, wishes: tuple[Start | Stop | Restart, ...]
) -> None:
    life.lost(UNLINKED)
    life.give(*wishes)
    archived(life)
    assert isinstance(life.granted()[-1], Connect)
    assert life.told(Stopped) == []


def test_so_is_a_logout(life: Life) -> None:
    life.lost(UNLINKED)
    life.give(LogOut())
    archived(life)
    assert life.granted() == (Destroy(epoch=Epoch(3)),)


def test_a_service_that_ends_meanwhile_does_not_wait_for_it(life: Life) -> None:
    life.lost(UNLINKED)
    life.give(Stop(by_person=False))
    assert life.state.connection == Down()


def test_a_database_that_cannot_do_it_is_asked_ever_more_seldom_and_once_at_a_time(
    life: Life,
) -> None:
    life.lost(UNLINKED)
    life.granted()
    waits: list[float] = []
    for _ in range(8):
        before = life.passed
        life.done.clear()
        life.give(Archived(ok=False))
        life.comes_due()
        life.give(Due())
        assert life.told(Archive) == [Archive(epoch=Epoch(2), reason=Cause.UNLINKED)]
        waits.append((life.passed - before).total_seconds())
    assert waits == [2, 2, 4, 6, 10, 16, 26, 30]


def test_who_takes_the_session_from_another_owner_has_its_credentials_as_they_are(
    life: Life,
) -> None:
    life.lost(UNLINKED)
    life.give(NotAcquired(taken=True))
    life.give(Start(by_person=True))
    deeds = [effect for effect in life.granted() if isinstance(effect, Deed)]
    assert [type(deed) for deed in deeds] == [Connect]


def test_a_device_that_is_unlinked_in_the_moment_of_its_linking_is_set_aside() -> None:
    life = Life(Start(by_person=True), paired=False)
    life.granted()
    life.give(PhoneAccepted())
    assert life.lost(UNLINKED) == (Acquire(held=Epoch(1)),)
    assert life.granted() == (Archive(epoch=Epoch(2), reason=Cause.UNLINKED),)
