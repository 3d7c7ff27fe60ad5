"""What a session is taken to be used to, after weeks of this or that traffic."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.hearing.habit import Habit, Tally

pytestmark = pytest.mark.requirement("F3")

START = datetime(2026, 9, 7, tzinfo=UTC)
"""A Monday."""
HOUR = timedelta(hours=1)
SEED = 11


def after(moments: Iterable[datetime], *, until: datetime | None = None) -> Habit:
    """Return what is known after messages at these times, and silence from then."""
    habit, last = Habit(), START
    for moment in moments:
        habit = habit.endured(last, moment, known_to=last).lived(last, moment, 1)
        last = moment
    return habit if until is None else habit.lived(last, until, 0)


def steady(
    days: int, *, every_s: float = 60.0, opens: float = 0, closes: float = 24, free: int = 7
) -> Iterator[datetime]:
    """Messages at random on each day but those from `free` on, between two hours."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    for day in range(days):
        if day % 7 >= free:
            continue
        moment = START + timedelta(days=day, hours=opens + rng.uniform(0, 0.4))
        while moment < START + timedelta(days=day, hours=closes):
            yield moment
            moment += timedelta(seconds=rng.expovariate(1 / every_s))


def bursts(days: int) -> Iterator[datetime]:
    """Thirty messages at once, every two hours or so."""
    rng = random.Random(SEED)
    moment = START
    while moment < START + timedelta(days=days):
        moment += timedelta(hours=rng.expovariate(1 / 2))
        for number in range(30):
            yield moment + timedelta(seconds=number)
        moment += timedelta(seconds=30)


def test_as_much_is_counted_on_as_came_the_more_often_it_came() -> None:
    noon = START + timedelta(hours=12)
    found: list[float] = []
    for weeks in (1, 2, 5):
        habit, day = after(steady(7 * weeks)), noon + timedelta(days=7 * weeks)
        found.append(habit.expected(day, day + 5 * HOUR) / 5)
        assert habit.clump < 1.3
    assert found == sorted(found)
    assert found[0] > 35
    assert 45 < found[-1] < 65


def test_a_time_of_the_day_is_known_by_itself() -> None:
    habit = after(steady(10, opens=8, closes=20))
    day = START + timedelta(days=10)
    assert habit.expected(day + 12 * HOUR, day + 13 * HOUR) > 30
    assert habit.expected(day + 1 * HOUR, day + 5 * HOUR) < 2


def test_a_day_of_the_week_is_known_by_itself() -> None:
    habit = after(steady(19, free=5), until=START + timedelta(days=19))
    saturday, monday = START + timedelta(days=19), START + timedelta(days=21)
    assert habit.expected(monday + 12 * HOUR, monday + 13 * HOUR) > 40
    assert habit.expected(saturday + 12 * HOUR, saturday + 13 * HOUR) < 3


def test_nothing_is_counted_on_while_the_day_may_not_have_begun() -> None:
    habit = after(steady(14, opens=8.25, closes=20))
    day = START + timedelta(days=14)
    assert habit.expected(day, day + 8.9 * HOUR) < 8
    assert habit.expected(day + 10 * HOUR, day + 10.5 * HOUR) > 15


def test_where_the_session_may_be_away_half_is_counted_on_by_who_is_bold() -> None:
    habit = after(steady(14, opens=8.25, closes=20))
    day = START + timedelta(days=14)
    doubtful, sure = (day + 8.5 * HOUR, day + 9 * HOUR), (day + 10 * HOUR, day + 10.5 * HOUR)
    assert habit.expected(*doubtful) < 3 < 8 < habit.expected(*doubtful, boldly=True) < 20
    assert habit.expected(*sure, boldly=True) == habit.expected(*sure)
    due, bold = habit.due(day, 12.0), habit.due(day, 12.0, boldly=True)
    assert due is not None
    assert bold is not None
    assert bold < due
    assert habit.expected(day, bold, boldly=True) == pytest.approx(12.0, abs=0.1)


def test_what_comes_in_bursts_is_counted_in_bursts() -> None:
    habit = after(bursts(14))
    assert 12 < habit.clump < 45
    noon = START + timedelta(days=14, hours=12)
    assert 2 < habit.expected(noon, noon + 12 * HOUR) < 10


def test_one_free_day_does_not_make_a_steady_session_bursty() -> None:
    habit = after(steady(6), until=START + timedelta(days=7))
    quiet = habit.endured(
        START + timedelta(days=6), START + timedelta(days=7), known_to=START + timedelta(days=6)
    )
    assert quiet.clump < 1.3


def test_much_less_than_usual_is_noticed_and_a_little_less_is_not() -> None:
    assert Habit(recent=Tally(20, 60)).level < 0.4
    assert not Habit(recent=Tally(20, 60)).is_usual
    assert Habit(recent=Tally(45, 60)).level == 1.0
    assert Habit(recent=Tally(45, 60)).is_usual
    assert Habit(recent=Tally(300, 60)).level == 1.0


def test_little_is_not_much_less_for_what_comes_in_bursts() -> None:
    assert Habit(recent=Tally(20, 60), clump=30.0).level == 1.0


def test_when_it_is_due_is_when_it_is_expected() -> None:
    habit = after(steady(9, opens=8, closes=20))
    since = START + timedelta(days=9, hours=19, minutes=40)
    due = habit.due(since, 30.0)
    assert due is not None
    assert due - since > timedelta(hours=10)
    assert habit.expected(since, due) == pytest.approx(30.0, abs=0.1)


def test_who_never_heard_anything_expects_nothing() -> None:
    habit = Habit()
    assert habit.due(START, 7.0) is None
    assert habit.expected(START, START + timedelta(days=3)) == 0.0
