"""What a session's incoming traffic is like: how much of it to expect at any hour of the week.

Rates are counts over the time in which they were heard, forgotten bit by bit. An hour of the week
is believed as far as it has been lived through; before that the same hour of other days is, and
before that the session's rate as a whole (shrinkage, as for a Gamma prior on a Poisson rate).
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

_T = TypeVar("_T")

_HOURS_OF_DAY = 24
_HOURS_OF_WEEK = 168
_HOUR_S = 3600.0

_PRIOR = 3.0
"""How many messages the wider rate is worth against what an hour has shown itself."""
_SETTLING = 0.05
"""Hours without a message that every session is taken to begin with, against a lucky start."""
_MEMORY = {"all": 72.0, "day": 10.0, "week": 6.0}
"""Hours of listening after which a rate is forgotten to 1/e: three days of everything, ten days of
an hour of the day, six weeks of an hour of the week."""
_FADING = {"day": 0.9, "week": 0.7}
"""What is left of the longest known silence when its hour has come round again."""
_LIVED = 0.9
"""Hours of listening from which on an hour of the week is known by itself."""
_LONG = 3.0
"""Expected messages from which on a silence counts as long; one in 20 of a steady session is."""
_MOST_EXCESS = 12.0
_DOUBT = 15
"""Long silences for which a session is taken to be steady before its own say more."""
_REMEMBERED = 300
"""Long silences that the measure of clumping is a mean of; one outlier cannot make it."""
_HORIZON = 14 * _HOURS_OF_DAY
"""Hours looked ahead or back at most."""


class Tally(NamedTuple):
    """Messages heard, and the hours of listening in which they were."""

    messages: float = 0.0
    hours: float = 0.0

    def grown(self, messages: float, hours: float, memory: float) -> "Tally":
        """Return the tally with more of both, the old ones forgotten a little."""
        kept = math.exp(-hours / memory)
        return Tally(self.messages * kept + messages, self.hours * kept + hours)

    def rate(self, wider: float) -> float:
        """Return messages an hour, as believable as there are hours."""
        return (self.messages + _PRIOR) / (self.hours + _PRIOR / wider) if wider > 0 else 0.0


_NOTHING = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What has been learned, in fixed memory. Hours are of UTC.

    The tables `longest_…` hold, by the hour in which they began, the silences that ended by
    themselves although most was expected in them, in expected messages: irregular pauses are known
    by them. `clump` is how many messages come together: the mean by which long silences exceed
    `_LONG` expected messages, 1 for a steady session, 30 for one with bursts of 30. `hour` (since
    1970), `count` and `listened` (hours) are of the present hour, which is taken into the tables
    when it is over.
    """

    total: Tally = _NOTHING
    days: tuple[Tally, ...] = (_NOTHING,) * _HOURS_OF_DAY
    weeks: tuple[Tally, ...] = (_NOTHING,) * _HOURS_OF_WEEK
    longest_of_day: tuple[float, ...] = (0.0,) * _HOURS_OF_DAY
    longest_of_week: tuple[float, ...] = (0.0,) * _HOURS_OF_WEEK
    clump: float = 1.0
    long_silences: int = 0
    hour: int = 0
    count: float = 0.0
    listened: float = 0.0

    def rate(self, hour: int) -> float:
        """Return the messages that may be counted on in an hour (since 1970).

        The least of the hour and its neighbours: regular pauses do not begin on the dot.
        """
        wider = self.usual
        return min(self._rate_of(one, wider) for one in (hour - 1, hour, hour + 1))

    def _rate_of(self, hour: int, wider: float) -> float:
        day = self.days[hour % _HOURS_OF_DAY].rate(wider)
        return self.weeks[hour % _HOURS_OF_WEEK].rate(day)

    def expected(self, start: datetime, end: datetime) -> float:
        """Return how many messages were to be expected between two times."""
        begin, finish = _hours(start), _hours(end)
        begin = max(begin, finish - _HORIZON)
        found = 0.0
        while begin < finish:
            until = min(math.floor(begin) + 1.0, finish)
            found += self.rate(math.floor(begin)) * (until - begin)
            begin = until
        return found

    def due(self, start: datetime, count: float) -> datetime | None:
        """Return when so many messages are to be expected since `start`, None if it is far."""
        begin = _hours(start)
        end = begin + _HORIZON
        while begin < end:
            until = math.floor(begin) + 1.0
            rate = self.rate(math.floor(begin))
            if rate * (until - begin) >= count:
                return datetime.fromtimestamp((begin + count / rate) * _HOUR_S, UTC)
            count -= rate * (until - begin)
            begin = until
        return None

    def patience(self, start: datetime) -> float:
        """Return the most that was ever expected in vain in a silence that began at this time."""
        hour = math.floor(_hours(start))
        return max(self._longest(hour + step) for step in (-1, 0, 1))

    def _longest(self, hour: int) -> float:
        week = hour % _HOURS_OF_WEEK
        if self.weeks[week].hours >= _LIVED:
            return self.longest_of_week[week]
        return self.longest_of_day[hour % _HOURS_OF_DAY]

    @property
    def usual(self) -> float:
        """The messages an hour of the last days as a whole."""
        return self.total.messages / (self.total.hours + _SETTLING)

    def listened_in_silence(self, start: datetime, end: datetime) -> "Habit":
        """Learn that nothing was heard between two times."""
        return self._lived(start, end, 0.0)

    def heard(self, start: datetime, end: datetime, count: float) -> "Habit":
        """Learn that `count` messages (0: something else) ended a silence since `start`."""
        in_vain = self.expected(start, end)
        habit = self._lived(start, end, count)
        return habit if in_vain <= _LONG else habit._endured(start, in_vain)  # noqa: SLF001  # own class

    def _endured(self, start: datetime, in_vain: float) -> "Habit":
        """Learn that so much was expected in a silence, and that it ended by itself."""
        hour = math.floor(_hours(start))
        day, week = hour % _HOURS_OF_DAY, hour % _HOURS_OF_WEEK
        excess = min(in_vain - _LONG, _MOST_EXCESS * self.clump)
        share = 1.0 / min(self.long_silences + _DOUBT, _REMEMBERED)
        return replace(
            self,
            longest_of_day=_put(self.longest_of_day, day, max(self.longest_of_day[day], in_vain)),
            longest_of_week=_put(
                self.longest_of_week, week, max(self.longest_of_week[week], in_vain)
            ),
            clump=max(1.0, self.clump + share * (excess - self.clump)),
            long_silences=self.long_silences + 1,
        )

    def _lived(self, start: datetime, end: datetime, count: float) -> "Habit":
        begin, finish = _hours(start), _hours(end)
        begin = min(max(begin, finish - _HORIZON), finish)
        total = self.total.grown(count, finish - begin, _MEMORY["all"])
        habit = self
        while math.floor(begin) < math.floor(finish):
            hour, until = math.floor(begin), math.floor(begin) + 1.0
            if hour != habit.hour:
                habit = habit._turned(hour)  # own class
            habit = replace(habit, listened=habit.listened + until - begin)
            begin = until
        if math.floor(finish) != habit.hour:
            habit = habit._turned(math.floor(finish))  # noqa: SLF001  # own class
        return replace(
            habit,
            total=total,
            count=habit.count + count,
            listened=habit.listened + finish - begin,
        )

    def _turned(self, hour: int) -> "Habit":
        """Take the hour that is over into the tables, and begin another."""
        day, week = self.hour % _HOURS_OF_DAY, self.hour % _HOURS_OF_WEEK
        days = _put(self.days, day, self.days[day].grown(self.count, self.listened, _MEMORY["day"]))
        weeks = _put(
            self.weeks, week, self.weeks[week].grown(self.count, self.listened, _MEMORY["week"])
        )
        known = self.listened > 0
        of_day = self.longest_of_day[day] * (_FADING["day"] if known else 1.0)
        of_week = self.longest_of_week[week] * (_FADING["week"] if known else 1.0)
        return replace(
            self,
            days=days,
            weeks=weeks,
            longest_of_day=_put(self.longest_of_day, day, of_day),
            longest_of_week=_put(self.longest_of_week, week, of_week),
            hour=hour,
            count=0.0,
            listened=0.0,
        )


def _hours(moment: datetime) -> float:
    return moment.timestamp() / _HOUR_S


def _put(values: tuple[_T, ...], index: int, value: _T) -> tuple[_T, ...]:
    return (*values[:index], value, *values[index + 1 :])
