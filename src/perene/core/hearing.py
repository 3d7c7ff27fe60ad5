"""Whether an open connection still hears: the machine that notices a deaf one (requirement F3).

A connection that answers pings and delivers nothing looks like a quiet evening. What tells the two
apart is what this session is used to (`core.habit`), and messages of ours that nobody answers. A
suspicion is checked by a ping, so that a dead socket is not mistaken for a deaf one, and then by
the one request that the server answers out of the queue of the session: a new login. See
docs/decisions/0006-deaf-connections.md.

    LISTENING --silence or unanswered sends--> PROBING --ping answered--> REOPENING --opened-->
    PROVING --a stanza queued before the suspicion--> LISTENING (confirmed)
            --none in time--> LISTENING (false alarm; the next suspicion waits longer)

From PROBING, whatever is heard leads back to LISTENING, and so does a ping without an answer: that
connection is dead, which the keepalive sees to. A connection that ends while PROBING is forgotten.
"""

import math
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from perene.core.habit import Habit

_SECOND = timedelta(seconds=1)
_MONTH_H = 720.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HearingPolicy:
    """When a silence is suspected. The numbers are tuned by `bench/deaf.py`.

    A silence is suspected when by chance alone one like it would come once in `rarity` months (of
    720 h): after ln(n x rarity) clumps of messages that should have come, n clumps being what comes
    in a month, but `least_clumps` at least and `most_clumps` at most. And only after `margin` times
    as many messages as were ever missing in a silence that began at such an hour; never before
    `least_silence`, nor before `acquainted` messages were heard. Messages of ours are suspected
    once `sends` have left since the last answer, the first of them `unanswered` ago. A false alarm
    puts off the next suspicion by `pause`, each further one by `pause_factor` times as long, at
    most `longest_pause`; `forgiven` after one, one fewer is counted. A queued stanza proves
    deafness if it was queued `grace` before the suspicion; it has to come within `proof` of the
    login.
    """

    rarity: float = 5.0
    least_clumps: float = 9.0
    most_clumps: float = 12.0
    margin: float = 1.25
    least_silence: timedelta = timedelta(seconds=45)
    acquainted: int = 30
    sends: int = 2
    unanswered: timedelta = timedelta(minutes=2)
    pause: timedelta = timedelta(minutes=30)
    pause_factor: float = 4.0
    longest_pause: timedelta = timedelta(days=2)
    forgiven: timedelta = timedelta(days=2)
    grace: timedelta = timedelta(seconds=5)
    proof: timedelta = timedelta(seconds=60)


class Phase(StrEnum):
    """Where the machine is; see the module."""

    CLOSED = "closed"
    LISTENING = "listening"
    PROBING = "probing"
    REOPENING = "reopening"
    PROVING = "proving"


class StanzaKind(StrEnum):
    """What the server delivered by itself. Anything proves hearing; not all is expected."""

    MESSAGE = "message"
    NOTIFICATION = "notification"
    CALL = "call"
    RECEIPT = "receipt"
    """Follows from what we send, so its rate says nothing about the next hour."""
    OTHER = "other"


_COUNTED = frozenset((StanzaKind.MESSAGE, StanzaKind.NOTIFICATION, StanzaKind.CALL))


class Reason(StrEnum):
    """Why a connection is suspected."""

    SILENCE = "silence"
    UNANSWERED = "unanswered"


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Logged in; stanzas flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Stanzas of a kind came, or one that was kept while the session was away (`queued`).

    `queued_at` is the server's time of the latter, None if it bears none.
    """

    kind: StanzaKind
    count: int = 1
    queued: bool = False
    queued_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message of ours went out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The server answered for a message of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswered:
    """The probe's ping was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFailed:
    """The probe's ping was not answered: the connection is dead, not deaf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time has passed; owed at `next_deadline`, harmless at any other time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The connection ended, for whatever reason."""


HearingEvent = Opened | Heard | Sent | Answered | ProbeAnswered | ProbeFailed | Ticked | Closed


