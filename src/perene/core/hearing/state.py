"""What is known of one session's hearing, and how much speaks against it."""

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from perene.core.hearing.chances import Replies
from perene.core.hearing.events import Reason
from perene.core.hearing.habit import Habit
from perene.core.hearing.policy import HearingPolicy
from perene.core.hearing.questions import Questions

_MONTH_H = 720.0
_HOUR_S = 3600.0
_DAY = timedelta(days=1)
_LATER = 4
"""By how much later each further question follows, when two were not enough."""


class Phase(StrEnum):
    """Where the machine is; see `machine`."""

    CLOSED = "closed"
    LISTENING = "listening"
    PROBING = "probing"
    WAITING = "waiting"
    REOPENING = "reopening"
    PROVING = "proving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Since when nothing comes, and up to when that has been learned from.

    `heard_at` is when anything was last heard; up to then the habit knows of the time. `message_at`
    is when the last message was: what is learned from is the silence between messages, and of the
    present one what lies before `judged_to` has been.
    """

    heard_at: datetime
    message_at: datetime
    judged_to: datetime

    @classmethod
    def begun(cls, now: datetime) -> "Silence":
        """Return the silence that begins with a new connection."""
        return cls(heard_at=now, message_at=now, judged_to=now)

    def broken(self, now: datetime, *, by_message: bool) -> "Silence":
        """Return what follows when something is heard."""
        return Silence.begun(now) if by_message else replace(self, heard_at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What is suspected, of which silence, and when the connection was given up.

    If it proves wrong, the silence is learned from as it was at the time. `routine`: nothing was
    doubted, the phone was to be asked because it was time.
    """

    reason: Reason
    silence: Silence
    at: datetime
    expected: float
    routine: bool = False

    @property
    def lasted(self) -> timedelta:
        """How long nothing had come."""
        return self.at - self.silence.heard_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """What is known of one session's hearing; outlives its connections. Memory is fixed.

    `silence` is the present one, None before the first connection. `taken_at` is the first message
    of ours since the server last took one, `untaken` their number, resends included. `explained`
    times the present silence was explained by the phone; it is not tried again before `try_after`.
    """

    policy: HearingPolicy = field(default_factory=HearingPolicy)
    habit: Habit = field(default_factory=Habit)
    replies: Replies = field(default_factory=Replies)
    questions: Questions = field(default_factory=Questions)
    phase: Phase = Phase.CLOSED
    silence: Silence | None = None
    taken_at: datetime | None = None
    untaken: int = 0
    explained: int = 0
    try_after: datetime | None = None
    suspicion: Suspicion | None = None
    prove_by: datetime | None = None
    alarms: int = 0
    alarmed_at: datetime | None = None
    quiet_until: datetime | None = None

    @property
    def heard_at(self) -> datetime | None:
        """When anything was last heard, None before the first connection."""
        return None if self.silence is None else self.silence.heard_at

    @property
    def asks_phone(self) -> bool:
        """Whether a question to the phone is allowed, and worth waiting for."""
        return self.policy.questions > 0 and self.questions.phone.usually_answers


def set_back(state: Hearing, now: datetime) -> Hearing:
    """Return the state without what lies in the future: times of a clock that was ahead.

    Nothing would be suspected until they come.
    """
    longest = now + state.policy.longest_pause
    return replace(
        state,
        questions=state.questions.set_back(now),
        alarmed_at=_not_after(now, state.alarmed_at),
        try_after=_not_after(longest, state.try_after),
        quiet_until=_not_after(longest, state.quiet_until),
    )


def _not_after(latest: datetime, moment: datetime | None) -> datetime | None:
    return None if moment is None else min(moment, latest)


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
    return silence + state.replies.nats + state.questions.nats(now, phone_due(state))


def limit(state: Hearing) -> float:
    """Return the doubt at which a connection is given up: what chance brings `budget` a month."""
    by_chance = _trials_a_month(state) / state.policy.budget
    return max(state.policy.least_doubt, math.log(max(by_chance, 1.0)))


def _asking(state: Hearing) -> float:
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


def reopen_due(state: Hearing) -> datetime | None:
    """Return when the doubt reaches its limit; a phone that was asked has had its time by then."""
    most = limit(state) - state.replies.nats
    silent_phone = phone_due(state)
    if silent_phone is None:
        return _doubt_due(state, most)
    due = _doubt_due(state, most - state.questions.nats(silent_phone, silent_phone))
    return None if due is None else max(due, silent_phone)


def ask_due(state: Hearing) -> datetime | None:
    """Return when the phone is to be asked in a new silence, None if no doubt is in sight."""
    if not state.policy.questions:
        return None
    due = _doubt_due(state, _asking(state) - state.replies.nats)
    last = state.questions.last
    if due is None or last is None:
        return due
    due = max(due, last + state.policy.phone_pause)
    # A question too many costs less than a login.
    at_last = _doubt_due(state, limit(state) - state.replies.nats)
    return min(due, at_last) if at_last and state.asks_phone else due


def ask_again_due(state: Hearing) -> datetime | None:
    """Return when the phone is to be asked once more in the same silence, None if it is not."""
    unanswered, tried = phone_due(state), state.questions.tried
    if state.suspicion is None or unanswered is None or not state.asks_phone:
        return None
    if not state.questions.could_be_put:
        return None  # once more, it would not be either
    if tried < state.policy.questions:
        return unanswered
    if tried >= state.policy.most_questions:
        return None
    # Later each time: a phone that is out of reach for a moment answers none of many.
    again = unanswered + state.policy.phone_answers * _LATER ** (tried - 1)
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
        return state.heard_at + state.policy.phone_silence
    # Ever later: each question to a phone that is off waits for it at the server.
    in_vain = max(0, state.questions.tried - state.policy.most_questions)
    return tried_at + min(state.policy.phone_silence * 2 ** min(in_vain, 16), _DAY)


def untaken_due(state: Hearing) -> datetime | None:
    """Return when messages of ours that the server did not take are suspicious."""
    if state.taken_at is None or state.untaken < state.policy.sends:
        return None
    return state.taken_at + state.policy.unanswered


def phone_due(state: Hearing) -> datetime | None:
    """Return when the phone has not answered for too long, None if it was not asked meanwhile."""
    return state.questions.due(state.heard_at, state.policy.phone_answers)


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
