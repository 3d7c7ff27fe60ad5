"""The phone's watch: a sign asked for after ten days, people warned before WhatsApp unlinks."""

from dataclasses import replace
from datetime import timedelta

import pytest

from perene.core.machines.effects import Effect, PhoneAbsent, PhoneBack, PingPhone
from perene.core.machines.inputs import Due, PhoneSeen, Start
from tests.support.endings import LOST
from tests.unit.core.machines.life import BEGAN, Life

DAY = timedelta(days=1)


@pytest.fixture
def life() -> Life:
    """A session that has just been opened."""
    life = Life()
    connect(life)
    return life


def connect(life: Life) -> None:
    life.give(Start(by_person=True))
    life.opened()


def days_of(life: Life, kind: type[Effect]) -> list[int]:
    """Return on which days of its life the session asked for or told of something."""
    return [at.days for at, effect in life.done if isinstance(effect, kind)]


def test_a_phone_that_is_away_is_pinged_daily_from_the_tenth_day(life: Life) -> None:
    life.live(14 * DAY + timedelta(hours=1))
    assert days_of(life, PingPhone) == [10, 11, 12, 13, 14]


def test_people_are_warned_on_the_twelfth_and_the_fourteenth_day(life: Life) -> None:
    life.live(30 * DAY)
    assert life.told(PhoneAbsent) == [PhoneAbsent(days=12), PhoneAbsent(days=14)]


def test_a_sign_begins_the_count_anew_and_says_that_it_is_back(life: Life) -> None:
    life.live(9 * DAY)
    life.give(PhoneSeen(at=life.now.wall))
    life.live(12 * DAY)
    assert days_of(life, PhoneAbsent) == [21]
    life.give(PhoneSeen(at=life.now.wall))
    assert days_of(life, PhoneBack) == [21]
    life.live(9 * DAY)
    assert days_of(life, PhoneBack) == [21]
    assert max(days_of(life, PingPhone)) == 21


def test_an_old_sign_that_arrives_late_counts_from_when_it_was_given(life: Life) -> None:
    life.live(8 * DAY)
    life.give(PhoneSeen(at=BEGAN + 5 * DAY))
    life.give(PhoneSeen(at=BEGAN + 3 * DAY))
    life.live(10 * DAY)
    assert days_of(life, PingPhone) == [15, 16, 17, 18]


def test_signs_close_together_are_not_written_down_each(life: Life) -> None:
    life.give(PhoneSeen(at=BEGAN + timedelta(hours=1)))
    before = life.state.standing
    life.live(timedelta(hours=2))
    life.give(PhoneSeen(at=life.now.wall))
    assert life.state.standing.phone_seen_at == before.phone_seen_at
    life.live(timedelta(hours=5))
    life.give(PhoneSeen(at=life.now.wall))
    assert life.state.standing.phone_seen_at == life.now.wall


def test_nothing_is_believed_while_there_is_no_connection_and_just_after(life: Life) -> None:
    life.lost(LOST)
    life.passed += 20 * DAY
    life.give(Due())
    connect(life)
    life.live(timedelta(minutes=9))
    assert days_of(life, PingPhone) == days_of(life, PhoneAbsent) == []
    life.live(timedelta(minutes=2))
    assert days_of(life, PhoneAbsent) == [20]


@pytest.mark.parametrize("days", [1, 11, 13])
def test_what_is_known_of_the_phone_outlives_a_restart(life: Life, days: int) -> None:
    life.live(days * DAY)
    told = len(days_of(life, PhoneAbsent))
    life.begins_again()
    life.opened()
    life.live(15 * DAY - life.passed)
    assert days_of(life, PhoneAbsent) == [12, 14]
    assert told <= 1


def comes_back_with_signs(life: Life, away: timedelta, *days: int) -> None:
    """Let its service be away for so long, and what the phone gave on these days arrive late."""
    life.lost(LOST)
    life.passed += away
    life.give(Due())
    connect(life)
    for day in days:
        life.give(PhoneSeen(at=BEGAN + day * DAY))
        life.live(timedelta(seconds=1))


def test_a_phone_that_wrote_all_the_while_the_service_was_away_was_never_absent(life: Life) -> None:
    comes_back_with_signs(life, 14 * DAY, *range(1, 14))
    life.live(timedelta(hours=1))
    assert life.told(PhoneAbsent) == life.told(PhoneBack) == life.told(PingPhone) == []


def test_an_old_sign_of_a_phone_that_is_still_away_does_not_say_that_it_is_back(life: Life) -> None:
    life.live(12 * DAY)
    comes_back_with_signs(life, 13 * DAY, 12)
    assert life.told(PhoneBack) == []
    life.live(timedelta(hours=1))
    assert days_of(life, PhoneAbsent) == [12]
    life.live(2 * DAY)
    assert life.told(PhoneAbsent)[1:] == [PhoneAbsent(days=14)]
    life.give(PhoneSeen(at=life.now.wall))
    assert len(life.told(PhoneBack)) == 1


def test_people_are_told_of_each_time_that_a_phone_is_away(life: Life) -> None:
    for _ in range(2):
        life.live(12 * DAY)
        life.give(PhoneSeen(at=life.now.wall))
    life.live(timedelta(hours=7))
    life.give(PhoneSeen(at=life.now.wall))
    assert days_of(life, PhoneAbsent) == days_of(life, PhoneBack) == [12, 24]


def test_a_sign_from_before_the_last_one_ends_no_absence(life: Life) -> None:
    life.live(DAY)
    life.give(PhoneSeen(at=life.now.wall))
    life.live(12 * DAY)
    life.give(PhoneSeen(at=BEGAN))
    assert life.told(PhoneBack) == []
    life.live(2 * DAY)
    assert days_of(life, PhoneAbsent) == [13, 15]


def test_a_phone_is_not_asked_before_its_time_by_a_clock_that_was_set_back(life: Life) -> None:
    life.clock_off -= 3 * DAY
    life.give(PhoneSeen(at=life.now.wall))
    life.clock_off -= DAY
    life.live(10 * DAY + timedelta(hours=1))
    assert days_of(life, PingPhone) == []
    life.live(DAY)
    assert days_of(life, PingPhone) == [11]


def seen_in_the_future(life: Life) -> None:
    """Have it linked while the machine's clock was a year ahead, and set right since."""
    standing = replace(life.state.standing, phone_seen_at=life.now.wall + 365 * DAY)
    life.state = replace(life.state, standing=standing)


def test_a_sign_by_a_clock_that_was_ahead_hides_no_absence_after_the_next_login(life: Life) -> None:
    seen_in_the_future(life)
    life.lost(LOST)
    connect(life)
    life.live(12 * DAY + timedelta(hours=1))
    assert days_of(life, PhoneAbsent) == [12]


def test_a_sign_by_a_clock_that_was_ahead_gives_way_to_the_next_one(life: Life) -> None:
    seen_in_the_future(life)
    life.give(PhoneSeen(at=life.now.wall))
    assert life.state.standing.phone_seen_at == life.now.wall
    life.live(12 * DAY + timedelta(hours=1))
    assert days_of(life, PhoneAbsent) == [12]
