"""Whether an open connection still hears: the machine that notices a deaf one (requirement F3).

A connection that answers pings and delivers nothing looks like a quiet evening. What tells the two
apart is what this session is used to (`habit`), receipts that are missing (`chances`), and messages
of ours that the server does not take. A suspicion is tried by a ping, so that a dead socket is not
mistaken for a deaf one, and by a question to our own phone, whose answer comes out of the queue of
the session. Without an answer a new login follows. See docs/decisions/0006-deaf-connections.md.

    LISTENING --doubt--> PROBING --ping answered--> WAITING --more doubt, no answer--> REOPENING
    WAITING --the phone is asked once more--> PROBING
    REOPENING --opened--> PROVING --a stanza queued before it was given up--> LISTENING (confirmed)
                                  --none in time--> LISTENING (false alarm)

From PROBING and WAITING, whatever is heard leads back to LISTENING, and so does a ping without an
answer: that connection is dead, which the keepalive sees to. A connection that ends meanwhile is
forgotten.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from perene.core.hearing.doubt import doubt
from perene.core.hearing.due import (
    ask_again_due,
    ask_due,
    doubted_due,
    first,
    reopen_due,
    routine_due,
    silence_due,
    untaken_due,
    waiting_due,
)
from perene.core.hearing.events import (
    COUNTED,
    Answered,
    Closed,
    Heard,
    HearingEffect,
    HearingEvent,
    Opened,
    Probe,
    ProbeAnswered,
    ProbeFailed,
    Reason,
    Reopen,
    Sent,
    StanzaKind,
    Ticked,
)
from perene.core.hearing.state import Hearing, Phase, Silence, Suspicion, set_back
from perene.core.hearing.verdict import confirmed, explained_for, false_alarm

_SECOND = timedelta(seconds=1)
_AWAY = timedelta(minutes=3)
"""A login that takes longer than this was an outage: what lies before it is another silence. Less
of a half hour is nothing that `habit` would take for being away."""

Stepped = tuple[Hearing, tuple[HearingEffect, ...]]


def step(state: Hearing, event: HearingEvent, now: datetime) -> Stepped:
    """Return what follows from an event.

    Within a connection, and from one that is given up to the next, `now` must not run backwards,
    whatever the wall does. Else the clock may have been set meanwhile.
    """
    if isinstance(event, Opened) and state.phase is not Phase.REOPENING:
        return _opened(set_back(state, now), now), ()
    if state.heard_at is not None:
        now = max(now, state.heard_at)
    match event:
        case Opened():
            return _opened(state, now), ()
        case Heard():
            return _queued(state, event, now) if event.queued else (_heard(state, event, now), ())
        case Sent():
            taken_at, replies = state.taken_at or now, state.replies.sent(now)
            state = replace(state, taken_at=taken_at, untaken=state.untaken + 1, replies=replies)
            return _due(state, now)
        case Answered():
            return _answered(state)
        case ProbeAnswered():
            return _probe_answered(state, event, now)
        case ProbeFailed():
            return _probe_failed(state, now), ()
        case Ticked():
            return _due(state, now)
        case Closed():
            return _closed(state, now), ()
        case _:
            assert_never(event)


def _opened(state: Hearing, now: datetime) -> Hearing:
    proving, silence = state.phase is Phase.REOPENING, Silence.begun(now)
    given_up = None if state.suspicion is None else state.suspicion.at
    if proving and state.silence is not None and given_up is not None and now - given_up <= _AWAY:
        silence = state.silence.broken(now, by_message=False)
    return replace(
        state,
        phase=Phase.PROVING if proving else Phase.LISTENING,
        prove_by=now + state.policy.proof if proving else None,
        silence=silence,
        taken_at=None,
        untaken=0,
        # Whether what was missed before was not delivered, the proof will say.
        replies=state.replies.interrupted() if proving else state.replies.forgotten(),
    )


def _heard(state: Hearing, event: Heard, now: datetime) -> Hearing:
    if event.kind is StanzaKind.PHONE:
        state = _phone_answered(state, now)
    silence = state.silence
    if silence is None or state.phase in (Phase.CLOSED, Phase.REOPENING):
        return state
    counted = event.count if event.kind in COUNTED else 0
    replies = state.replies.passed(now, state.policy.receipts)
    replies = replies.receipt() if event.kind is StanzaKind.RECEIPT else replies.heard()
    habit = state.habit
    if counted and not _is_in_doubt(state, silence):
        habit = habit.endured(silence.message_at, now, known_to=silence.judged_to)
    alive = counted > 0 or event.kind is StanzaKind.RECEIPT
    suspected = state.phase in (Phase.PROBING, Phase.WAITING)
    return replace(
        state,
        habit=habit.lived(silence.heard_at, now, counted),
        replies=replies,
        phase=Phase.LISTENING if suspected else state.phase,
        silence=silence.broken(now, by_message=counted > 0),
        quiet_until=None if habit.is_usual else state.quiet_until,
        explained=0 if alive else state.explained,
        answers=0 if alive and habit.is_nearly_usual else state.answers,
        try_after=None if alive else state.try_after,
        suspicion=None if suspected else state.suspicion,
    )


def _is_in_doubt(state: Hearing, silence: Silence) -> bool:
    """Tell whether the proof has yet to say that a silence was the session's own."""
    if state.phase is not Phase.PROVING or state.suspicion is None:
        return False
    return silence.message_at <= state.suspicion.at


