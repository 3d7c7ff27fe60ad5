"""Whom a session belongs to: one question at a time, one fresh epoch for each new beginning."""

import pytest

from perene.core.causes import Cause, Local
from perene.core.ids import Epoch
from perene.core.machines.effects import Acquire, Archive, Connect, Destroy, Disconnected
from perene.core.machines.inputs import (
    Acquired,
    Archived,
    Due,
    LogOut,
    NotAcquired,
    Restart,
    Start,
    Stop,
)
from perene.core.machines.session import next_deadline
from perene.core.machines.state import Down, Held
from tests.support.endings import LOST, STOPPED, UNLINKED, local
from tests.unit.core.machines.life import Life

START = Start(by_person=True)
STOP = Stop(by_person=True)
AWAY = NotAcquired(taken=False)
TAKEN = NotAcquired(taken=True)


@pytest.fixture
def claiming() -> Life:
    """A session that has been started, and waits for its first epoch."""
    return Life(START)


@pytest.fixture
def opened() -> Life:
    """A session that is open under its first epoch."""
    life = Life(START)
    life.opened()
    return life


def test_each_connection_has_an_epoch_of_its_own(opened: Life) -> None:
    opened.give(Restart())
    assert Acquire(held=Epoch(1)) in opened.lost(UNLINKED)


def test_who_asks_while_a_question_is_open_waits_for_its_answer(claiming: Life) -> None:
    assert claiming.give(Restart()) == ()
    (connect,) = claiming.granted()
    assert isinstance(connect, Connect)


def test_a_start_after_a_stop_uses_the_answer_that_is_on_its_way(claiming: Life) -> None:
    assert claiming.give(STOP, START) == ()
    (connect,) = claiming.granted()
    assert isinstance(connect, Connect)
    assert claiming.state.epoch == 1


@pytest.mark.parametrize("order", [(STOP, AWAY), (AWAY, STOP)])
def test_a_claim_that_nobody_needs_any_more_is_not_repeated(
    claiming: Life, order: tuple[Stop | NotAcquired, ...]
) -> None:
    claiming.give(*order)
    assert (claiming.state.connection, next_deadline(claiming.state)) == (Down(), None)


def test_a_claim_without_an_answer_may_have_been_granted_so_the_next_names_no_epoch(
    opened: Life,
) -> None:
    opened.lost(LOST)
    opened.done.clear()
    opened.comes_due()
    opened.give(AWAY)
    opened.comes_due()
    assert opened.told(Acquire) == [Acquire(held=Epoch(1)), Acquire(held=None)]


def test_a_session_of_another_owner_is_left_alone_until_a_person_takes_it(claiming: Life) -> None:
    claiming.give(TAKEN)
    assert claiming.state.connection == Held(cause=Cause.OWNERSHIP_LOST)
    assert claiming.give(START) == (Acquire(held=None),)


def test_so_is_one_that_another_owner_has_taken_from_its_connection(opened: Life) -> None:
    opened.lost(local(Local.STALE_EPOCH))
    assert opened.state.connection == Held(cause=Cause.OWNERSHIP_LOST)
    assert [told.decided.attention for told in opened.told(Disconnected)] == [True]
    assert opened.give(START) == (Acquire(held=None),)


def test_credentials_are_set_aside_under_an_epoch_that_no_older_write_has(opened: Life) -> None:
    assert opened.lost(UNLINKED) == (Acquire(held=Epoch(1)),)
    assert opened.granted() == (Archive(epoch=Epoch(2), reason=Cause.UNLINKED),)


def test_credentials_of_another_owner_are_not_set_aside(opened: Life) -> None:
    opened.lost(UNLINKED)
    opened.give(TAKEN)
    assert opened.state.connection == Held(cause=Cause.OWNERSHIP_LOST)
    assert opened.state.paired


def test_a_logout_takes_the_session_back_from_another_owner(opened: Life) -> None:
    opened.give(LogOut())
    opened.lost(STOPPED)
    assert opened.give(TAKEN) == (Acquire(held=None),)
    assert opened.give(Acquired(epoch=Epoch(7))) == (Destroy(epoch=Epoch(7), still_linked=True),)


def test_what_could_not_be_archived_is_tried_again_under_the_same_epoch(opened: Life) -> None:
    opened.lost(UNLINKED)
    opened.granted()
    opened.give(Archived(ok=False))
    due = next_deadline(opened.state)
    assert due is not None
    assert opened.give(Due()) == (), "not before its time"
    opened.done.clear()
    opened.comes_due()
    assert opened.told(Archive) == [Archive(epoch=Epoch(2), reason=Cause.UNLINKED)]


def test_a_database_that_does_not_answer_is_asked_ever_more_seldom(claiming: Life) -> None:
    waits: list[float] = []
    for _ in range(8):
        before = claiming.passed
        claiming.done.clear()
        claiming.give(AWAY)
        assert claiming.give(Due()) == (), "not before its time"
        claiming.comes_due()
        assert claiming.told(Acquire) == [Acquire(held=None)]
        waits.append((claiming.passed - before).total_seconds())
    assert waits == [2, 2, 4, 6, 10, 16, 26, 30]


def test_an_answer_that_comes_when_nobody_needs_it_any_more_is_the_epoch_to_go_on_from(
    claiming: Life,
) -> None:
    claiming.give(AWAY, STOP)
    claiming.give(Acquired(epoch=Epoch(3)))
    assert claiming.give(START) == (Acquire(held=Epoch(3)),)
