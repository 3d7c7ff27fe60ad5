"""How far the traffic of the moment is from the usual: no two mornings of a session are alike.

The rate of a half hour is taken to be its usual one times a factor that is Gamma distributed with a
mean of 1. How much the factor varies is learned from half hours that are over; what it is at
present, from what came of late. The more it varies, the sooner the present is believed.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

_ENOUGH = 10.0
"""Clumps expected in a half hour from which on it tells something."""
_WAS_AWAY = 8.0
"""So many times less than expected is being away, which is learned elsewhere (`Slots.away`)."""
_OUTLIER = 6.0
"""A half hour counts for at most so many usual ones: a day begins late and ends early."""
LEAST_VARIANCE = 0.002
"""What half hours vary at least; chance hides less than that."""
_DOUBT = 10
"""Half hours for which what every session begins with is worth something."""
_REMEMBERED = 200
_PRESENT = 20.0
_PRESENT_H = 1.0
"""After so many expected clumps, or hours, what came of late is forgotten to 1/e."""
_MOST = 4.0
"""Times the usual traffic that is believed at most."""
_SURPRISE = 2.5
"""Standard deviations below what was expected from which on the present alone is believed."""


class Tally(NamedTuple):
    """Messages heard, and the hours of listening in which they were (or messages expected)."""

    messages: float = 0.0
    hours: float = 0.0


NOTHING = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evenness:
    """How much half hours vary, and what came of late.

    `variance` is that of the factor: 0 for a session whose hours are all alike, 0.25 for one with
    half hours of 1/3 to 2 times as much. `half_hours` is on how many that rests. `recent` are the
    messages heard of late against those expected.
    """

    variance: float = 0.03
    half_hours: int = 0
    recent: Tally = NOTHING

    def level(self, clump: float) -> float:
        """Return what comes at present, as a multiple of the usual."""
        heard, expected = self.recent
        even = clump / self.variance
        level = min((heard + even) / (expected + even), _MOST)
        usual_error = math.sqrt(expected * clump + self.variance * expected**2)
        if heard >= expected - _SURPRISE * usual_error:
            return level
        # A holiday: how even the session is else says nothing about it.
        return min(level, (heard + clump) / (expected + clump))

    def known(self, clump: float) -> float:
        """Return the clumps on which the level rests."""
        return 1.0 / self.variance + self.recent.messages / clump

    def went_by(self, hours: float, expected: float, heard: float, clump: float) -> "Evenness":
        """Return what is known after some hours in which so many were expected, and heard."""
        kept = math.exp(-expected / (_PRESENT * clump) - hours / _PRESENT_H)
        messages, due = self.recent
        return replace(self, recent=Tally(messages * kept + heard, due * kept + expected))

    def after(self, heard: float, expected: float, clump: float) -> "Evenness":
        """Return what is known after a half hour with so many messages."""
        if expected < _ENOUGH * clump or heard * _WAS_AWAY < expected:
            return self
        most = _OUTLIER * self.variance
        # What chance alone adds to the square is the number expected, for each clump.
        seen = ((heard - expected) ** 2 - expected * clump) / expected**2
        half_hours = min(self.half_hours + 1, _REMEMBERED)
        change = (min(max(seen, -most), most) - self.variance) / (half_hours + _DOUBT)
        return replace(
            self, variance=max(LEAST_VARIANCE, self.variance + change), half_hours=half_hours
        )
