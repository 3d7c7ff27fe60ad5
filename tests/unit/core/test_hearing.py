"""When a silence is suspected, how a suspicion is proved, and that false ones stay rare."""

from datetime import UTC, datetime, timedelta

import pytest

from bench.deaf import Findings, measure, run_deaf
from perene.core.hearing import (
    Answered,
    Closed,
    Confirmed,
    FalseAlarm,
    Heard,
    Hearing,
    HearingPolicy,
    Opened,
    Phase,
    Probe,
    ProbeAnswered,
    ProbeFailed,
    Reason,
    Reopen,
    Sent,
    StanzaKind,
    Ticked,
    next_deadline,
    step,
)

pytestmark = pytest.mark.requirement("F3")

START = datetime(2026, 9, 7, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MESSAGE = Heard(kind=StanzaKind.MESSAGE)


def acquainted(kind: StanzaKind = StanzaKind.MESSAGE) -> tuple[Hearing, datetime]:
    """Return a session that has heard a stanza every ten seconds for twenty minutes."""
    now = START
    state, _ = step(Hearing(), Opened(), now)
    for _ in range(120):
        now += 10 * SECOND
        state, effects = step(state, Heard(kind=kind), now)
        assert effects == ()
    return state, now


def reopening() -> tuple[Hearing, datetime, datetime]:
    """Return a suspected session, when it last heard, and when it was reopened."""
    state, heard_at = acquainted()
    due = next_deadline(state)
    assert due is not None
    state, _ = step(state, Ticked(), due + SECOND)
    state, _ = step(state, ProbeAnswered(), due + SECOND)
    state, _ = step(state, Closed(), due + SECOND)
    state, _ = step(state, Opened(), due + 3 * SECOND)
    assert state.phase is Phase.PROVING
    return state, heard_at, due + 3 * SECOND


def test_a_silence_as_long_as_a_dozen_messages_is_probed_then_reopened() -> None:
    state, heard_at = acquainted()
    due = next_deadline(state)
    assert due is not None
    assert timedelta(seconds=100) < due - heard_at < timedelta(seconds=150)
    assert step(state, Ticked(), due - SECOND) == (state, ())
    state, effects = step(state, Ticked(), due + SECOND)
    assert effects == (Probe(),)
    state, effects = step(state, ProbeAnswered(), due + SECOND)
    (reopen,) = effects
    assert isinstance(reopen, Reopen)
    assert reopen.reason is Reason.SILENCE


def test_whatever_is_heard_during_the_probe_ends_the_suspicion() -> None:
    state, _ = acquainted()
    due = next_deadline(state)
    assert due is not None
    state, _ = step(state, Ticked(), due + SECOND)
    state, _ = step(state, Heard(kind=StanzaKind.RECEIPT), due + 2 * SECOND)
    assert state.phase is Phase.LISTENING
    assert step(state, ProbeAnswered(), due + 3 * SECOND)[1] == ()


def test_a_ping_without_an_answer_is_no_deafness() -> None:
    state, _ = acquainted()
    due = next_deadline(state)
    assert due is not None
    state, _ = step(state, Ticked(), due + SECOND)
    state, effects = step(state, ProbeFailed(), due + 20 * SECOND)
    assert (state.phase, effects) == (Phase.LISTENING, ())


def test_a_stanza_queued_before_the_suspicion_confirms_it() -> None:
    state, heard_at, now = reopening()
    queued = Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=heard_at + 10 * SECOND)
    state, effects = step(state, queued, now)
    (confirmed,) = effects
    assert isinstance(confirmed, Confirmed)
    assert timedelta(seconds=90) < confirmed.delay < timedelta(seconds=140)
    assert state.alarms == 0


@pytest.mark.parametrize("late", [False, True])
def test_a_stanza_of_another_time_confirms_nothing(late: bool) -> None:
    state, heard_at, now = reopening()
    queued_at = now - SECOND if late else heard_at
    queued = Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=queued_at)
    state, effects = step(state, queued, now)
    assert (state.phase, effects) == (Phase.PROVING, ())


def test_a_false_alarm_puts_off_the_next_suspicion_longer_each_time() -> None:
    policy = HearingPolicy()
    state, _, now = reopening()
    pauses: list[timedelta] = []
    while len(pauses) < 5:
        due = next_deadline(state)
        assert due is not None
        now = max(due, now) + SECOND
        state, effects = step(state, Ticked(), now)
        for effect in effects:
            if isinstance(effect, FalseAlarm):
                pauses.append(effect.paused_for)
            else:
                state, _ = step(state, ProbeAnswered(), now)
                state, _ = step(state, Opened(), now)
    assert pauses[:3] == [policy.pause, policy.pause * 4, policy.pause * 16]
    assert max(pauses) <= policy.longest_pause


def test_receipts_prove_hearing_but_are_not_expected() -> None:
    state, _ = acquainted(StanzaKind.RECEIPT)
    assert next_deadline(state) is None


def test_two_messages_of_ours_without_an_answer_are_suspicious() -> None:
    state, _ = step(Hearing(), Opened(), START)
    state, _ = step(state, Sent(), START)
    assert next_deadline(state) is None
    state, _ = step(state, Sent(), START + 90 * SECOND)
    assert next_deadline(state) == START + 120 * SECOND
    answered, _ = step(state, Answered(), START + 100 * SECOND)
    assert next_deadline(answered) is None
    _, effects = step(state, Ticked(), START + 120 * SECOND)
    assert effects == (Probe(),)


def test_what_was_learned_outlives_the_connection() -> None:
    state, now = acquainted()
    state, _ = step(state, Closed(), now)
    assert next_deadline(state) is None
    state, _ = step(state, Opened(), now + 60 * SECOND)
    due = next_deadline(state)
    assert due is not None
    assert due - now < timedelta(minutes=5)


def test_time_that_runs_backwards_does_no_harm() -> None:
    state, now = acquainted()
    state, effects = step(state, MESSAGE, now - timedelta(hours=1))
    assert (state.since, effects) == (now, ())


def test_weeks_of_traffic_are_told_from_deafness() -> None:
    seed = 3
    print(f"seed {seed}")
    found = measure(seed=seed, days=14, sessions=1)
    assert found["slow"].false_per_month < 0.5
    assert found["silent"].false_per_month < 0.5
    assert found["busy"].false_per_month < 12
    assert found["slow"].noticed


def test_a_busy_session_that_turns_deaf_in_its_hours_is_soon_noticed() -> None:
    found = Findings()
    run_deaf("busy", seed=4, days=14, policy=HearingPolicy(), found=found)
    working = [one.after_s for one in found.noticed if one.in_working_hours]
    assert working
    assert max(working) < 180