def _phone_answered(state: Hearing, now: datetime) -> Hearing:
    """Count an answer; one that ends a suspicion makes the silence the session's own."""
    if state.questions.asked is None or state.phase in (Phase.CLOSED, Phase.REOPENING):
        return state
    silence = state.silence
    state = replace(state, questions=state.questions.answered(), answers=state.answers + 1)
    if silence is None or state.phase not in (Phase.PROBING, Phase.WAITING):
        return state
    habit = state.habit.endured(silence.message_at, now, known_to=silence.judged_to)
    state = replace(state, habit=habit, silence=replace(silence, judged_to=now))
    if state.suspicion is None or state.suspicion.routine:
        return state  # nothing was doubted that it could explain
    return replace(
        state,
        explained=state.explained + 1,
        try_after=now + explained_for(state),
    )


def _queued(state: Hearing, event: Heard, now: datetime) -> Stepped:
    if state.silence is None or state.phase in (Phase.CLOSED, Phase.REOPENING):
        return state, ()
    # What was kept tells of the time away, not of how much comes to an open connection.
    state = replace(state, silence=state.silence.broken(now, by_message=False))
    if state.phase in (Phase.PROBING, Phase.WAITING):
        return replace(state, phase=Phase.LISTENING, suspicion=None), ()
    suspicion, at = state.suspicion, event.queued_at
    if suspicion is None or at is None or state.phase is not Phase.PROVING:
        return state, ()
    # The server's times are whole seconds, so one in the second of the last stanza is not later.
    if suspicion.silence.heard_at + _SECOND <= at <= suspicion.at - state.policy.grace:
        return confirmed(state, suspicion, at, now)
    return state, ()


def _answered(state: Hearing) -> Stepped:
    suspicion = state.suspicion
    state = replace(state, taken_at=None, untaken=0)
    if suspicion is not None and suspicion.reason is Reason.UNANSWERED:
        if state.phase is Phase.PROVING and state.heard_at is not None:
            first = suspicion.at - state.policy.unanswered
            return confirmed(state, suspicion, first, state.heard_at)
        if state.phase is Phase.PROBING:
            return replace(state, phase=Phase.LISTENING, suspicion=None), ()
    return state, ()


