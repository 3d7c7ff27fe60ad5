"""What came of a suspicion: the queue proved it, or it was a false alarm."""

from dataclasses import replace
from datetime import datetime, timedelta

from perene.core.hearing.events import Confirmed, FalseAlarm
from perene.core.hearing.state import Hearing, Phase, Silence, Suspicion

_MOST_ALARMS = 16
"""Exponents are bounded: a float would overflow long after the longest pause."""


def confirmed(
    state: Hearing, suspicion: Suspicion, first_missed: datetime, now: datetime
) -> tuple[Hearing, tuple[Confirmed]]:
    """Return the state after a proof; `first_missed` is when the first was queued."""
    # The silence is not learned, and the phone not blamed: we could not hear.
    after = replace(
        state,
        phase=Phase.LISTENING,
        silence=Silence.begun(now),
        replies=state.replies.forgotten(),
        questions=state.questions.forgotten(),
        explained=0,
        answers=0,
        try_after=None,
        suspicion=None,
        prove_by=None,
        alarms=0,
        alarmed_at=None,
        quiet_until=None,
    )
    return after, (
        Confirmed(
            delay=suspicion.at - first_missed,
            silence=suspicion.lasted,
            expected=suspicion.expected,
        ),
    )


def false_alarm(state: Hearing, now: datetime) -> tuple[Hearing, tuple[FalseAlarm]]:
    """Return the state after no proof came in time."""
    suspicion, policy = state.suspicion, state.policy
    assert suspicion is not None  # only a suspicion is proved or not
    assert state.silence is not None  # and only of an open connection
    silence = suspicion.silence
    alarms = state.alarms
    if state.alarmed_at is not None:
        alarms = max(0, alarms - (now - state.alarmed_at) // policy.forgiven)
    pause = _pause(state, alarms)
    after = replace(
        state,
        # The silence was the session's own, so it is learned from, like one that ended by itself.
        habit=state.habit.lived(silence.heard_at, suspicion.at, 0.0).endured(
            silence.message_at, suspicion.at, known_to=silence.judged_to
        ),
        silence=replace(state.silence, judged_to=suspicion.at),
        replies=state.replies.heard(),
        questions=state.questions.unanswered(),
        phase=Phase.LISTENING,
        suspicion=None,
        prove_by=None,
        alarms=alarms + 1,
        alarmed_at=now,
        quiet_until=now + pause,
    )
    told = FalseAlarm(paused_for=pause, silence=suspicion.lasted, expected=suspicion.expected)
    return after, (told,)


def _pause(state: Hearing, times: int) -> timedelta:
    """Return how long no silence is tried after so many in vain."""
    return _longer(state.policy.pause, state, times)


def explained_for(state: Hearing) -> timedelta:
    """Return how long the answer of the phone explains a silence, the longer the older it is."""
    return _longer(state.policy.phone_pause, state, state.explained)


def _longer(first: timedelta, state: Hearing, times: int) -> timedelta:
    policy = state.policy
    # As a number: a day, made longer sixteen times, is more than any timedelta holds.
    longer_s = first.total_seconds() * policy.pause_factor ** min(times, _MOST_ALARMS)
    return timedelta(seconds=min(longer_s, policy.longest_pause.total_seconds()))
