"""A ban that outlives the service: waited out by whatever clock the machine has afterwards."""

from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Cause, Ending, Kind
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.inputs import Acquired, Due, Ended, Input, LoggedIn, Restart, Start
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import Chances, Claiming, SessionState, Waiting
from perene.core.outages import OutageId
from perene.core.standing import Standing

TOLD = datetime(2026, 11, 21, tzinfo=UTC)
CHANCES = Chances(jitter=0.5, outage_id=OutageId("one"))
BAN = timedelta(hours=6)
BANNED = Ended(
    ending=Ending(
        kind=Kind.FAILURE,
        code="402",
        attributes={"code": "101", "expire": str(int(BAN.total_seconds()))},
    )
)


def after(state: SessionState, wall: datetime, *inputs: Input) -> SessionState:
    """Return the state after these, all at one moment."""
    for given in inputs:
        state = step(state, given, Instant(wall=wall, monotonic=0.0), CHANCES).state
    return state


@pytest.mark.requirement("D10", "F10")
@pytest.mark.parametrize(
    ("later", "least", "most"),
    [
        (timedelta(hours=2), timedelta(hours=4), timedelta(hours=4)),
        (timedelta(hours=-1), BAN, BAN),
        (timedelta(days=-400), BAN, BAN),
    ],
    ids=["two hours later", "an hour before", "more than a year before"],
)
def test_a_ban_is_waited_out_after_a_start_and_no_longer_than_it_was(
    later: timedelta, least: timedelta, most: timedelta
) -> None:
    start = Start(by_person=False)
    at = Instant(wall=TOLD, monotonic=0.0)
    banned = after(
        new_session(SessionId("ana"), paired=True),
        TOLD,
        start,
        Acquired(epoch=Epoch(1)),
        LoggedIn(at=at),
        BANNED,
    )
    kept = Standing.parse(banned.standing.serialize())
    again = after(new_session(SessionId("ana"), paired=True, standing=kept), TOLD + later, start)
    assert isinstance(again.connection, Waiting)
    assert again.connection.cause is Cause.TEMPORARY_BAN
    assert again.standing.not_before == again.connection.at
    wait = next_deadline(again)
    assert wait is not None
    second = 1.0  # the rest of its last one
    assert least.total_seconds() <= wait <= most.total_seconds() + second


def test_a_wait_that_follows_a_ban_is_not_taken_for_one() -> None:
    at = Instant(wall=TOLD, monotonic=0.0)
    begun = (Start(by_person=False), Acquired(epoch=Epoch(1)), LoggedIn(at=at), BANNED)
    banned = after(new_session(SessionId("ana"), paired=True), TOLD, *begun)
    over = Instant(wall=TOLD + BAN, monotonic=BAN.total_seconds() + 1)
    slower = Ended(ending=Ending(kind=Kind.FAILURE, code="429"))
    state = banned
    for given in (Due(), Acquired(epoch=Epoch(2)), slower):
        state = step(state, given, over, CHANCES).state
    assert isinstance(state.connection, Waiting)
    assert state.connection.cause is Cause.RATE_LIMITED
    assert state.standing.not_before is not None
    assert state.standing.ban_code is None
    again = step(state, Restart(), over, CHANCES).state
    assert again.connection == Claiming(), "a person's word ends any other wait"