# --- effects ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Ping, and step ProbeAnswered or ProbeFailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopen:
    """Give the connection up and log in again. `expected` messages were due in the `silence`."""

    reason: Reason
    silence: timedelta
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The connection was deaf; its suspicion came `delay` after the first proof was queued."""

    delay: timedelta
    silence: timedelta
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarm:
    """Nothing had been kept from the session; the next suspicion is `paused_for` away."""

    paused_for: timedelta
    silence: timedelta
    expected: float


HearingEffect = Probe | Reopen | Confirmed | FalseAlarm


# --- state --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What is suspected, and since when: the last stanza before it, and the suspicion itself."""

    reason: Reason
    heard_at: datetime
    at: datetime
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """What is known of one session's hearing; outlives its connections. Memory is fixed.

    `since` is when the present silence began. `asked_at` is the first message of ours since the
    server last answered one, `unanswered` their number, resends included.
    """

    policy: HearingPolicy = field(default_factory=HearingPolicy)
    habit: Habit = field(default_factory=Habit)
    phase: Phase = Phase.CLOSED
    since: datetime | None = None
    heard: int = 0
    asked_at: datetime | None = None
    unanswered: int = 0
    suspicion: Suspicion | None = None
    prove_by: datetime | None = None
    alarms: int = 0
    alarmed_at: datetime | None = None
    quiet_until: datetime | None = None


Stepped = tuple[Hearing, tuple[HearingEffect, ...]]


def step(state: Hearing, event: HearingEvent, now: datetime) -> Stepped:
    """Return what follows from an event. `now` must not run backwards, whatever the wall does."""
    if state.since is not None:
        now = max(now, state.since)
    match event:
        case Opened():
            return _opened(state, now), ()
        case Heard():
            return _heard(state, event, now)
        case Sent():
            asked_at = state.asked_at or now
            return _due(replace(state, asked_at=asked_at, unanswered=state.unanswered + 1), now)
        case Answered():
            return _answered(state, now)
        case ProbeAnswered():
            return _probe_answered(state, now)
        case ProbeFailed() if state.phase is Phase.PROBING:
            return replace(
                state,
                phase=Phase.LISTENING,
                suspicion=None,
                asked_at=None,
                unanswered=0,
                quiet_until=now + state.policy.unanswered,
            ), ()
        case ProbeFailed():
            return state, ()
        case Ticked():
            return _due(state, now)
        case Closed():
            return _closed(state, now), ()
        case _:
            assert_never(event)


def next_deadline(state: Hearing) -> datetime | None:
    """Return when `Ticked` is owed, None while only an event can change anything."""
    match state.phase:
        case Phase.PROVING:
            return state.prove_by
        case Phase.LISTENING:
            times = [t for t in (_silence_due(state), _sends_due(state)) if t is not None]
            if not times:
                return None
            return min(times) if state.quiet_until is None else max(min(times), state.quiet_until)
        case Phase.CLOSED | Phase.PROBING | Phase.REOPENING:
            return None
        case _:
            assert_never(state.phase)


def _silence_due(state: Hearing) -> datetime | None:
    if state.since is None or state.heard < state.policy.acquainted:
        return None
    due = state.habit.due(state.since, _threshold(state, state.since))
    return None if due is None else max(due, state.since + state.policy.least_silence)


def _sends_due(state: Hearing) -> datetime | None:
    if state.asked_at is None or state.unanswered < state.policy.sends:
        return None
    return state.asked_at + state.policy.unanswered


def _threshold(state: Hearing, since: datetime) -> float:
    policy, habit = state.policy, state.habit
    a_month = habit.usual * _MONTH_H / habit.clump
    clumps = max(policy.least_clumps, math.log(max(1.0, a_month * policy.rarity)))
    clumps = min(clumps, policy.most_clumps)
    return max(clumps * habit.clump, policy.margin * habit.patience(since))


def _opened(state: Hearing, now: datetime) -> Hearing:
    proving = state.phase is Phase.REOPENING
    return replace(
        state,
        phase=Phase.PROVING if proving else Phase.LISTENING,
        prove_by=now + state.policy.proof if proving else None,
        since=now,
        asked_at=None,
        unanswered=0,
    )


def _heard(state: Hearing, event: Heard, now: datetime) -> Stepped:
    if state.phase in (Phase.CLOSED, Phase.REOPENING) or state.since is None:
        return state, ()
    if event.queued:
        # What was kept tells of the time away, not of how much comes to an open connection.
        state = replace(state, since=now)
        if event.queued_at is not None and _proves(state, event.queued_at):
            return _confirmed(state, event.queued_at)
        return state, ()
    counted = event.count if event.kind in _COUNTED else 0
    habit = state.habit.heard(state.since, now, counted)
    heard = min(state.heard + counted, state.policy.acquainted)
    if state.phase is Phase.PROBING:
        state = replace(state, phase=Phase.LISTENING, suspicion=None)
    return replace(state, habit=habit, since=now, heard=heard), ()


