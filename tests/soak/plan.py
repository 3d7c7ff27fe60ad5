"""What a month brings, drawn from a seed: how often, how long, and to whom."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long it lasts, for how many, and how much happens. Rates are for one session and day."""

    sessions: int = 100
    days: float = 30.0
    seed: int = 1
    received_a_day: float = 3.0
    sent_a_day: float = 2.0
    troubles_a_day: float = 0.5
    disasters_a_day: float = 1.5
    """Of all together: the network, the server, the database, Perene itself."""
    looks_a_day: float = 2.0
    """How often all that is told of all sessions is compared, and with what is so."""

    @property
    def seconds(self) -> float:
        """How long the troubles last, in virtual time."""
        return self.days * DAY


class Dice:
    """Draws what the plan leaves open."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def next_in(self, a_day: float) -> float:
        """Return in how many seconds something happens next that happens so often a day."""
        return self._rng.expovariate(a_day / DAY)

    def between(self, shortest: float, longest: float) -> float:
        """Return a time: short ones are as likely as long ones, by their order of magnitude."""
        return shortest * (longest / shortest) ** self._rng.random()

    def number(self, least: int, most: int) -> int:
        """Return a number from `least` to `most`."""
        return self._rng.randint(least, most)

    def one_of(self, items: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """Return one of these."""
        return self._rng.choices(items, weights)[0]