def _due(state: Hearing, now: datetime) -> Stepped:
    state = replace(state, replies=state.replies.passed(now, state.policy.receipts))
    match state.phase:
        case Phase.PROVING if state.prove_by is not None and now >= state.prove_by:
            return false_alarm(state, now)
        case Phase.WAITING:
            return _waited(state, now)
        case Phase.LISTENING if state.quiet_until is None or now >= state.quiet_until:
            return _suspect(state, now) if state.policy.watches else (state, ())
        case _:
            return state, ()


def _waited(state: Hearing, now: datetime) -> Stepped:
    due = waiting_due(state)
    if due is None or now < due:
        return state, ()
    given_up = reopen_due(state)
    if ask_again_due(state) is None and given_up is not None and now >= given_up:
        return _reopen(state, now)
    routine = state.suspicion is not None and state.suspicion.routine
    return _probe(state, Reason.SILENCE, now, ask_phone=True, routine=routine)


def _suspect(state: Hearing, now: datetime) -> Stepped:
    untaken, silence = untaken_due(state), silence_due(state)
    if untaken is not None and now >= untaken:
        return _probe(state, Reason.UNANSWERED, now, ask_phone=False)
    if silence is None or now < silence:
        return state, ()
    asked, doubted = first(ask_due(state), routine_due(state)), doubted_due(state)
    return _probe(
        state,
        Reason.SILENCE,
        now,
        ask_phone=asked is not None and now >= asked,
        routine=doubted is None or now < doubted,
    )


def _probe(
    state: Hearing, reason: Reason, now: datetime, *, ask_phone: bool, routine: bool = False
) -> Stepped:
    silence = state.silence
    if silence is None:
        return state, ()
    expected = state.habit.expected(silence.heard_at, now)
    suspicion = Suspicion(
        reason=reason, silence=silence, at=now, expected=expected, routine=routine
    )
    questions = state.questions.trying(now, anew=state.suspicion is None, ask=ask_phone)
    state = replace(state, phase=Phase.PROBING, suspicion=suspicion, questions=questions)
    return state, (Probe(ask_phone=ask_phone),)


def _probe_answered(state: Hearing, event: ProbeAnswered, now: datetime) -> Stepped:
    suspicion = state.suspicion
    if state.phase is not Phase.PROBING or suspicion is None:
        return state, ()
    if event.phone_asked:
        state = replace(state, questions=state.questions.put(now, heard_at=state.heard_at))
    state = replace(state, phase=Phase.WAITING)
    if suspicion.reason is Reason.UNANSWERED:
        return _reopen(state, now)
    return _due(state, now)


def _probe_failed(state: Hearing, now: datetime) -> Hearing:
    if state.phase is not Phase.PROBING:
        return state
    return replace(
        state,
        phase=Phase.LISTENING,
        suspicion=None,
        taken_at=None,
        untaken=0,
        quiet_until=now + state.policy.unanswered,
    )


def _reopen(state: Hearing, now: datetime) -> Stepped:
    suspicion = state.suspicion
    assert suspicion is not None  # only a suspicion is acted on
    expected = state.habit.expected(suspicion.silence.heard_at, now)
    suspicion = replace(suspicion, at=now, expected=expected)
    reopen = Reopen(
        reason=suspicion.reason,
        silence=suspicion.lasted,
        expected=expected,
        doubt=doubt(state, now),
    )
    return replace(state, phase=Phase.REOPENING, suspicion=suspicion), (reopen,)


def _closed(state: Hearing, now: datetime) -> Hearing:
    match state.phase:
        case Phase.REOPENING:
            # Asked for, or it would have come anyway: the login that follows proves or does not.
            return state
        case Phase.PROVING:
            # The proof may come with the next login; its time begins anew.
            return replace(state, phase=Phase.REOPENING, prove_by=None)
        case Phase.LISTENING if state.heard_at is not None:
            habit = state.habit.lived(state.heard_at, now, 0.0)
            return replace(state, habit=habit, phase=Phase.CLOSED)
        case _:
            return replace(state, phase=Phase.CLOSED, suspicion=None)
