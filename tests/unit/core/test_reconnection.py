"""What follows the end of a connection: when to try again, and what to wait for."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core.causes import VERDICTS, Cause, Reaction
from perene.core.reconnection import (
    RESTARTS_LIMIT,
    STABLE_AFTER,
    Attempts,
    Plan,
    plan,
)

MIDDLE = 0.5
"""The jitter that changes nothing."""

FRESH = Attempts()

CAP = timedelta(seconds=900)

RETRIED = [cause for cause in Cause if VERDICTS[cause].reaction is Reaction.RETRY]
STOPPING = [cause for cause in Cause if VERDICTS[cause].reaction in (Reaction.STOP, Reaction.NONE)]

jitters = st.floats(min_value=0, max_value=1)
attempts = st.builds(
    Attempts, restarts=st.integers(0, RESTARTS_LIMIT), failures=st.integers(0, 500)
)
durations = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=30))


def after(
    cause: Cause,
    before: Attempts = FRESH,
    *,
    open_for: timedelta | None = None,
    jitter: float = MIDDLE,
    ban: timedelta | None = None,
) -> Plan:
    return plan(cause, before, open_for=open_for, jitter=jitter, ban=ban)


def row_of(cause: Cause, count: int, *, jitter: float = MIDDLE) -> list[Plan]:
    """Let the same ending happen again and again, and the login never be completed."""
    plans: list[Plan] = []
    before = Attempts()
    for _ in range(count):
        plans.append(after(cause, before, jitter=jitter))
        before = plans[-1].attempts
    return plans


def delays(plans: list[Plan]) -> list[timedelta]:
    found = [one.delay for one in plans]
    assert None not in found
    return [delay for delay in found if delay is not None]


# --- 515 ------------------------------------------------------------------------------------------


@pytest.mark.requirement("D4")
def test_a_restart_follows_at_once_and_then_after_five_minutes_more_each_time() -> None:
    plans = row_of(Cause.RESTART_REQUIRED, RESTARTS_LIMIT)
    assert delays(plans) == [timedelta(minutes=5 * (n - 1)) for n in range(1, RESTARTS_LIMIT + 1)]


@pytest.mark.requirement("D2")
def test_ten_restarts_in_a_row_leave_the_credentials_alone() -> None:
    assert not any(one.archive for one in row_of(Cause.RESTART_REQUIRED, RESTARTS_LIMIT))


@pytest.mark.requirement("D7")
def test_the_credentials_are_set_aside_when_the_tenth_restart_has_failed() -> None:
    last = row_of(Cause.RESTART_REQUIRED, RESTARTS_LIMIT + 1)[-1]
    assert last == Plan(attempts=Attempts(), delay=timedelta(), archive=True, give_up_restarts=True)


def test_restarts_are_counted_apart_from_failures() -> None:
    before = Attempts(restarts=4, failures=7)
    restarted = after(Cause.RESTART_REQUIRED, before)
    assert restarted.attempts == Attempts(restarts=5, failures=7)
    assert restarted.delay == timedelta(minutes=20)
    assert after(Cause.NETWORK, before).attempts == Attempts(restarts=4, failures=8)


@given(jitters)
def test_no_jitter_is_laid_on_a_restart(jitter: float) -> None:
    plans = row_of(Cause.RESTART_REQUIRED, RESTARTS_LIMIT, jitter=jitter)
    assert plans == row_of(Cause.RESTART_REQUIRED, RESTARTS_LIMIT)


@pytest.mark.requirement("D6")
def test_a_restart_after_a_stable_connection_is_the_first_one() -> None:
    found = after(Cause.RESTART_REQUIRED, Attempts(restarts=10, failures=9), open_for=STABLE_AFTER)
    assert found == Plan(attempts=Attempts(restarts=1), delay=timedelta())


# --- ordinary failures ----------------------------------------------------------------------------


def test_the_wait_after_a_failure_grows_as_fibonacci_s_numbers() -> None:
    seconds = [delay.total_seconds() for delay in delays(row_of(Cause.NETWORK, 9))]
    assert seconds == [1, 1, 2, 3, 5, 8, 13, 21, 34]


@pytest.mark.parametrize("cause", RETRIED)
def test_waits_never_shrink_while_failures_go_on(cause: Cause) -> None:
    found = delays(row_of(cause, 60))
    assert all(earlier <= later for earlier, later in pairwise(found))
    assert found[-1] == CAP


@pytest.mark.parametrize("cause", RETRIED)
@given(before=attempts, jitter=jitters)
def test_what_is_retried_is_retried_for_ever_with_the_credentials_kept(
    cause: Cause, before: Attempts, jitter: float
) -> None:
    found = after(cause, before, jitter=jitter)
    assert found.delay is not None
    assert timedelta() < found.delay <= CAP * 1.1
    assert not found.archive


@given(before=attempts, jitter=jitters)
def test_jitter_moves_a_wait_by_ten_percent_at_most(before: Attempts, jitter: float) -> None:
    middle, varied = after(Cause.NETWORK, before), after(Cause.NETWORK, before, jitter=jitter)
    assert middle.delay is not None
    assert varied.delay is not None
    slack = timedelta(microseconds=1)
    assert middle.delay * 0.9 - slack <= varied.delay <= middle.delay * 1.1 + slack


@given(before=attempts, low=jitters, high=jitters)
def test_more_jitter_is_a_longer_wait(before: Attempts, low: float, high: float) -> None:
    low, high = sorted((low, high))
    sooner = after(Cause.NETWORK, before, jitter=low).delay
    later = after(Cause.NETWORK, before, jitter=high).delay
    assert sooner is not None
    assert later is not None
    assert sooner <= later


@pytest.mark.requirement("D6")
@given(before=attempts, open_for=st.none() | durations)
def test_counts_start_anew_only_after_a_connection_that_was_stable(
    before: Attempts, open_for: timedelta | None
) -> None:
    found = after(Cause.NETWORK, before, open_for=open_for).attempts
    if open_for is not None and open_for >= STABLE_AFTER:
        assert found == Attempts(failures=1)
    else:
        assert found == Attempts(restarts=before.restarts, failures=before.failures + 1)


@given(before=attempts)
def test_a_rate_limit_waits_five_steps_longer_than_a_lost_network(before: Attempts) -> None:
    later = Attempts(restarts=before.restarts, failures=before.failures + 5)
    limited = after(Cause.RATE_LIMITED, before)
    assert limited.delay == after(Cause.NETWORK, later).delay
    assert limited.attempts.failures == before.failures + 1


# --- the other reactions --------------------------------------------------------------------------


@given(before=attempts, ban=durations.filter(bool), jitter=jitters)
def test_nothing_is_tried_before_a_ban_is_over(
    before: Attempts, ban: timedelta, jitter: float
) -> None:
    found = after(Cause.TEMPORARY_BAN, before, jitter=jitter, ban=ban)
    assert found == Plan(attempts=before, delay=ban)


def test_a_ban_without_an_end_is_asked_after_once_an_hour() -> None:
    assert after(Cause.TEMPORARY_BAN).delay == timedelta(hours=1)


def test_an_unlinked_device_is_set_aside_every_time_and_waits_longer_each_time() -> None:
    plans = row_of(Cause.UNLINKED, 20)
    assert all(one.archive for one in plans)
    found = delays(plans)
    assert all(delay > timedelta() for delay in found)
    assert all(earlier <= later for earlier, later in pairwise(found))
    assert found[0] < found[5] < found[-1] == CAP


def test_restarts_of_the_old_device_do_not_count_for_the_new_one() -> None:
    assert after(Cause.UNLINKED, Attempts(restarts=7, failures=1)).attempts.restarts == 0


@given(before=attempts, jitter=jitters)
def test_only_an_unlinking_or_too_many_restarts_set_credentials_aside(
    before: Attempts, jitter: float
) -> None:
    for cause in Cause:
        expected = cause is Cause.UNLINKED or (
            cause is Cause.RESTART_REQUIRED and before.restarts == RESTARTS_LIMIT
        )
        assert after(cause, before, jitter=jitter).archive is expected


@pytest.mark.parametrize("cause", [Cause.PAIRING_EXPIRED, Cause.PAIRING_REFUSED])
@given(before=attempts, jitter=jitters)
def test_a_fresh_code_is_offered_after_about_a_second_however_often(
    cause: Cause, before: Attempts, jitter: float
) -> None:
    found = after(cause, before, jitter=jitter)
    assert found.delay is not None
    assert timedelta(seconds=0.9) <= found.delay <= timedelta(seconds=1.1)
    assert found.attempts == Attempts()
    assert not found.archive


@pytest.mark.parametrize("cause", STOPPING)
@given(before=attempts, open_for=st.none() | durations, jitter=jitters)
def test_what_needs_a_person_or_was_asked_for_is_not_tried_again(
    cause: Cause, before: Attempts, open_for: timedelta | None, jitter: float
) -> None:
    found = after(cause, before, open_for=open_for, jitter=jitter)
    assert found.delay is None
    assert not found.archive


@given(
    cause=st.sampled_from(Cause), before=attempts, open_for=st.none() | durations, jitter=jitters
)
def test_a_plan_follows_every_cause_and_never_waits_a_negative_time(
    cause: Cause, before: Attempts, open_for: timedelta | None, jitter: float
) -> None:
    found = after(cause, before, open_for=open_for, jitter=jitter)
    assert found.delay is None or found.delay >= timedelta()
    assert 0 <= found.attempts.restarts <= RESTARTS_LIMIT
