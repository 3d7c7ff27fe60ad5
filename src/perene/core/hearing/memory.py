"""What was learned of a session's hearing, as bytes that survive a restart.

A version, twenty-two numbers, six tables. Only what was learned is kept: a new connection begins to
listen anew. The size is fixed (4.8 KB); whatever is not of it is not believed.
"""

import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from perene.core.hearing.chances import Chance, Phone, Replies
from perene.core.hearing.evenness import LEAST_VARIANCE, Evenness, Tally
from perene.core.hearing.habit import Habit
from perene.core.hearing.policy import HearingPolicy
from perene.core.hearing.questions import Questions
from perene.core.hearing.slots import Slots
from perene.core.hearing.state import Hearing, set_back

_VERSION = 3
_NUMBERS = {1: struct.Struct("<B18d"), 2: struct.Struct("<B20d"), 3: struct.Struct("<B22d")}
"""What each version has before its tables. The first knew nothing of a second question, the second
took all half hours to be alike."""
_MOST = 1e12
"""More than all numbers of a session make together. Squares of what is far beyond overflow."""
_BEFORE_ANYTHING = 0.0
"""Stands for a time that there is not."""


def serialize(state: Hearing) -> bytes:
    """Return what was learned."""
    habit, replies, phone = state.habit, state.replies, state.questions.phone
    chances = (replies.first, replies.next, phone.first)
    numbers = _NUMBERS[_VERSION].pack(
        _VERSION,
        *habit.total,
        habit.clump,
        float(habit.long_silences),
        *habit.evenness.recent,
        float(habit.slot),
        habit.count,
        habit.listened,
        *(number for chance in chances for number in (chance.answered, chance.missed)),
        float(state.alarms),
        _seconds(state.alarmed_at),
        _seconds(state.quiet_until),
        phone.again.answered,
        phone.again.missed,
        habit.evenness.variance,
        float(habit.evenness.half_hours),
    )
    return numbers + b"".join(_table(t) for s in (habit.days, habit.weeks) for t in _tables(s))


def parse(stored: bytes, policy: HearingPolicy) -> Hearing | None:
    """Return the state of a session that is not connected, None if it cannot be read."""
    blank = Hearing(policy=policy)
    days, weeks = blank.habit.days, blank.habit.weeks
    layout = _NUMBERS.get(stored[0]) if stored else None
    if layout is None or len(stored) != layout.size + 12 * (days.size + weeks.size):
        return None
    numbers = layout.unpack_from(stored)[1:]
    tables = _in_order(stored[layout.size :])
    if not (_are_sound(numbers) and _are_sound(tables)):
        return None
    cut = 3 * days.size
    habit = Habit(
        total=Tally(numbers[0], numbers[1]),
        days=_filled(days, tables[:cut]),
        weeks=_filled(weeks, tables[cut:]),
        clump=max(1.0, numbers[2]),
        long_silences=int(numbers[3]),
        evenness=_evenness(Tally(numbers[4], numbers[5]), numbers[20:22]),
        slot=int(numbers[6]),
        count=numbers[7],
        listened=numbers[8],
    )
    again = _chance(numbers[18:20]) if numbers[18:20] else blank.questions.phone.again
    phone = Phone(first=_chance(numbers[13:15]), again=again)
    return replace(
        blank,
        habit=habit,
        replies=Replies(first=_chance(numbers[9:11]), next=_chance(numbers[11:13])),
        questions=Questions(phone=phone),
        alarms=int(numbers[15]),
        alarmed_at=_time(numbers[16]),
        quiet_until=_time(numbers[17]),
    )


def recalled(present: Hearing, learned: Hearing) -> Hearing:
    """Return a session's present with what was learned earlier, in the place of what was since.

    What was since is of minutes, or of hours, and forgotten. False alarms count all the same.
    """
    if present.heard_at is not None:
        learned = set_back(learned, present.heard_at)
    replies, phone = learned.replies, learned.questions.phone
    return replace(
        present,
        habit=learned.habit,
        replies=replace(present.replies, first=replies.first, next=replies.next),
        questions=replace(present.questions, phone=phone),
        alarms=learned.alarms + present.alarms,
        alarmed_at=_later(learned.alarmed_at, present.alarmed_at),
        quiet_until=_later(learned.quiet_until, present.quiet_until),
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _are_sound(numbers: Sequence[float]) -> bool:
    """Tell whether none is negative, or absurdly large. A thousand sessions start with this."""
    # What is not a number hides from `min`, and shows in the sum.
    return min(numbers) >= 0 and sum(numbers) <= _MOST


def _tables(slots: Slots) -> "tuple[array[float], ...]":
    return slots.messages, slots.hours, slots.away


def _filled(blank: Slots, tables: "array[float]") -> Slots:
    size = blank.size
    away = tables[2 * size :]
    if max(away) > 1.0:
        away = array("f", (min(one, 1.0) for one in away))
    return replace(blank, messages=tables[:size], hours=tables[size : 2 * size], away=away)


def _chance(numbers: tuple[float, ...]) -> Chance:
    answered, missed = numbers
    return Chance(answered=max(answered, 0.01), missed=max(missed, 0.01))


def _evenness(recent: Tally, numbers: tuple[float, ...]) -> Evenness:
    if not numbers:
        return Evenness(recent=recent)
    variance, half_hours = numbers
    return Evenness(
        variance=max(variance, LEAST_VARIANCE), half_hours=int(half_hours), recent=recent
    )


def _table(values: "array[float]") -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _in_order(stored: bytes) -> "array[float]":
    values = array("f", stored)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _seconds(moment: datetime | None) -> float:
    return _BEFORE_ANYTHING if moment is None else moment.timestamp()


def _time(seconds: float) -> datetime | None:
    # Far beyond the longest pause; a date that no calendar holds must not stop a session.
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 2**33 else None
