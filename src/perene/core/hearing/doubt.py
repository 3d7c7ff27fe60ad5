"""How much speaks against a session's hearing, and how much of it is needed to act."""

import math
from datetime import datetime

from perene.core.hearing.state import Hearing

_MONTH_H = 720.0
_HOUR_S = 3600.0


def doubt(state: Hearing, now: datetime) -> float:
    """Return what speaks against hearing, in nats.

    How unlikely it is that nothing comes for so long (exponential in the clumps that were to be
    expected, less when their rate rests on few: a Gamma-Poisson), that no receipt comes for what we
    send, and that the phone does not answer.
    """
    if state.heard_at is None:
        return 0.0
    known = state.habit.known()
    expected = state.habit.expected(state.heard_at, now, boldly=state.asks_phone)
    silence = known * math.log1p(expected / known) if known > 0 else 0.0
    return silence + state.replies.nats + state.questions.nats(now, state.answer_due)


def limit(state: Hearing) -> float:
    """Return the doubt at which a connection is given up: what chance brings `budget` a month."""
    by_chance = _trials_a_month(state) / state.policy.budget
    return max(state.policy.least_doubt, math.log(max(by_chance, 1.0)))


def asking(state: Hearing) -> float:
    """Return the doubt at which the phone is asked."""
    policy = state.policy
    questions = max(policy.questions_a_month, _trials_a_month(state) / policy.messages_a_question)
    if not state.questions.phone.usually_answers:
        questions = policy.questions_unanswered
    return limit(state) - math.log(questions / policy.budget)


def _trials_a_month(state: Hearing) -> float:
    """Return how often doubt may begin in a month whose traffic is that of the time."""
    if state.heard_at is None:
        return 0.0
    an_hour = state.habit.rate_at(state.heard_at)
    if state.replies.missed:
        an_hour += _HOUR_S / state.policy.receipts.total_seconds()
    if state.asks_phone:
        an_hour += _HOUR_S / state.policy.phone_silence.total_seconds()
    return an_hour * _MONTH_H
