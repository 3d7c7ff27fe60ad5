"""Made-up phones for the measurement of deaf connections: how often one answers is not known."""

import math
import random
from datetime import datetime, timedelta
from enum import StrEnum

_REACH = 0.95
_ON_FOR_S = 4 * 86_400.0
_OFF_FOR_S = 3 * 3600.0


class Habits(StrEnum):
    """What a phone does; the words of the tables."""

    ANSWERS = "answers"
    """19 of 20 questions, whenever it is asked."""
    AT_TIMES_OFF = "off at times"
    """The same, but every four days in the mean it is off, for three hours in the mean."""
    OFF = "off"
    ALWAYS_ANSWERS = "always answers"


MEASURED = (Habits.ANSWERS, Habits.AT_TIMES_OFF, Habits.OFF)


class Phone:
    """One phone. Ask it in the order of time."""

    def __init__(self, habits: Habits, seed: str, since: datetime) -> None:
        self._habits = habits
        self._rng = random.Random(seed)  # a made-up phone, nothing secret
        self._on_at, self._off_at = since, since + self._span(_ON_FOR_S)

    def answer_to(self, asked_at: datetime) -> datetime | None:
        """Return when it answers, within seconds, or None."""
        if self._habits is Habits.OFF:
            return None
        if self._rng.random() >= _REACH and self._habits is not Habits.ALWAYS_ANSWERS:
            return None
        if self._habits is Habits.AT_TIMES_OFF and not self._is_on(asked_at):
            return None
        return asked_at + timedelta(seconds=self._rng.lognormvariate(math.log(2), 0.5))

    def _is_on(self, moment: datetime) -> bool:
        while moment >= self._off_at:
            self._on_at = self._off_at + self._span(_OFF_FOR_S)
            self._off_at = self._on_at + self._span(_ON_FOR_S)
        return moment >= self._on_at

    def _span(self, mean_s: float) -> timedelta:
        return timedelta(seconds=self._rng.expovariate(1 / mean_s))
