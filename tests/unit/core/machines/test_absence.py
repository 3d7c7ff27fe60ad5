"""A session that nobody drove, because its service or its task had ended, was down."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Cause, Kind, Local
from perene.core.machines.effects import Disconnected, OutageOver, Stopped
from perene.core.machines.inputs import Due, Ended, LoggedIn, LogOut, Restart, Start, Stop
from perene.core.machines.session import new_session
from perene.core.machines.state import Absence
from perene.core.outages import Outage, OutageEnd
from perene.core.standing import Standing
from tests.support.endings import LOST
from tests.unit.core.machines.life import BEGAN, Life

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
CLOSED = Ended(ending=LOST)


@pytest.fixture
def life() -> Life:
    return Life(Start(by_person=True))


def starts_again(life: Life, *, last_life: timedelta, local: Local = Local.SERVICE_ENDED) -> None:
    """Let another run take it up, and forget what it told before."""
    life.done.clear()
    life.begins_again(Absence(since=BEGAN + last_life, local=local))


def is_away_for_a_minute(life: Life) -> timedelta:
    """Let a session be stable, and its service be gone for a minute; return when it went."""
    life.stays_up()
    lived, life.passed = life.passed, life.passed + MINUTE
    starts_again(life, last_life=lived)
    return lived


def over(life: Life) -> Sequence[Outage]:
    return [one.outage for one in life.told(OutageOver)]


def test_a_service_that_was_killed_leaves_an_outage_from_when_it_was_last_known_to_live(
    life: Life,
) -> None:
    life.stays_up()
    lived, life.passed = life.passed, life.passed + 10 * MINUTE
    starts_again(life, last_life=lived)
    (lost,) = life.told(Disconnected)
    assert (lost.decided.verdict.cause, lost.decided.attempt) == (Cause.SERVICE_ENDED, 0)
    life.stays_up()
    (outage,) = over(life)
    assert (outage.cause, outage.code, outage.kind) == (
        Cause.SERVICE_ENDED,
        "service_ended",
        Kind.LOCAL,
    )
    assert (outage.began_at, outage.ended_at) == (BEGAN + lived, life.now.wall)
    assert (outage.attempts, outage.end) == (1, OutageEnd.RECOVERED)
    assert [(loss.cause, loss.times) for loss in outage.losses] == [(Cause.SERVICE_ENDED, 1)]


def test_a_service_that_was_killed_in_a_logout_is_told_as_the_end_as_well(life: Life) -> None:
    life.stays_up()
    lived, life.passed = life.passed, life.passed + MINUTE
    life.done.clear()
    life.begins_again(Absence(since=BEGAN + lived, local=Local.SERVICE_ENDED), LogOut())
    (lost,) = life.told(Disconnected)
    assert (lost.decided.verdict.cause, lost.decided.wait) == (Cause.SERVICE_ENDED, timedelta())


def test_a_service_that_was_stopped_in_order_is_told_as_its_end_and_knows_when_that_was(
    life: Life,
) -> None:
    life.stays_up()
    life.give(Stop(by_person=False), CLOSED)
    (lost,) = life.told(Disconnected)
    assert lost.decided.verdict.cause is Cause.SERVICE_ENDED
    stopped_at, life.passed = life.passed, life.passed + MINUTE
    starts_again(life, last_life=life.passed)
    assert life.told(Disconnected) == [], "it was told when it happened"
    life.stays_up()
    assert [one.began_at for one in over(life)] == [BEGAN + stopped_at]


@pytest.mark.requirement("E6")
@pytest.mark.parametrize("in_order", [True, False])
def test_a_connection_that_was_not_stable_yet_was_lost_with_its_service_all_the_same(
    life: Life, in_order: bool
) -> None:
    life.opened()
    life.passed += SECOND
    ended = life.passed
    if in_order:
        life.give(Stop(by_person=False), CLOSED)
    life.passed += MINUTE
    starts_again(life, last_life=ended)
    assert len(life.told(Disconnected)) == (0 if in_order else 1)
    life.stays_up()
    (outage,) = over(life)
    assert (outage.cause, outage.began_at) == (Cause.SERVICE_ENDED, BEGAN + ended)


def test_a_service_that_is_killed_over_and_over_has_left_it_down_since_the_first_time(
    life: Life,
) -> None:
    life.opened()
    for _ in range(3):
        life.passed += SECOND
        starts_again(life, last_life=life.passed)
        life.opened()
    life.stays_up()
    assert [one.began_at for one in over(life)] == [BEGAN + SECOND]


def test_a_login_that_ends_an_outage_is_not_over_before_it_is_stable(life: Life) -> None:
    life.stays_up()
    life.give(CLOSED)
    began, life.passed = life.passed, life.passed + MINUTE
    life.give(Due())
    life.opened()
    assert not life.state.standing.up
    life.passed += SECOND
    starts_again(life, last_life=life.passed)
    life.stays_up()
    assert [(one.cause, one.began_at) for one in over(life)] == [(Cause.NETWORK, BEGAN + began)]


@pytest.mark.parametrize("connected", [True, False])
def test_a_login_that_never_came_or_that_says_goodbye_is_none(life: Life, connected: bool) -> None:
    life.granted()
    if connected:
        life.give(LogOut(), LoggedIn(at=life.now))
    assert not life.state.standing.up


def test_what_goes_wrong_after_the_start_is_part_of_the_same_outage(life: Life) -> None:
    lived = is_away_for_a_minute(life)
    life.granted()
    life.give(CLOSED)
    outage = life.state.standing.outage
    assert outage is not None
    assert (outage.cause, outage.last_cause) == (Cause.SERVICE_ENDED, Cause.NETWORK)
    assert (outage.began_at, outage.attempts) == (BEGAN + lived, 1)
    life.passed += MINUTE
    life.give(Due())
    life.stays_up()
    assert [(one.began_at, one.attempts) for one in over(life)] == [(BEGAN + lived, 2)]


def test_a_service_killed_again_before_the_session_was_stable_has_left_it_down_all_along(
    life: Life,
) -> None:
    lived = is_away_for_a_minute(life)
    life.opened()
    life.passed += MINUTE
    starts_again(life, last_life=life.passed)
    life.stays_up()
    assert [one.began_at for one in over(life)] == [BEGAN + lived]


def test_a_service_stopped_again_before_the_session_was_stable_knows_what_was_tried(
    life: Life,
) -> None:
    lived = is_away_for_a_minute(life)
    life.opened()
    life.passed += SECOND
    life.give(Stop(by_person=False), CLOSED)
    tried = life.state.standing.outage
    assert tried is not None
    assert (tried.attempts, tried.last_attempt_at) == (1, BEGAN + lived + MINUTE)
    life.passed += MINUTE
    starts_again(life, last_life=life.passed)
    assert life.told(Disconnected) == [], "its end was told when it came"
    life.stays_up()
    (outage,) = over(life)
    assert (outage.cause, outage.began_at, outage.attempts) == (
        Cause.SERVICE_ENDED,
        BEGAN + lived,
        2,
    )


@pytest.mark.parametrize("ended", ["stopped", "down", "never up"])
def test_a_session_that_was_not_up_was_not_lost_with_its_service(life: Life, ended: str) -> None:
    if ended != "never up":
        life.stays_up()
    if ended == "stopped":
        life.give(Stop(by_person=True), CLOSED)
    if ended == "down":
        life.give(CLOSED)
    before = life.state.standing.outage
    life.passed += MINUTE
    starts_again(life, last_life=life.passed)
    assert life.told(Disconnected) == []
    assert life.state.absence is None
    assert life.state.standing.outage == before


def test_a_person_who_stops_it_ends_the_outage(life: Life) -> None:
    lived = is_away_for_a_minute(life)
    life.granted()
    life.give(Stop(by_person=True), CLOSED)
    assert [(one.began_at, one.end) for one in over(life)] == [(BEGAN + lived, OutageEnd.STOPPED)]
    assert not life.state.standing.up


def test_an_outage_by_a_bug_is_told_as_one(life: Life) -> None:
    life.stays_up()
    starts_again(life, last_life=life.passed, local=Local.INTERNAL)
    life.stays_up()
    assert [one.cause for one in over(life)] == [Cause.INTERNAL]


def test_a_service_that_ended_by_another_clock_did_not_end_in_the_future(life: Life) -> None:
    life.stays_up()
    starts_again(life, last_life=life.passed + 60 * MINUTE)
    life.stays_up()
    (outage,) = over(life)
    assert outage.ended_at is not None
    assert outage.began_at <= outage.ended_at == life.now.wall


def test_the_loss_is_told_once_however_often_it_is_started(life: Life) -> None:
    is_away_for_a_minute(life)
    life.give(Start(by_person=True), Start(by_person=False))
    assert len(life.told(Disconnected)) == 1


def test_a_service_that_is_killed_after_it_was_stopped_in_order_was_up_until_then(
    life: Life,
) -> None:
    life.stays_up()
    life.give(Stop(by_person=False), CLOSED)
    life.passed += MINUTE
    starts_again(life, last_life=life.passed)
    life.stays_up()
    life.live(10 * MINUTE)
    killed, life.passed = life.passed, life.passed + MINUTE
    starts_again(life, last_life=killed)
    life.stays_up()
    assert [one.began_at for one in over(life)] == [BEGAN + killed]


@pytest.mark.parametrize("wish", [Stop(by_person=True), Restart()])
def test_a_connection_that_a_person_ended_was_not_lost_with_the_service(
    life: Life, wish: Stop | Restart
) -> None:
    life.stays_up()
    life.give(wish, CLOSED)
    assert life.state.standing.left_at is None


def test_a_service_that_ends_before_the_session_was_up_has_not_lost_it(life: Life) -> None:
    life.granted()
    life.give(Stop(by_person=False), CLOSED)
    assert life.state.standing.left_at is None


def test_what_is_kept_of_a_session_that_was_not_absent_says_nothing_of_a_life_before(
    life: Life,
) -> None:
    life.stays_up()
    life.begins_again()
    assert not life.state.standing.up
    assert life.state.standing.left_at is None


def test_a_clock_that_lost_the_time_moves_no_outage_to_the_beginning_of_time(life: Life) -> None:
    life.stays_up()
    lived = life.passed
    life.clock_off = datetime(1970, 1, 1, tzinfo=UTC) - BEGAN
    starts_again(life, last_life=lived)
    life.stays_up()
    assert [one.began_at for one in over(life)] == [BEGAN + lived]


def test_a_login_that_was_to_end_an_outage_ends_with_its_service_and_the_outage_goes_on(
    life: Life,
) -> None:
    life.stays_up()
    life.give(CLOSED)
    life.comes_due()
    life.opened()
    lived, life.passed = life.passed, life.passed + MINUTE
    starts_again(life, last_life=lived)
    (lost,) = life.told(Disconnected)
    assert lost.decided.verdict.cause is Cause.SERVICE_ENDED
    assert lost.outage is not None
    assert lost.outage.cause is Cause.NETWORK


def test_a_bug_in_the_login_that_was_to_end_an_outage_is_a_loss_of_that_outage(life: Life) -> None:
    life.stays_up()
    life.give(CLOSED)
    life.comes_due()
    life.opened()
    starts_again(life, last_life=life.passed, local=Local.INTERNAL)
    (lost,) = life.told(Disconnected)
    assert lost.outage == life.outage
    assert [one.cause for one in life.outage.losses] == [Cause.NETWORK, Cause.INTERNAL]


def test_a_session_that_was_to_rest_when_its_end_could_not_be_kept_is_told_to_have_stopped(
    life: Life,
) -> None:
    """First that it is down, then that it rests; there was no outage."""
    life.stays_up()
    standing = Standing.parse(life.state.standing.serialize())
    life.done.clear()
    life.state = new_session(life.state.session, paired=True, standing=standing)
    told = [type(one) for one in life.give(Stop(by_person=True))]
    assert told == [Disconnected, Stopped]
    (lost,) = life.told(Disconnected)
    assert (lost.decided.verdict.cause, lost.outage) == (Cause.STOPPED, None)
    assert not life.state.standing.shown_up
