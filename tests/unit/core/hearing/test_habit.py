"""What a session is taken to be used to, after weeks of this or that traffic."""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from perene.core.hearing.evenness import Tally
from perene.core.hearing.habit import Habit

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


def changing(days: int) -> Iterator[datetime]:
    """A message a minute in the mean, but each half hour has a rate of its own."""
    rng = random.Random(SEED)
    for number in range(48 * days):
        moment, end = START + number * HOUR / 2, START + (number + 1) * HOUR / 2
        every_s = 60 / rng.gammavariate(4, 0.25)
        while (moment := moment + timedelta(seconds=rng.expovariate(1 / every_s))) < end:
            yield moment


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
    assert 70 < habit.known() < 400, "some 170 bursts"
    noon = START + timedelta(days=14, hours=12)
    assert 0.1 < habit.rate_at(noon) < 2.5
    assert 2 < habit.expected(noon, noon + 12 * HOUR) < 10


def test_one_free_day_does_not_make_a_steady_session_bursty() -> None:
    habit = after(steady(6), until=START + timedelta(days=7))
    quiet = habit.endured(
        START + timedelta(days=6), START + timedelta(days=7), known_to=START + timedelta(days=6)
    )
    assert quiet.clump < 1.3


def test_a_session_whose_half_hours_differ_is_known_by_what_came_of_late() -> None:
    habit = after(changing(20))
    assert 0.1 < habit.evenness.variance < 0.6
    assert habit.clump < 2
    habit = replace(habit, evenness=replace(habit.evenness, recent=Tally(20, 20)))
    busy = replace(habit, evenness=replace(habit.evenness, recent=Tally(60, 20)))
    noon = START + timedelta(days=20, hours=12)
    usually = habit.expected(noon, noon + 0.25 * HOUR, boldly=True)
    assert busy.expected(noon, noon + 0.25 * HOUR, boldly=True) > 1.5 * usually
    # Who cannot ask a phone does not count on it: a busy hour may be over.
    assert busy.expected(noon, noon + 0.25 * HOUR) < 1.2 * usually


def test_a_steady_session_is_known_to_be_steady() -> None:
    assert after(steady(20, opens=8, closes=20)).evenness.variance < 0.02
    assert after(bursts(20)).evenness.variance < 0.2


def test_as_much_as_usual_is_noticed() -> None:
    habit = after(steady(9))
    assert habit.is_usual
    assert not habit.lived(START + timedelta(days=9), START + timedelta(days=9.5), 0).is_usual


@pytest.mark.parametrize(
    ("recent", "clump", "usual"),
    [
        (Tally(9.9, 9.9), 1.0, False),
        (Tally(10.0, 10.0), 1.0, True),
        (Tally(100.0, 1000.0), 1.0, False),
        (Tally(39.0, 39.0), 4.0, False),
        (Tally(40.0, 40.0), 4.0, True),
    ],
)
def test_a_session_is_itself_again_when_enough_came_and_as_much_as_usual(
    recent: Tally, clump: float, usual: bool
) -> None:
    habit = Habit(clump=clump)
    habit = replace(habit, evenness=replace(habit.evenness, recent=recent))
    assert habit.is_usual is usual


