"""The numbers of the watch for deaf connections that a user may change, as people name them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from perene.core.hearing.policy import HearingPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number: `part` is its field in the policy; times are in seconds, bounds included."""

    name: str
    part: str
    least: float
    most: float
    meaning: str

    def of(self, policy: HearingPolicy) -> float:
        """Return what a policy has for it."""
        value: float | timedelta = getattr(policy, self.part)
        return value.total_seconds() if isinstance(value, timedelta) else value

    def parse(self, text: str) -> float | timedelta:
        """Return a text as the field has it; raises ValueError."""
        shipped: float | timedelta = getattr(_SHIPPED, self.part)
        try:
            value = int(text) if isinstance(shipped, int) else float(text)
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most:
            kind = "a whole number" if isinstance(shipped, int) else "a number"
            raise ValueError(f"give {kind} from {self.least:.0f} to {self.most:.0f}")
        return timedelta(seconds=value) if isinstance(shipped, timedelta) else value


_SHIPPED = HearingPolicy()

NUMBERS: Sequence[Number] = (
    Number(
        name="restarts_a_month",
        part="budget",
        least=0,
        most=100,
        meaning="connections of a session that chance may have reopened in a month though they"
        " heard; with 0 no connection is reopened because it is silent",
    ),
    Number(
        name="least_silence",
        part="least_silence",
        least=10,
        most=86_400,
        meaning="seconds of silence before anything is doubted",
    ),
    Number(
        name="questions",
        part="questions",
        least=0,
        most=5,
        meaning="questions to the session's own phone before its connection is reopened for its"
        " silence; with 0 the phone is never asked",
    ),
    Number(
        name="questions_a_month",
        part="questions_a_month",
        least=1,
        most=10_000,
        meaning="questions to the phone that chance may bring a session in a month",
    ),
    Number(
        name="messages_a_question",
        part="messages_a_question",
        least=10,
        most=1_000_000,
        meaning="messages after which chance may bring one more question",
    ),
    Number(
        name="phone_silence",
        part="phone_silence",
        least=600,
        most=30 * 86_400,
        meaning="seconds without a sign of life after which the phone is asked in any case",
    ),
    Number(
        name="missing",
        part="missing",
        least=3,
        most=1_000_000,
        meaning="messages (bursts of them) that usually come, after which the phone is asked in any"
        " case if they did not",
    ),
    Number(
        name="phone_answers",
        part="phone_answers",
        least=5,
        most=600,
        meaning="seconds that the phone has for its answer",
    ),
    Number(
        name="phone_pause",
        part="phone_pause",
        least=60,
        most=86_400,
        meaning="seconds between two suspicions about which the phone is asked, at least",
    ),
    Number(
        name="unanswered",
        part="unanswered",
        least=30,
        most=86_400,
        meaning="seconds in which the server has to take a message",
    ),
)
"""All of them, in the order in which they are shown."""


def hearing_with(overrides: Mapping[str, str]) -> HearingPolicy:
    """Return the policy with some numbers changed: {"questions": "0", "phone_silence": "3600"}.

    Raises ValueError with a sentence that says what can be given.
    """
    known = {number.name: number for number in NUMBERS}
    changed: dict[str, float | timedelta] = {}
    for name, text in overrides.items():
        if name not in known:
            raise ValueError(f"give one of {', '.join(known)}")
        changed[known[name].part] = known[name].parse(text)
    policy = replace(_SHIPPED, **changed)
    return replace(policy, most_questions=max(policy.most_questions, policy.questions))
