"""A ban that outlives the service: waited out by whatever clock the machine has afterwards."""

from dataclasses import replace
from datetime import timedelta

import pytest

from perene.core.account import Ban
from perene.core.causes import Cause, Ending
from perene.core.machines.effects import Acquire, Disconnected
from perene.core.machines.inputs import Due, Restart, Start, Stop
from perene.core.machines.state import Claiming, Down, Draining, Waiting
from perene.core.standing import Standing
from tests.support.endings import LOST, RESTART, failure
from tests.unit.core.machines.life import Life

BAN = timedelta(hours=6)


@pytest.fixture
def life() -> Life:
    """A session that was open, and has been banned."""
    life = Life(Start(by_person=False))
    life.opened()
    life.lost(failure("402", code="101", expire=str(int(BAN.total_seconds()))))
    return life


@pytest.mark.requirement("D10", "F10")
@pytest.mark.parametrize(
    ("later", "rest"),
    [
        (timedelta(hours=2), timedelta(hours=4)),
        (timedelta(hours=-1), BAN),
        (timedelta(days=-400), BAN),
    ],
    ids=["two hours later", "an hour before", "more than a year before"],
)
def test_a_ban_is_waited_out_after_a_start_and_no_longer_than_it_was(
    life: Life, later: timedelta, rest: timedelta
) -> None:
    life.clock_off += later
    life.begins_again()
    waiting = life.state.connection
    assert isinstance(waiting, Waiting)
    assert waiting.cause is Cause.TEMPORARY_BAN
    assert life.state.standing.not_before == waiting.at
    wait = waiting.until - life.now.monotonic
    second = 1.0  # the rest of its last one
    assert rest.total_seconds() <= wait <= rest.total_seconds() + second


@pytest.mark.requirement("F10")
def test_of_a_ban_without_an_end_no_end_is_told_though_it_is_looked_at_again(life: Life) -> None:
    life.comes_due()
    life.granted()
    life.lost(failure("402", code="102"))
    assert isinstance(life.state.connection, Waiting)
    assert life.state.standing.not_before is not None
    assert life.state.standing.ban == Ban(code="102", until=None)
    life.begins_again()
    assert life.state.standing.ban == Ban(code="102", until=None)
    life.comes_due()
    life.granted()
    life.lost(failure("402", code="101", expire="60"))
    ban = life.state.standing.ban
    assert ban is not None
    assert ban.until == life.state.standing.not_before


def test_a_wait_that_follows_a_ban_is_not_taken_for_one(life: Life) -> None:
    life.comes_due()
    life.granted()
    life.lost(failure("429"))
    assert isinstance(life.state.connection, Waiting)
    assert life.state.connection.cause is Cause.RATE_LIMITED
    assert life.state.standing.not_before is not None
    assert life.state.standing.ban_code is None
    life.give(Restart())
    assert life.state.connection == Claiming(), "a person's word ends any other wait"


@pytest.mark.requirement("E8", "F10")
@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        (failure("402", expire="3600"), Cause.TEMPORARY_BAN),
        (failure("429"), Cause.RATE_LIMITED),
        (RESTART, Cause.RESTART_REQUIRED),
    ],
    ids=["ban", "429", "515"],
)
@pytest.mark.parametrize("paired", [True, False])
def test_a_wait_that_goes_on_after_a_restart_of_the_service_says_what_it_is_for(
    ending: Ending, cause: Cause, paired: bool
) -> None:
    """A session that shows codes has no outage; it is not banned because it has to wait."""
    life = Life(Start(by_person=False), paired=paired)
    life.granted()
    life.lost(ending)
    if cause is Cause.RESTART_REQUIRED:  # its first attempt is made at once
        life.comes_due()
        life.granted()
        life.lost(ending)
    life.begins_again()
    assert isinstance(life.state.connection, Waiting)
    assert life.state.connection.cause is cause
    assert (life.state.standing.ban is not None) is (cause is Cause.TEMPORARY_BAN)


def test_a_wait_that_an_earlier_perene_left_is_a_ban_only_if_it_said_so(life: Life) -> None:
    for cause in (Cause.TEMPORARY_BAN, Cause.RATE_LIMITED):
        stored = life.state.standing.serialize()
        older = Standing.parse(stored.replace('"barred_by": ', '"unknown": '))
        assert older.barred_by is None
        life.state = replace(life.state, standing=older)
        life.begins_again()
        assert isinstance(life.state.connection, Waiting)
        assert life.state.connection.cause is cause
        life.comes_due()
        life.granted()
        life.lost(failure("429"))


def test_a_ban_that_began_during_an_outage_is_no_longer_by_what_was_before() -> None:
    life = Life(Start(by_person=False))
    life.opened()
    life.lost(LOST)
    life.passed += timedelta(hours=3)
    life.give(Due())
    life.granted()
    life.lost(failure("402", expire=str(int(BAN.total_seconds()))))
    life.clock_off -= timedelta(days=400)
    life.begins_again()
    assert isinstance(life.state.connection, Waiting)
    assert life.state.connection.at - life.now.wall <= BAN + timedelta(seconds=1)


def test_no_person_ends_a_ban_whatever_they_want_and_whenever(life: Life) -> None:
    banned = life.state
    for wish in (Start(by_person=True), Restart(), Start(by_person=False)):
        assert life.give(wish) == ()
        assert life.state.connection == banned.connection
    life.give(Stop(by_person=True))
    assert life.give(Start(by_person=True)) == ()
    assert isinstance(life.state.connection, Waiting)
    assert life.state.standing.ban is not None


@pytest.mark.requirement("E8")
def test_a_person_ends_any_other_wait_also_one_that_outlived_a_restart_of_the_service() -> None:
    life = Life(Start(by_person=False))
    life.granted()
    life.lost(failure("429"))
    assert life.give(Start(by_person=False)) == (), "the service has no such say"
    life.give(Stop(by_person=False))
    life.state = replace(life.state, connection=Down())
    (asked,) = life.give(Start(by_person=True))
    assert isinstance(asked, Acquire)


def test_a_ban_that_was_over_while_the_service_was_away_bars_nothing_any_more(life: Life) -> None:
    life.passed += BAN + timedelta(minutes=1)
    life.begins_again()
    assert life.state.connection == Claiming()
    life.granted()
    assert life.state.standing.ban is None
    life.give(Restart())
    assert isinstance(life.state.connection, Draining)


def wait_of(life: Life) -> timedelta:
    wait = life.told(Disconnected)[-1].decided.wait
    assert wait is not None
    return wait


@pytest.mark.requirement("F10")
def test_a_ban_that_was_not_over_after_its_time_is_not_asked_after_every_second(life: Life) -> None:
    for expire, wait in (("1", timedelta(minutes=1)), ("7200", timedelta(seconds=7201))):
        life.comes_due()
        life.granted()
        life.lost(failure("402", expire=expire))
        assert wait_of(life) == wait
    life.comes_due()
    life.stays_up()
    life.lost(failure("402", expire="10"))
    assert wait_of(life) == timedelta(seconds=11), "a login has ended the one before"


@pytest.mark.requirement("F10")
def test_a_ban_of_which_no_end_is_told_is_asked_after_every_hour(life: Life) -> None:
    for _ in range(3):
        life.comes_due()
        life.granted()
        life.lost(failure("402"))
        assert wait_of(life) == timedelta(hours=1)
