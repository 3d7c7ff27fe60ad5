"""The 515 that ends every pairing is part of it; every other one is an error."""

from datetime import timedelta

import pytest

from perene.core.causes import Cause, Ending
from perene.core.ids import Epoch
from perene.core.machines.effects import (
    Acquire,
    Connect,
    Disconnected,
    OutageOver,
    PairingStreamEnded,
)
from perene.core.machines.inputs import LoggedIn, PhoneAccepted, Start, Stop
from perene.core.machines.session import next_deadline
from perene.core.machines.state import Claiming, Paired, Waiting
from perene.core.outages import OutageEnd
from perene.core.policy import Count
from perene.supervisor.session.telling import events_of
from tests.support.endings import LOST, RESTART, failure
from tests.unit.core.machines.life import Life


@pytest.fixture
def linked() -> Life:
    """A session that a phone has just accepted."""
    life = Life(Start(by_person=True), paired=False)
    life.granted()
    life.give(PhoneAccepted())
    return life


def waits(life: Life) -> list[tuple[int, timedelta | None]]:
    """Return the attempts that were told, and the time before each."""
    return [(told.decided.attempt, told.decided.wait) for told in life.told(Disconnected)]


@pytest.mark.requirement("D1", "D2", "D4")
def test_the_login_follows_at_once_and_nothing_is_counted_or_told_of_an_error(linked: Life) -> None:
    assert linked.lost(RESTART) == (PairingStreamEnded(), Acquire(held=Epoch(1)))
    assert events_of(PairingStreamEnded(), linked.now.wall) == ()
    assert isinstance(linked.state.connection, Claiming)
    assert isinstance(linked.state.pairing, Paired)
    assert linked.granted() == (Connect(epoch=Epoch(2), attempt=1),)
    assert (linked.state.standing.counts, linked.state.standing.outage) == ({}, None)
    assert linked.told(Disconnected) == []


@pytest.mark.requirement("D3", "D4", "D8")
def test_a_515_in_place_of_the_login_that_follows_is_the_first_of_its_schedule(
    linked: Life,
) -> None:
    linked.lost(RESTART)
    linked.granted()
    linked.lost(RESTART)
    assert waits(linked) == [(1, timedelta())]
    assert linked.outage.cause is Cause.RESTART_REQUIRED
    linked.comes_due()
    linked.granted()
    linked.lost(RESTART)
    assert waits(linked) == [(1, timedelta()), (2, timedelta(minutes=5))]


@pytest.mark.requirement("D4", "D8")
def test_a_515_within_the_first_seconds_of_the_login_is_the_first_too(linked: Life) -> None:
    linked.lost(RESTART)
    linked.opened()
    linked.lost(RESTART)
    assert waits(linked) == [(1, timedelta())]
    linked.comes_due()
    linked.stays_up()
    (over,) = linked.told(OutageOver)
    assert (over.outage.end, over.outage.attempts) == (OutageEnd.RECOVERED, 1)


def test_a_515_while_a_code_is_shown_is_an_error_and_none_of_the_new_device() -> None:
    life = Life(Start(by_person=True), paired=False)
    life.granted()
    life.fails(RESTART, times=3)
    assert [attempt for attempt, _ in waits(life)] == [1, 2, 3]
    life.give(PhoneAccepted())
    life.lost(RESTART)
    life.granted()
    life.lost(RESTART)
    assert waits(life)[3:] == [(1, timedelta())]


@pytest.mark.parametrize("ending", [LOST, failure("515"), failure("503")])
def test_another_end_of_the_pairing_is_an_outage(linked: Life, ending: Ending) -> None:
    linked.lost(ending)
    assert isinstance(linked.state.connection, Waiting)
    assert linked.outage.losses


def test_an_acceptance_that_is_heard_of_late_does_not_make_the_next_515_a_normal_one() -> None:
    life = Life(Start(by_person=True), paired=False)
    life.granted()
    life.lost(LOST)
    life.give(PhoneAccepted())
    assert isinstance(life.state.pairing, Paired)
    life.comes_due()
    life.granted()
    life.lost(RESTART)
    assert life.told(PairingStreamEnded) == []
    assert life.told(Disconnected)[-1].decided.attempt == 1


@pytest.mark.requirement("D3")
def test_a_run_that_ends_before_the_login_leaves_no_515_that_is_forgiven(linked: Life) -> None:
    linked.begins_again()
    linked.granted()
    linked.lost(RESTART)
    assert waits(linked) == [(1, timedelta())]
    assert linked.state.standing.counted(Count.RESTARTS) == 1
    assert next_deadline(linked.state) is not None


def test_the_phone_that_accepts_the_device_has_been_seen(linked: Life) -> None:
    assert linked.state.standing.phone_seen_at == linked.now.wall


def test_a_device_that_logs_in_on_the_connection_of_its_linking_has_had_its_beginning(
    linked: Life,
) -> None:
    linked.give(LoggedIn(at=linked.now))
    linked.lost(RESTART)
    assert waits(linked) == [(1, timedelta())], "this 515 is one of a linked device"


def test_an_acceptance_while_the_connection_closes_is_a_new_beginning_too() -> None:
    life = Life(Start(by_person=True), paired=False)
    life.granted()
    life.fails(LOST, times=3)
    life.give(Stop(by_person=False), PhoneAccepted())
    assert life.state.standing.counts == {}