def test_each_moment_and_each_message_is_counted_once_and_where_it_was() -> None:
    """A message at the very end of a half hour is the first of the next."""
    habit, last, half = Habit(), START, HOUR / 2
    for minutes in (10, 20, 30, 50, 65):
        moment = START + timedelta(minutes=minutes)
        habit, last = habit.lived(last, moment, 1), moment
    for table, size in ((habit.days, 48), (habit.weeks, 336)):
        first = int(START.timestamp() // half.total_seconds()) % size
        assert [table.messages[first + number] for number in range(3)] == [2, 2, 0]
        assert (sum(table.messages), sum(table.hours)) == (4, pytest.approx(1.0))
    assert (habit.count, habit.listened) == (1, pytest.approx(5 / 60))
    assert habit.total.hours == pytest.approx(65 / 60, rel=0.01)


def test_what_is_known_of_a_session_as_a_whole_is_forgotten_in_two_weeks() -> None:
    habit, moment = Habit(), START
    for _ in range(24 * 70):
        habit, moment = habit.lived(moment, moment + HOUR, 2), moment + HOUR
    assert habit.total == pytest.approx((2 * 336, 336), rel=0.02)
    changed = habit
    for _ in range(24 * 14):
        changed, moment = changed.lived(moment, moment + HOUR, 4), moment + HOUR
    assert changed.usual == pytest.approx(4 - 2 / math.e, rel=0.02)


@pytest.mark.parametrize(("minutes", "part"), [(3.0, 0.0), (4.5, 0.5), (6.0, 1.0), (20.0, 1.0)])
def test_a_silence_that_only_touches_a_half_hour_is_no_time_away(
    minutes: float, part: float
) -> None:
    habit, since = after(steady(1, every_s=5)), START + timedelta(days=1, hours=12)
    away = habit.endured(since, since + timedelta(minutes=minutes), known_to=since).weeks.away
    whole = habit.endured(since, since + HOUR / 2, known_to=since).weeks.away
    assert max(whole) > 0.5
    assert max(away) == pytest.approx(part * max(whole))


def test_only_whole_half_hours_that_are_known_tell_how_much_they_vary() -> None:
    day, two = after(steady(1)), after(steady(2))
    assert day.evenness.half_hours == 0, "no half hour came twice"
    assert two.evenness.half_hours > 40
    parted, last = two, START + timedelta(days=2)
    for number in range(48):
        begin = START + timedelta(days=2) + number * HOUR / 2
        for part in (0, 1):  # it is not listened to for the last six minutes
            last = begin + part * 12 * HOUR / 60
            parted = parted.lived(last, last + 12 * HOUR / 60, 12)
    assert parted.evenness.half_hours <= two.evenness.half_hours + 1


def test_a_time_of_the_week_at_which_a_session_was_away_is_known_by_itself() -> None:
    noon = START + timedelta(days=21, hours=12)
    habit = after(steady(21), until=noon)
    away = habit.endured(noon, noon + 2 * HOUR, known_to=noon)
    assert max(away.weeks.away) > 0
    assert max(away.days.away) > 0
    next_week = noon + timedelta(days=7)
    counted = away.expected(next_week, next_week + 2 * HOUR)
    assert counted < 0.7 * habit.expected(next_week, next_week + 2 * HOUR)
    assert away.endured(noon, noon + 2 * HOUR, known_to=noon + 2 * HOUR).weeks == away.weeks


def test_being_away_shows_only_where_something_is_expected() -> None:
    slot = int((START + timedelta(days=8, hours=12)).timestamp() // 1800)
    seldom, often = (after(steady(8, every_s=minutes * 60)) for minutes in (60, 20))
    assert (seldom.is_worth(slot), often.is_worth(slot)) == (False, True)
    assert not replace(often, clump=4.0).is_worth(slot)


def test_a_silence_where_the_session_may_be_away_says_nothing_of_clumps() -> None:
    habit, end = after(steady(21)), START + timedelta(days=21, hours=6)
    at_first = habit.endured(end, end + HOUR, known_to=end + HOUR)
    assert at_first.long_silences == habit.long_silences + 1
    for week in range(3):
        then = end + timedelta(days=7 * week)
        habit = habit.endured(then, then + 2 * HOUR, known_to=then)
    then = end + timedelta(days=21)
    learned = habit.endured(then, then + HOUR, known_to=then + HOUR)
    assert (learned.clump, learned.long_silences) == (habit.clump, habit.long_silences)


def test_when_it_is_due_is_when_it_is_expected() -> None:
    habit = after(steady(9, opens=8, closes=20))
    since = START + timedelta(days=9, hours=19, minutes=40)
    due = habit.due(since, 30.0)
    assert due is not None
    assert due - since > timedelta(hours=10)
    assert habit.expected(since, due) == pytest.approx(30.0, abs=0.1)
    assert habit.due(since, 30.0, before=due + HOUR) == due
    assert habit.due(since, 30.0, before=due - HOUR) is None


def test_what_usually_comes_is_due_whatever_comes_at_present() -> None:
    known = after(steady(21, opens=8, closes=22), until=START + timedelta(days=21, hours=8))
    morning = START + timedelta(days=21, hours=10)
    quiet = known.lived(morning - 2 * HOUR, morning, 0)
    assert quiet.level < 0.3
    due = quiet.usually_due(morning, 10, before=morning + HOUR)
    assert due is not None
    assert (due - morning).total_seconds() == pytest.approx(600, rel=0.1)
    assert quiet.usually_due(morning, 10, before=morning + HOUR / 10) is None
    night = START + timedelta(days=21, hours=2)
    first = known.usually_due(night, 10, before=night + 12 * HOUR)
    assert first is not None
    assert 6 * HOUR <= first - night < 7 * HOUR, "as the day begins"


def test_what_comes_in_bursts_is_due_in_bursts() -> None:
    known, moment = after(bursts(28)), START + timedelta(days=28)
    due = known.usually_due(moment, 10, before=moment + 100 * HOUR)
    assert due is not None
    assert due - moment > 10 * HOUR


def test_a_hundred_have_to_come_before_anything_is_usual() -> None:
    few, many = after(islice(steady(1), 90)), after(islice(steady(1), 120))
    moment = START + timedelta(hours=3)
    assert few.usually_due(moment, 10, before=moment + HOUR) is None
    assert many.usually_due(moment, 10, before=moment + HOUR) is not None


def test_who_never_heard_anything_expects_nothing() -> None:
    habit = Habit()
    assert habit.due(START, 7.0) is None
    assert habit.expected(START, START + timedelta(days=3)) == 0.0


def test_a_clock_that_leaps_by_years_costs_no_more_than_two_weeks() -> None:
    """Each half hour is looked at on its own, and nobody else runs meanwhile."""
    habit, far = after(steady(14)), START + timedelta(days=10_000)
    near = far - timedelta(days=14)
    assert habit.lived(START, far, 1.0) == habit.lived(near, far, 1.0)
    assert habit.expected(START, far) == habit.expected(near, far)
    assert habit.endured(START, far, known_to=START) == habit.endured(near, far, known_to=near)
