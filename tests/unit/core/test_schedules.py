"""The waits between attempts."""

from dataclasses import replace
from datetime import timedelta

import pytest
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


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("fibonacci:1..900", "1 s, growing (Fibonacci) to 15 min, ±10 %"),
        (" Linear :300", "at once, then 5 min more each time, at most 1 d"),
        ("linear:3600..604800", "at once, then 1 h more each time, at most 7 d"),
        ("fixed:1..1", "every 1 s, ±10 %"),
        ("fixed:5400", "every 90 min, ±10 %"),
        ("fixed:86400", "every 1 d, ±10 %"),
    ],
)
def test_a_schedule_that_is_written_down_is_said_to_a_person(written: str, said: str) -> None:
    assert Schedule.parse(written).describe() == said


def test_a_schedule_that_leaves_out_its_first_waits_is_said_without_them() -> None:
    schedule = replace(Schedule.parse("fibonacci:1..900"), skip=5)
    assert schedule.describe() == "8 s, growing (Fibonacci) to 15 min, ±10 %"
    assert replace(schedule, skip=90).describe().startswith("15 min, ")


@pytest.mark.parametrize(
    "written",
    [
        "60",
        "daily:60",
        "fixed:",
        "fixed:0.9",
        "fixed:nan",
        "fixed:2..1",
        "linear:300..604801",
        "fixed:86401",
        "fixed:inf..inf",
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"seconds$|seven days$"):
        Schedule.parse(written)
