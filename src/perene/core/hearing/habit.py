"""What a session's incoming traffic is like: how much of it to expect at any time of the week.

Rates are counts over the time in which they were heard, forgotten bit by bit. A half hour of the
week is believed as far as it has been lived through; before that the same half hour of other days
is, and before that the session's rate as a whole. Two things make silence longer than chance would,
and both are learned from the silences that ended by themselves: messages come in clumps, and there
are times at which nothing is to be counted on, because the session has been away at them (a day
that begins late and ends early, a holiday).
"""

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from perene.core.hearing.evenness import NOTHING, Evenness, Tally
from perene.core.hearing.slots import OF_DAY, OF_WEEK, SLOT_H, Slots, slot_of, stretches

_HOUR_S = 3600.0
_SETTLING = 0.02
"""Hours without a message that every session is taken to begin with, against a lucky start."""
_MEMORY_H = 336.0
"""Hours of listening after which the session's rate as a whole is forgotten to 1/e."""
_DAYS = Slots.empty(OF_DAY, memory_h=5.0)
"""Ten days of a half hour of the day."""
_WEEKS = Slots.empty(OF_WEEK, memory_h=3.0)
"""Six weeks of a half hour of the week."""
_LONG = 3.0
"""Expected messages from which on a silence counts as long; one in 20 of a steady session is."""
_MOST_EXCESS = 4.0
"""Clumps that one silence counts for at most, so that a free weekend does not make the measure."""
_CUT = 1.0 - math.exp(-_MOST_EXCESS)
"""What is left of the mean of an exponential distribution that is cut off there."""
_DOUBT = 15
"""Long silences for which a session is taken to be steady before its own say more."""
_REMEMBERED = 300
"""Long silences that the measure of clumping is a mean of; one outlier cannot make it."""
_TOO_LONG = 8.0
"""Expected clumps from which on a silence is not chance (one in 3,000 is longer): the session was
away."""
_TOUCHED = 0.1
"""The part of a slot that a silence may take without the session being away in it; at twice as much
it surely is."""
_WORTH = 1.0
"""Expected clumps in a slot below which being away makes no difference worth noting."""
_BOLD = 0.5
"""What is counted on all the same, when being away can be told from deafness by asking the phone:
so much of the usual rate, where the session may be away."""
_WEEK_DOUBTFUL = 0.15, 0.4
_DAY_DOUBTFUL = 0.4, 0.5
"""How often a session may have been away in a slot without any effect (a single holiday, a free
weekend), and from when on nothing is counted on."""
_ITSELF = 10.0
"""Clumps of late at the usual level after which a session is itself again."""
_LEAST_KNOWN = 0.5
"""Clumps on which any rate rests at least: what the wider rate is worth."""
_NEARLY = 0.6
"""Times the usual traffic from which on it counts as usual."""
_ENOUGH = 100.0
"""Clumps from which on what usually comes is known."""
_WHOLE_H = 0.45
"""Hours of a half hour that have to be listened to before it says how much half hours vary."""
_HORIZON_H = 336.0
"""Hours looked ahead or back at most."""
_EVEN = Evenness()


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What has been learned, in fixed memory.

    `clump` is how many messages come together: the mean by which long silences exceed `_LONG`
    expected messages, 1 for a steady session, 30 for one with bursts of 30. `evenness` tells
    the present from the usual. `slot` (since 1970), `count` and `listened` (hours) are of the
    present slot, which is taken into the tables when it is over.
    """

    total: Tally = NOTHING
    days: Slots = field(default=_DAYS)
    weeks: Slots = field(default=_WEEKS)
    clump: float = 1.0
    long_silences: int = 0
    evenness: Evenness = field(default=_EVEN)
    slot: int = 0
    count: float = 0.0
    listened: float = 0.0

    @property
    def usual(self) -> float:
        """The messages an hour of the last weeks as a whole."""
        return self.total.messages / (self.total.hours + _SETTLING)

    @property
    def level(self) -> float:
        """What comes at present, as a multiple of the usual."""
        return self.evenness.level(self.clump)

    @property
    def is_nearly_usual(self) -> bool:
        """Tell whether, as far as can be said, about as much comes as usual."""
        return self.level >= _NEARLY

    @property
    def is_usual(self) -> bool:
        """Tell whether as much comes as usual, and enough to say so."""
        recent = self.evenness.recent
        return recent.messages >= _ITSELF * self.clump and self.is_nearly_usual

    def known(self) -> float:
        """Return how many clumps what is known rests on."""
        return self.total.messages / self.clump

    def rate_at(self, moment: datetime) -> float:
        """Return the clumps an hour that usually come at a time."""
        return self._rate(slot_of(_hours(moment)), self.usual) * self.level / self.clump

    def expected(self, start: datetime, end: datetime, *, boldly: bool = False) -> float:
        """Return how many clumps were to be counted on between two times.

        Fewer where the rate rests on few (Gamma-Poisson), so that e to the minus this is the chance
        of a silence. None where the session may be away, unless `boldly`.
        """
        begin, finish = _hours(start), _hours(end)
        found, usual, share = 0.0, self.usual, self._share(boldly=boldly)
        for slot, hours in stretches(max(begin, finish - _HORIZON_H), finish):
            known = self._known_of(slot)
            rate = self._sure_rate(slot, usual, boldly=boldly)
            found += known * math.log1p(rate * share * hours / known)
        return found

    def due(
        self,
        start: datetime,
        clumps: float,
        *,
        boldly: bool = False,
        before: datetime | None = None,
    ) -> datetime | None:
        """Return when so many clumps are to be counted on since `start`.

        None if that is far, or not earlier than about `before`.
        """
        begin = _hours(start)
        end = begin + _HORIZON_H
        if before is not None:
            end = min(end, max(begin, _hours(before)))
        left, usual, share = clumps, self.usual, self._share(boldly=boldly)
        for slot, hours in stretches(begin, end):
            rate = self._sure_rate(slot, usual, boldly=boldly) * share
            known = self._known_of(slot)
            counted = known * math.log1p(rate * hours / known)
            if rate > 0 and counted >= left:
                needed = known * math.expm1(left / known)
                return datetime.fromtimestamp((begin + needed / rate) * _HOUR_S, UTC)
            left -= counted
            begin = (slot + 1) * SLOT_H
        return None

    def usually_due(self, start: datetime, clumps: float, *, before: datetime) -> datetime | None:
        """Return when so many clumps usually come after `start`, whatever the present is like.

        None if that is not earlier than `before`, or if too few have come to call anything usual.
        """
        if self.known() < _ENOUGH:
            return None
        begin, usual, left = _hours(start), self.usual, clumps * self.clump
        for slot, hours in stretches(begin, _hours(before)):
            rate = self._rate(slot, usual)
            if rate * hours >= left:
                return datetime.fromtimestamp((begin + left / rate) * _HOUR_S, UTC)
            left -= rate * hours
            begin = (slot + 1) * SLOT_H
        return None

    def lived(self, start: datetime, end: datetime, count: float) -> "Habit":
        """Learn that `count` messages came at the end of some time."""
        begin, finish = _hours(start), _hours(end)
        begin = min(max(begin, finish - _HORIZON_H), finish)
        passed = finish - begin
        due = self._counted_on(begin, finish, boldly=True)
        forgotten = math.exp(-passed / _MEMORY_H)
        habit, listened = self, self.listened
        if slot_of(finish) == self.slot == slot_of(begin):
            listened += passed
        else:
            for slot, hours in stretches(begin, finish):
                habit = _in_slot(habit, slot)
                habit = replace(habit, listened=habit.listened + hours)
            habit = _in_slot(habit, slot_of(finish))
            listened = habit.listened
        return replace(
            habit,
            listened=listened,
            total=Tally(
                self.total.messages * forgotten + count, self.total.hours * forgotten + passed
            ),
            evenness=habit.evenness.went_by(passed, due, count, self.clump),
            count=habit.count + count,
        )

    def endured(self, start: datetime, end: datetime, *, known_to: datetime) -> "Habit":
        """Learn that a silence was the session's own: nothing was kept from it.

        Up to `known_to` that has been learned before.
        """
        begin, finish = _hours(start), _hours(end)
        begin = max(begin, finish - _HORIZON_H)
        usual, overall = 0.0, self.usual
        for slot, hours in stretches(begin, finish):
            usual += self._rate(slot, overall) * hours
        level = self.level
        if usual * max(1.0, level) <= _LONG:
            return self  # most silences; what may be counted on is less still
        days, weeks = self.days, self.weeks
        if usual > _TOO_LONG * self.clump:
            # Twice, if the phone answered twice in a half hour: to mark it once was measured, and
            # brought false alarms (docs/decisions/0006-deaf-connections.md).
            marks = self._away(max(begin, _hours(known_to)), finish)
            days, weeks = days.marked(marks), weeks.marked(marks)
        clump, long_silences = self.clump, self.long_silences
        in_vain = self._counted_on(begin, finish) * level
        known = self.evenness.known(clump) * clump
        in_vain = known * math.log1p(in_vain / known)
        if in_vain > _LONG:
            excess = min(in_vain - _LONG, _MOST_EXCESS * clump) / _CUT
            clump += (excess - clump) / min(long_silences + _DOUBT, _REMEMBERED)
            long_silences += 1
        return replace(
            self, days=days, weeks=weeks, clump=max(1.0, clump), long_silences=long_silences
        )

    def _away(self, begin: float, finish: float) -> dict[int, float]:
        return {
            slot: min(max(hours / SLOT_H / _TOUCHED - 1.0, 0.0), 1.0)
            for slot, hours in stretches(begin, finish)
            if self.is_worth(slot)
        }

    def is_worth(self, slot: int) -> bool:
        """Tell whether so much is expected in a slot that being away would show."""
        return self._rate(slot, self.usual) * SLOT_H >= _WORTH * self.clump

    @property
    def usually_by_now(self) -> float:
        """The messages that usually come in as much of the present slot as was listened to."""
        return self._rate(self.slot, self.usual) * self.listened

    def _share(self, *, boldly: bool) -> float:
        """Return the clumps to be expected at present for each message that usually comes.

        That more comes than usual may be over at any time, so only who is bold counts on it.
        """
        level = self.level
        return (level if boldly else min(level, 1.0)) / self.clump

    def _counted_on(self, begin: float, end: float, *, boldly: bool = False) -> float:
        begin = max(begin, end - _HORIZON_H)
        found, usual = 0.0, self.usual
        for slot, hours in stretches(begin, end):
            found += self._sure_rate(slot, usual, boldly=boldly) * hours
        return found

    def _rate(self, slot: int, usual: float) -> float:
        return self.weeks.rate(slot, self.days.rate(slot, usual))

    def _known_of(self, slot: int) -> float:
        """Return the clumps on which the rate of a slot rests, as it is at present.

        In one that was not lived through yet, the rate is that of late: nothing else is known.
        """
        for table in (self.weeks, self.days):
            if table.is_lived(slot):
                usual = max(table.messages_of(slot) / self.clump, _LEAST_KNOWN)
                present = self.evenness.known(self.clump)
                return usual * present / (usual + present)
        return max(self.known(), _LEAST_KNOWN)

    def _sure_rate(self, slot: int, usual: float, *, boldly: bool = False) -> float:
        """Return the messages an hour that may be counted on: not where the session may be away.

        Nor in the slots beside: what varies does not vary by the half hour.
        """
        doubtful = max(
            _between(self.weeks.away_around(slot), _WEEK_DOUBTFUL),
            _between(self.days.away_around(slot), _DAY_DOUBTFUL),
        )
        return self._rate(slot, usual) * (1.0 - doubtful * (1.0 - _BOLD if boldly else 1.0))


def _in_slot(habit: Habit, slot: int) -> Habit:
    """Take a slot that is over into the tables, and begin another."""
    if slot == habit.slot:
        return habit
    days, weeks, evenness = habit.days, habit.weeks, habit.evenness
    if habit.listened > 0:
        known = weeks.is_lived(habit.slot) or days.is_lived(habit.slot)
        if known and habit.listened >= _WHOLE_H:
            evenness = evenness.after(habit.count, habit.usually_by_now, habit.clump)
        judged = habit.is_worth(habit.slot)
        days = days.lived(habit.slot, habit.count, habit.listened, judged=judged)
        weeks = weeks.lived(habit.slot, habit.count, habit.listened, judged=judged)
    return replace(
        habit,
        days=days,
        weeks=weeks,
        evenness=evenness,
        slot=slot,
        count=0.0,
        listened=0.0,
    )


def _between(value: float, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return min(max((value - low) / (high - low), 0.0), 1.0)


def _hours(moment: datetime) -> float:
    return moment.timestamp() / _HOUR_S
