"""Tables by the half hour: of the day, and of the week. Hours count from 1970, in UTC."""

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

SLOT_H = 0.5
_LIVED_H = 0.45
OF_DAY = 48
OF_WEEK = 336

_PRIOR = 0.5
"""How many messages the wider rate is worth against what a slot has shown itself. Little: a night
after a busy day must not seem busy for weeks."""


class Stretch(NamedTuple):
    """A part of some time that lies in one slot (since 1970)."""

    slot: int
    hours: float


def slot_of(hours: float) -> int:
    """Return the slot that this time lies in."""
    return math.floor(hours / SLOT_H)


def stretches(begin: float, end: float) -> Iterable[Stretch]:
    """Cut the time between two times at the bounds of slots, in order."""
    slot = slot_of(begin)
    if end <= (slot + 1) * SLOT_H:
        return (Stretch(slot, end - begin),) if begin < end else ()
    return _many(begin, end)


def _many(begin: float, end: float) -> Iterator[Stretch]:
    while begin < end:
        slot = slot_of(begin)
        until = min((slot + 1) * SLOT_H, end)
        yield Stretch(slot, until - begin)
        begin = until


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Per slot: messages heard, hours listened, and how often the session was away (0 to 1).

    What is old is forgotten to 1/e after `memory_h` more hours of the slot. Arrays of single
    precision, 4 KB for a week; none is ever changed in place.
    """

    memory_h: float
    messages: "array[float]"
    hours: "array[float]"
    away: "array[float]"

    @classmethod
    def empty(cls, size: int, *, memory_h: float) -> "Slots":
        """Return the tables of a session that has not been heard yet."""
        blank = array("f", bytes(4 * size))
        return cls(memory_h=memory_h, messages=blank, hours=blank, away=blank)

    @property
    def size(self) -> int:
        """How many slots there are until they come again."""
        return len(self.messages)

    def rate(self, slot: int, wider: float) -> float:
        """Return messages an hour (Poisson with a Gamma prior): `wider` until it is known."""
        if wider <= 0:
            return 0.0
        index = slot % len(self.messages)
        return (self.messages[index] + _PRIOR) / (self.hours[index] + _PRIOR / wider)

    def is_lived(self, slot: int) -> bool:
        """Tell whether a slot has been lived through, or nearly."""
        return self.hours[slot % len(self.hours)] >= _LIVED_H

    def messages_of(self, slot: int) -> float:
        """Return the messages that are remembered of a slot."""
        return self.messages[slot % len(self.messages)]

    def away_around(self, slot: int) -> float:
        """Return how often the session was away in a slot, or in one beside it."""
        away = self.away
        index = slot % len(away)
        return max(away[index], away[index - 1], away[(index + 1) % len(away)])

    def lived(self, slot: int, messages: float, hours: float, *, judged: bool) -> "Slots":
        """Return the tables with one more passage of a slot.

        `judged`: so much was expected that it would show if the session had been away.
        """
        index = slot % self.size
        kept = math.exp(-hours / self.memory_h)
        faded = 1.0 - self._weight(index) * min(1.0, hours / SLOT_H) if judged else 1.0
        return Slots(
            memory_h=self.memory_h,
            messages=_put(self.messages, index, self.messages[index] * kept + messages),
            hours=_put(self.hours, index, self.hours[index] * kept + hours),
            away=_put(self.away, index, self.away[index] * faded),
        )

    def marked(self, marks: dict[int, float]) -> "Slots":
        """Return the tables with the session away in these slots, for the part given."""
        away = array("f", self.away)
        for slot, surely in marks.items():
            index = slot % self.size
            away[index] = min(1.0, away[index] + surely * self._weight(index))
        return Slots(
            memory_h=self.memory_h,
            messages=self.messages,
            hours=self.hours,
            away=away,
        )

    def _weight(self, index: int) -> float:
        """Return what the last passage of a slot counts among all that are remembered."""
        return 1.0 / (1.0 + self.hours[index] / SLOT_H)


def _put(values: "array[float]", index: int, value: float) -> "array[float]":
    changed = array("f", values)
    changed[index] = value
    return changed
