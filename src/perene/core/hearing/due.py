"""When something is owed by the machine that notices deaf connections.

All of it follows from the state alone, so that it may be asked as often as one likes.
"""

import math
from datetime import datetime, timedelta
from typing import assert_never

from perene.core.hearing.doubt import asking, limit
from perene.core.hearing.state import Hearing, Phase

_DAY = timedelta(days=1)
_MOST_ANSWERS = 40
"""An exponent is bounded: a float would overflow long after any pause."""
_LATER = 4
"""By how much later each further question follows, when those in a row were not enough."""


def next_deadline(state: Hearing) -> datetime | None:
    """Return when `Ticked` is owed, None while only an event can change anything."""
    match state.phase:
        case Phase.PROVING:
            return state.prove_by
        case Phase.LISTENING:
            suspected = _suspected_due(state)
            if suspected is not None and state.quiet_until is not None:
                suspected = max(suspected, state.quiet_until)
            began = state.replies.began
            return first(suspected, None if began is None else began + state.policy.receipts)
        case Phase.WAITING:
            return waiting_due(state)
        case Phase.CLOSED | Phase.PROBING | Phase.REOPENING:
            return None
        case _:
            assert_never(state.phase)


def _suspected_due(state: Hearing) -> datetime | None:
    return first(silence_due(state), untaken_due(state)) if state.policy.watches else None


def waiting_due(state: Hearing) -> datetime | None:
    """Return when a question that has no answer yet leads to something."""
    again = ask_again_due(state)
    return first(reopen_due(state), routine_due(state)) if again is None else again


def silence_due(state: Hearing) -> datetime | None:
    """Return when a silence is tried, doubted or not."""
    return first(doubted_due(state), routine_due(state))


def doubted_due(state: Hearing) -> datetime | None:
    """Return when a silence is tried because it is doubted."""
    due = first(ask_due(state), reopen_due(state))
    return due if due is None or state.try_after is None else max(due, state.try_after)


def reopen_due(state: Hearing) -> datetime | None:
    """Return when the doubt reaches its limit; a phone that was asked has had its time by then."""
    most = limit(state) - state.replies.nats
    silent_phone = state.answer_due
    if silent_phone is None:
        return _doubt_due(state, most)
    due = _doubt_due(state, most - state.questions.nats(silent_phone, silent_phone))
    return None if due is None else max(due, silent_phone)


def ask_due(state: Hearing) -> datetime | None:
    """Return when the phone is to be asked in a new silence, None if no doubt is in sight."""
    if not state.policy.questions:
        return None
    due = _doubt_due(state, asking(state) - state.replies.nats)
    last = state.questions.last
    if due is None or last is None:
        return due
    due = max(due, last + state.policy.phone_pause)
    # A question too many costs less than a login.
    at_last = _doubt_due(state, limit(state) - state.replies.nats)
    return min(due, at_last) if at_last and state.asks_phone else due


def ask_again_due(state: Hearing) -> datetime | None:
    """Return when the phone is to be asked once more in the same silence, None if it is not."""
    unanswered, tried = state.answer_due, state.questions.tried
    if state.suspicion is None or unanswered is None or not state.asks_phone:
        return None
    if not state.questions.could_be_put:
        return None  # once more, it would not be either
    if tried < state.policy.questions:
        return unanswered
    if tried >= state.policy.most_questions:
        return None
    # Later each time: a phone that is out of reach for a moment answers none of many.
    later = tried - state.policy.quick_questions
    again = unanswered
    if later >= 0:
        again += state.policy.phone_answers * _LATER**later
    given_up = reopen_due(state)
    return None if given_up is not None and given_up <= again else again


def routine_due(state: Hearing) -> datetime | None:
    """Return when the phone is asked however little is doubted, None if it seldom answers.

    No habit is so well known, and no silence so well explained, that a connection should be
    trusted for longer.
    """
    if state.heard_at is None or not state.asks_phone:
        return None
    tried_at = state.questions.tried_at
    if tried_at is None or tried_at < state.heard_at:
        long = state.heard_at + state.policy.phone_silence
        return first(long, _missing_due(state, state.heard_at, before=long))
    # Ever later: each question to a phone that is off waits for it at the server.
    in_vain = max(0, state.questions.tried - state.policy.most_questions)
    # Whoever wants it asked less than daily has it so whether it answers or not.
    least = state.policy.phone_silence
    return tried_at + min(least * 2 ** min(in_vain, 16), max(least, _DAY))


def _missing_due(state: Hearing, heard_at: datetime, *, before: datetime) -> datetime | None:
    """Return when so much of what usually comes is missing that the phone is asked.

    Ever more has to be missing while it answers and less comes than usual: a holiday.
    """
    policy, last = state.policy, state.questions.last
    missing = policy.missing * policy.missing_factor ** min(state.answers, _MOST_ANSWERS)
    due = state.habit.usually_due(heard_at, missing, before=before)
    if due is None:
        return None
    due = max(due, heard_at + policy.least_silence)
    return due if last is None else max(due, last + policy.phone_pause)


def untaken_due(state: Hearing) -> datetime | None:
    """Return when messages of ours that the server did not take are suspicious."""
    if state.taken_at is None or state.untaken < state.policy.sends:
        return None
    return state.taken_at + state.policy.unanswered


def _doubt_due(state: Hearing, nats: float) -> datetime | None:
    heard_at, known = state.heard_at, state.habit.known()
    if heard_at is None:
        return None
    earliest = heard_at + state.policy.least_silence
    if nats <= 0:
        return earliest
    if known <= 0 or nats / known > 20:
        return None
    clumps = known * math.expm1(nats / known)
    # What comes after the phone is asked in any case need not be looked for.
    before = routine_due(state)
    due = state.habit.due(heard_at, clumps, boldly=state.asks_phone, before=before)
    return None if due is None else max(due, earliest)


def first(*times: datetime | None) -> datetime | None:
    """Return the earliest of these, None for never."""
    return min((time for time in times if time is not None), default=None)
