"""A ban that outlives the service: waited out by whatever clock the machine has afterwards."""

from datetime import timedelta

import pytest

from perene.core.account import Ban
from perene.core.causes import Cause
from perene.core.machines.inputs import Restart, Start
from perene.core.machines.state import Claiming, Waiting
from tests.support.endings import failure
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
