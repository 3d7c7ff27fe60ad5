"""The waits between attempts."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from perene.core.schedules import Growth, Schedule


@given(st.sampled_from(Growth), st.integers(1, 1000), st.integers(0, 200), st.floats(0, 1))
def test_a_wait_is_never_longer_than_its_cap(
    growth: Growth, seconds: int, earlier: int, jitter: float
) -> None:
    cap = timedelta(seconds=max(900, seconds))
    schedule = Schedule(growth=growth, step=timedelta(seconds=seconds), cap=cap)
    assert timedelta() <= schedule.wait(earlier, jitter) <= cap * 1.1
    assert schedule.describe()
