"""What is known of one session's hearing."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from perene.core.hearing.chances import Replies
from perene.core.hearing.events import Reason
from perene.core.hearing.habit import Habit
from perene.core.hearing.policy import HearingPolicy
from perene.core.hearing.questions import Questions


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
    `answers` times the phone has answered since about as much came as usual.
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
    answers: int = 0
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

    @property
    def answer_due(self) -> datetime | None:
        """When the phone has not answered for too long, None if it was not asked meanwhile."""
        return self.questions.due(self.heard_at, self.policy.phone_answers)


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
