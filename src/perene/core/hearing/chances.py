"""How often somebody answers us, learned from answers that came and answers that did not."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

_KEPT = 0.98
"""What is left of what was known, with every case: about fifty are remembered."""
_KEPT_OF_PHONE = 0.995
"""The phone is asked several times a day, and is off for hours: two hundred are remembered."""
_LEAST = 0.05
"""What is left of either, whatever was learned: nobody answers always, or never."""
_MOST_NATS = 3.5
"""What a missing answer is worth at most (33 to 1): anybody may be out of reach for a while."""

_USUALLY = 1.0
"""What a missing answer is worth at least if answers are usual: two of three come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """Cases with and without an answer, forgotten bit by bit; a Beta distribution."""

    answered: float
    missed: float

    def after(self, *, answered: bool, kept: float = _KEPT) -> "Chance":
        """Return what is known after one more case; so much of the earlier ones is left."""
        return Chance(
            answered=max(self.answered * kept, _LEAST) + answered,
            missed=max(self.missed * kept, _LEAST) + (not answered),
        )

    @property
    def nats(self) -> float:
        """What a missing answer speaks against hearing: the log of how rarely it is missing."""
        total = self.answered + self.missed
        return min(math.log(total / max(self.missed, 0.02 * total)), _MOST_NATS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """Whether the own phone answers when it is asked, and when it is asked again in vain.

    A phone that is off answers neither; one that slept through the first question may answer the
    second. So what a second missing answer is worth is learned apart.
    """

    first: Chance = Chance(answered=4.0, missed=1.0)
    again: Chance = Chance(answered=2.0, missed=1.0)

    @property
    def usually_answers(self) -> bool:
        """Tell whether a question is worth waiting for."""
        return self.first.nats >= _USUALLY

    def nats(self, missed: int) -> float:
        """Return what so many unanswered questions in a row speak against hearing."""
        return self.first.nats + (missed - 1) * self.again.nats if missed else 0.0

    def after(self, missed: int, *, answered: bool) -> "Phone":
        """Return what is known after so many unanswered questions, and perhaps an answer."""
        first, again = self.first, self.again
        for number, success in enumerate([False] * missed + [True] * answered):
            if number:
                again = again.after(answered=success, kept=_KEPT_OF_PHONE)
            else:
                first = first.after(answered=success, kept=_KEPT_OF_PHONE)
        return Phone(first=first, again=again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replies:
    """Whether receipts come back for what the session sends.

    The first message after the last trial begins another: a receipt, of whatever message, within
    `within` is a success. `missed` trials have failed since something was last heard; they are
    learned once it is known that the connection heard. A trial that follows a failed one fails more
    often (the peer's phone is off), so both cases are kept apart.
    """

    first: Chance = Chance(answered=1.0, missed=1.0)
    next: Chance = Chance(answered=1.0, missed=2.0)
    began: datetime | None = None
    missed: int = 0
    failed_last: bool = False

    def sent(self, now: datetime) -> "Replies":
        """A message of ours left."""
        return replace(self, began=now) if self.began is None else self

    def receipt(self) -> "Replies":
        """A receipt came."""
        known = self.heard()
        return known if known.began is None else replace(_learned(known, answered=True), began=None)

    def heard(self) -> "Replies":
        """Something else came: what was missed was not for want of hearing."""
        if not self.missed:
            return self
        known = self
        for _ in range(min(self.missed, 50)):
            known = _learned(known, answered=False)
        return replace(known, missed=0)

    def passed(self, now: datetime, within: timedelta) -> "Replies":
        """Time passed: a trial may be over."""
        if self.began is None or now < self.began + within:
            return self
        return replace(self, began=None, missed=self.missed + 1)

    def interrupted(self) -> "Replies":
        """The connection was given up: the trial under way comes to nothing."""
        return replace(self, began=None)

    def forgotten(self) -> "Replies":
        """The connection is another: nothing is known of the trial that was under way."""
        return replace(self, began=None, missed=0)

    @property
    def nats(self) -> float:
        """What the missing receipts speak against hearing."""
        if not self.missed:
            return 0.0
        first = self.next.nats if self.failed_last else self.first.nats
        return first + (self.missed - 1) * self.next.nats


def _learned(known: Replies, *, answered: bool) -> Replies:
    if known.failed_last:
        return replace(known, next=known.next.after(answered=answered), failed_last=not answered)
    return replace(known, first=known.first.after(answered=answered), failed_last=not answered)