def _proves(state: Hearing, queued_at: datetime) -> bool:
    suspicion = state.suspicion
    if suspicion is None or state.phase is not Phase.PROVING:
        return False
    # The server's times are whole seconds, so one in the second of the last stanza is not later.
    return suspicion.heard_at + _SECOND <= queued_at <= suspicion.at - state.policy.grace


def _answered(state: Hearing, now: datetime) -> Stepped:
    suspicion = state.suspicion
    state = replace(state, asked_at=None, unanswered=0)
    if suspicion is not None and suspicion.reason is Reason.UNANSWERED:
        if state.phase is Phase.PROVING:
            return _confirmed(state, suspicion.at - state.policy.unanswered)
        if state.phase is Phase.PROBING:
            return replace(state, phase=Phase.LISTENING, suspicion=None), ()
    return state, ()


def _confirmed(state: Hearing, first_missed: datetime) -> Stepped:
    suspicion = state.suspicion
    assert suspicion is not None  # only a suspicion is confirmed
    known = Confirmed(
        delay=suspicion.at - first_missed,
        silence=suspicion.at - suspicion.heard_at,
        expected=suspicion.expected,
    )
    # The silence is not learned: it was none of the session's own.
    after = replace(
        state,
        phase=Phase.LISTENING,
        suspicion=None,
        prove_by=None,
        alarms=0,
        alarmed_at=None,
        quiet_until=None,
    )
    return after, (known,)


def _due(state: Hearing, now: datetime) -> Stepped:
    if state.phase is Phase.PROVING and state.prove_by is not None and now >= state.prove_by:
        return _false_alarm(state, now)
    if state.phase is not Phase.LISTENING or state.since is None:
        return state, ()
    if state.quiet_until is not None and now < state.quiet_until:
        return state, ()
    sends, silence = _sends_due(state), _silence_due(state)
    if sends is not None and now >= sends:
        reason = Reason.UNANSWERED
    elif silence is not None and now >= silence:
        reason = Reason.SILENCE
    else:
        return state, ()
    suspicion = Suspicion(
        reason=reason,
        heard_at=state.since,
        at=now,
        expected=state.habit.expected(state.since, now),
    )
    return replace(state, phase=Phase.PROBING, suspicion=suspicion), (Probe(),)


def _probe_answered(state: Hearing, now: datetime) -> Stepped:
    suspicion = state.suspicion
    if state.phase is not Phase.PROBING or suspicion is None:
        return state, ()
    reopen = Reopen(
        reason=suspicion.reason, silence=now - suspicion.heard_at, expected=suspicion.expected
    )
    return replace(state, phase=Phase.REOPENING), (reopen,)


def _false_alarm(state: Hearing, now: datetime) -> Stepped:
    suspicion, policy = state.suspicion, state.policy
    assert suspicion is not None  # only a suspicion is proved or not
    alarms = state.alarms
    if state.alarmed_at is not None:
        alarms = max(0, alarms - (now - state.alarmed_at) // policy.forgiven)
    # The exponent is bounded: a float would overflow long after the longest pause.
    pause = min(policy.pause * policy.pause_factor ** min(alarms, 16), policy.longest_pause)
    after = replace(
        state,
        # The silence was the session's own, so it is learned from, like one that ended by itself.
        habit=state.habit.heard(suspicion.heard_at, suspicion.at, 0.0),
        phase=Phase.LISTENING,
        suspicion=None,
        prove_by=None,
        alarms=alarms + 1,
        alarmed_at=now,
        quiet_until=now + pause,
    )
    silence = suspicion.at - suspicion.heard_at
    return after, (FalseAlarm(paused_for=pause, silence=silence, expected=suspicion.expected),)


def _closed(state: Hearing, now: datetime) -> Hearing:
    match state.phase:
        case Phase.REOPENING:
            # Asked for, or it would have come anyway: the login that follows proves or does not.
            return state
        case Phase.PROVING:
            # The proof may come with the next login; its time begins anew.
            return replace(state, phase=Phase.REOPENING, prove_by=None)
        case Phase.LISTENING if state.since is not None:
            habit = state.habit.listened_in_silence(state.since, now)
            return replace(state, habit=habit, phase=Phase.CLOSED)
        case _:
            return replace(state, phase=Phase.CLOSED, suspicion=None)
