"""The phone's watch: a sign asked for after ten days, people warned before WhatsApp unlinks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Ending, Kind, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Effect, PhoneAbsent, PhoneBack, PingPhone
from perene.core.machines.inputs import (
    Acquired,
    Due,
    Ended,
    Input,
    LoggedIn,
    PhoneSeen,
    Start,
)
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import Chances, SessionState
from perene.core.outages import OutageId
from perene.core.standing import Standing

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)
LOST = Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED)


class Life:
    """A linked session on its own clock, and what its steps asked for on which day."""

    def __init__(self) -> None:
        self.passed = timedelta()
        self.state: SessionState = new_session(SessionId("ana"), paired=True)
        self.done: list[tuple[int, Effect]] = []
        self.epochs = 0
        self.connect()

    @property
    def now(self) -> Instant:
        return Instant(wall=BEGAN + self.passed, monotonic=self.passed.total_seconds())

    def give(self, given: Input) -> None:
        chances = Chances(jitter=0.5, outage_id=OutageId("one"))
        taken = step(self.state, given, self.now, chances)
        self.state = taken.state
        self.done += [
            (self.passed.days, effect)
            for effect in taken.effects
            if isinstance(effect, PingPhone | PhoneAbsent | PhoneBack)
        ]

    def connect(self) -> None:
        self.give(Start(by_person=True))
        self.epochs += 1
        self.give(Acquired(epoch=Epoch(self.epochs)))
        self.give(LoggedIn(at=self.now))

    def live(self, time: timedelta) -> None:
        """Let time pass, deadline by deadline."""
        end = self.passed + time
        while (due := next_deadline(self.state)) is not None and due <= end.total_seconds():
            self.passed = max(self.passed, timedelta(seconds=due))
            self.give(Due())
        self.passed = end

    def days_of(self, kind: type[Effect]) -> list[int]:
        return [day for day, effect in self.done if isinstance(effect, kind)]


def test_a_phone_that_is_away_is_pinged_daily_from_the_tenth_day() -> None:
    life = Life()
    life.live(14 * DAY + timedelta(hours=1))
    assert life.days_of(PingPhone) == [10, 11, 12, 13, 14]


def test_people_are_warned_on_the_twelfth_and_the_fourteenth_day() -> None:
    life = Life()
    life.live(30 * DAY)
    assert [effect for _, effect in life.done if isinstance(effect, PhoneAbsent)] == [
        PhoneAbsent(days=12),
        PhoneAbsent(days=14),
    ]


def test_a_sign_begins_the_count_anew_and_says_that_it_is_back() -> None:
    life = Life()
    life.live(9 * DAY)
    life.give(PhoneSeen(at=life.now.wall))
    life.live(12 * DAY)
    assert life.days_of(PhoneAbsent) == [21]
    life.give(PhoneSeen(at=life.now.wall))
    assert life.days_of(PhoneBack) == [21]
    life.live(9 * DAY)
    assert life.days_of(PhoneBack) == [21]
    assert max(life.days_of(PingPhone)) == 21


def test_an_old_sign_that_arrives_late_counts_from_when_it_was_given() -> None:
    life = Life()
    life.live(8 * DAY)
    life.give(PhoneSeen(at=BEGAN + 5 * DAY))
    life.give(PhoneSeen(at=BEGAN + 3 * DAY))
    life.live(10 * DAY)
    assert life.days_of(PingPhone) == [15, 16, 17, 18]


def test_signs_close_together_are_not_written_down_each() -> None:
    life = Life()
    life.give(PhoneSeen(at=BEGAN + timedelta(hours=1)))
    before = life.state.standing
    life.live(timedelta(hours=2))
    life.give(PhoneSeen(at=life.now.wall))
    assert life.state.standing.phone_seen_at == before.phone_seen_at
    life.live(timedelta(hours=5))
    life.give(PhoneSeen(at=life.now.wall))
    assert life.state.standing.phone_seen_at == life.now.wall


def test_nothing_is_believed_while_there_is_no_connection_and_just_after() -> None:
    life = Life()
    life.give(Ended(ending=LOST))
    life.passed += 20 * DAY
    life.give(Due())
    life.connect()
    life.live(timedelta(minutes=9))
    assert life.done == []
    life.live(timedelta(minutes=2))
    assert life.days_of(PhoneAbsent) == [20]


@pytest.mark.parametrize("days", [1, 11, 13])
def test_what_is_known_of_the_phone_outlives_a_restart(days: int) -> None:
    life = Life()
    life.live(days * DAY)
    told = len(life.days_of(PhoneAbsent))
    standing = Standing.parse(life.state.standing.serialize())
    life.state = new_session(SessionId("ana"), paired=True, standing=standing)
    life.connect()
    life.live(15 * DAY - life.passed)
    assert life.days_of(PhoneAbsent) == [12, 14]
    assert told <= 1


def seen_in_the_future(life: Life) -> None:
    """Have it linked while the machine's clock was a year ahead, and set right since."""
    standing = replace(life.state.standing, phone_seen_at=life.now.wall + 365 * DAY)
    life.state = replace(life.state, standing=standing)


def test_a_sign_by_a_clock_that_was_ahead_hides_no_absence_after_the_next_login() -> None:
    life = Life()
    seen_in_the_future(life)
    life.give(Ended(ending=LOST))
    life.connect()
    life.live(12 * DAY + timedelta(hours=1))
    assert life.days_of(PhoneAbsent) == [12]


def test_a_sign_by_a_clock_that_was_ahead_gives_way_to_the_next_one() -> None:
    life = Life()
    seen_in_the_future(life)
    life.give(PhoneSeen(at=life.now.wall))
    assert life.state.standing.phone_seen_at == life.now.wall
    life.live(12 * DAY + timedelta(hours=1))
    assert life.days_of(PhoneAbsent) == [12]
