"""When a silence is suspected, what tries it, and how a suspicion is proved."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from perene.core.hearing import (
    Answered,
    Closed,
    Confirmed,
    FalseAlarm,
    Heard,
    Hearing,
    HearingEffect,
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
    hearing_with,
    next_deadline,
    step,
)

pytestmark = pytest.mark.requirement("F3")

START = datetime(2026, 9, 7, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
MESSAGE = Heard(kind=StanzaKind.MESSAGE)
PHONE = Heard(kind=StanzaKind.PHONE)


def acquainted(kind: StanzaKind = StanzaKind.MESSAGE) -> tuple[Hearing, datetime]:
    """Return a session that has heard a stanza every ten seconds for twenty minutes."""
    now = START
    state, _ = step(Hearing(), Opened(), now)
    for _ in range(120):
        now += 10 * SECOND
        state, effects = step(state, Heard(kind=kind), now)
        assert effects == ()
    return state, now


def due(state: Hearing) -> datetime:
    """Return when something happens by itself."""
    deadline = next_deadline(state)
    assert deadline is not None
    return deadline + timedelta(milliseconds=1)


def waiting(*, phone_asked: bool = True) -> tuple[Hearing, datetime, datetime]:
    """Return a session under suspicion, when it last heard, and when it was probed."""
    state, heard_at = acquainted()
    now = due(state)
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    state, effects = step(state, ProbeAnswered(phone_asked=phone_asked), now)
    assert (state.phase, effects) == (Phase.WAITING, ())
    return state, heard_at, now


def asked_again(state: Hearing) -> tuple[Hearing, datetime]:
    """Return a session whose phone was asked once more, and when."""
    now = due(state)
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    state, effects = step(state, ProbeAnswered(phone_asked=True), now)
    assert (state.phase, effects) == (Phase.WAITING, ())
    return state, now


def reopening(*, phone_asked: bool = True) -> tuple[Hearing, datetime, datetime]:
    """Return a suspected session that logged in anew, when it last heard, and the present."""
    state, heard_at, _ = waiting(phone_asked=phone_asked)
    while phone_asked and step(state, Ticked(), due(state))[1] == (Probe(ask_phone=True),):
        state, _ = asked_again(state)
    now = due(state)
    state, effects = step(state, Ticked(), now)
    (reopen,) = effects
    assert isinstance(reopen, Reopen)
    assert reopen.reason is Reason.SILENCE
    state, _ = step(state, Closed(), now)
    state, _ = step(state, Opened(), now + 2 * SECOND)
    assert state.phase is Phase.PROVING
    return state, heard_at, now + 2 * SECOND


def test_a_silence_is_tried_when_about_eight_messages_are_missing() -> None:
    state, heard_at = acquainted()
    now = due(state)
    assert timedelta(seconds=70) < now - heard_at < timedelta(seconds=100)
    assert step(state, Ticked(), now - SECOND) == (state, ())
    assert step(state, Ticked(), now)[1] == (Probe(ask_phone=True),)


def test_a_phone_that_does_not_answer_brings_the_reopening_nearer() -> None:
    asked, heard_at, _ = waiting()
    asked, _ = asked_again(asked)
    not_asked, _, _ = waiting(phone_asked=False)
    assert due(asked) < due(not_asked)
    assert due(asked) - heard_at < timedelta(seconds=150)


def test_a_phone_that_usually_answers_is_asked_thrice_before_a_connection_is_given_up() -> None:
    state, _, first_at = waiting()
    state, again_at = asked_again(state)
    state, at_last = asked_again(state)
    assert again_at - first_at >= state.policy.phone_answers
    assert at_last - again_at >= state.policy.phone_answers
    assert due(state) - at_last >= state.policy.phone_answers
    state, effects = step(state, Ticked(), due(state))
    assert [type(effect) for effect in effects] == [Reopen]


def test_a_phone_that_answers_the_second_question_explains_the_silence() -> None:
    before, _, _ = waiting()
    state, now = asked_again(before)
    state, effects = step(state, PHONE, now + SECOND)
    assert (state.phase, effects) == (Phase.LISTENING, ())
    assert due(state) - now >= state.policy.phone_pause
    assert state.questions.phone.first.missed > before.questions.phone.first.missed
    assert state.questions.phone.again.answered > before.questions.phone.again.answered


def test_a_phone_that_is_usually_off_is_asked_once_and_later() -> None:
    state, _ = acquainted()
    usual = due(state)
    for _ in range(50):
        asked = state.questions
        asked = replace(asked, phone=asked.phone.after(1, answered=False))
        state = replace(state, questions=asked)
    now = due(state)
    assert now > usual
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    state, _ = step(state, ProbeAnswered(phone_asked=True), now)
    state, effects = step(state, Ticked(), due(state))
    assert [type(effect) for effect in effects] == [Reopen]


def test_a_phone_that_cannot_be_asked_again_is_not_waited_for() -> None:
    state, _, _ = waiting()
    now = due(state)
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    state, effects = step(state, ProbeAnswered(phone_asked=False), now)
    assert (state.phase, effects) == (Phase.WAITING, ())
    _, effects = step(state, Ticked(), due(state))
    assert [type(effect) for effect in effects] == [Reopen]


def test_each_question_in_vain_is_learned_from_a_false_alarm() -> None:
    before, _, _ = waiting()
    state, _, now = reopening()
    state, effects = step(state, Ticked(), max(due(state), now))
    assert [type(effect) for effect in effects] == [FalseAlarm]
    assert state.questions.phone == before.questions.phone.after(3, answered=False)
    assert (state.questions.asked, state.questions.missed) == (None, 0)


def test_the_phone_is_given_its_time_even_if_the_doubt_is_enough_already() -> None:
    state, heard_at = acquainted()
    now = heard_at + timedelta(hours=1)
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    state, effects = step(state, ProbeAnswered(phone_asked=True), now)
    assert effects == ()
    assert next_deadline(state) == now + state.policy.phone_answers
    state, now = asked_again(state)
    assert next_deadline(state) == now + state.policy.phone_answers
    _, effects = step(state, Ticked(), due(state))
    assert [type(effect) for effect in effects] == [Reopen], "it was asked as often as it is to be"


def test_the_answer_of_the_phone_explains_the_silence() -> None:
    state, _, now = waiting()
    state, effects = step(state, PHONE, now + SECOND)
    assert (state.phase, effects) == (Phase.LISTENING, ())
    assert due(state) - now > 1.5 * state.policy.phone_pause, "it is doubted anew first"


def test_a_silence_explained_again_is_tried_later_until_a_message_comes() -> None:
    state, _, now = waiting()
    policy = hearing_with({"phone_pause": "600", "missing": "1000"})
    state = replace(state, policy=policy)
    pauses: list[timedelta] = []
    for _ in range(4):
        heard_at = now + SECOND
        state, _ = step(state, PHONE, heard_at)
        now = due(state)
        pauses.append(now - heard_at)
        state, _ = step(state, Ticked(), now)
        state, _ = step(state, ProbeAnswered(phone_asked=True), now)
    nearly = timedelta(milliseconds=1)
    first, longest = policy.phone_pause, policy.phone_silence + nearly
    assert pauses == [first + nearly, first * 4 + nearly, longest, longest]
    state, _ = step(state, MESSAGE, now + SECOND)
    assert state.try_after is None


def routine() -> tuple[Hearing, datetime]:
    """Return a session of which nothing is known, whose phone was asked because it was time."""
    state, _ = step(Hearing(), Opened(), START)
    now = due(state)
    assert now - START == state.policy.phone_silence + timedelta(milliseconds=1)
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    return state, now


def test_the_phone_is_asked_after_two_hours_in_which_nothing_was_heard() -> None:
    state, now = routine()
    state, _ = step(state, ProbeAnswered(phone_asked=True), now)
    state, effects = step(state, PHONE, now + SECOND)
    assert (state.phase, effects) == (Phase.LISTENING, ())
    assert (state.explained, state.try_after) == (0, None), "there was no doubt to explain"
    assert next_deadline(state) == now + SECOND + state.policy.phone_silence


def test_a_second_question_by_routine_has_no_doubt_to_explain_either() -> None:
    state, now = routine()
    state, _ = step(state, ProbeAnswered(phone_asked=True), now)
    state, now = asked_again(state)
    state, effects = step(state, PHONE, now + SECOND)
    assert (state.phase, effects) == (Phase.LISTENING, ())
    assert (state.explained, state.try_after) == (0, None)


def undoubting() -> tuple[Hearing, datetime]:
    """Return a session with a message a minute for days, and when it heard the last.

    It asks its phone for what is missing, and hardly ever for doubt.
    """
    few = hearing_with({"questions_a_month": "1", "messages_a_question": "1000000"})
    now = START
    state, _ = step(Hearing(policy=few), Opened(), now)
    for _ in range(4 * 24 * 60):
        now += MINUTE
        state, _ = step(state, MESSAGE, now)
    return state, now


def answered(state: Hearing) -> tuple[Hearing, timedelta]:
    """Let the phone be asked next and answer; return how long the silence was."""
    now, heard_at = due(state), state.heard_at
    assert heard_at is not None
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    state, _ = step(state, ProbeAnswered(phone_asked=True), now)
    state, _ = step(state, PHONE, now + SECOND)
    return state, now - heard_at


def test_the_phone_is_asked_when_ten_messages_that_usually_come_are_missing() -> None:
    state, _ = undoubting()
    state, silence = answered(state)
    assert silence.total_seconds() == pytest.approx(600, rel=0.05)
    assert (state.explained, state.try_after) == (0, None), "there was no doubt to explain"


def test_whatever_is_missing_the_phone_is_not_asked_again_within_its_pause() -> None:
    state, _ = undoubting()
    state = replace(state, policy=replace(state.policy, phone_pause=20 * MINUTE))
    state, _ = answered(state)
    asked_at = state.questions.last
    assert asked_at is not None
    state, _ = step(state, MESSAGE, asked_at + 2 * SECOND)
    assert next_deadline(state) == asked_at + 20 * MINUTE


def test_however_much_comes_usually_a_short_silence_is_no_question() -> None:
    now = START
    state, _ = step(Hearing(), Opened(), now)
    for _ in range(2000):
        now += SECOND / 10
        state, _ = step(state, MESSAGE, now)
    assert due(state) - now >= state.policy.least_silence


def test_ever_more_has_to_be_missing_until_as_much_comes_as_usual() -> None:
    state, _ = undoubting()
    silences: list[timedelta] = []
    for _ in range(5):
        state, silence = answered(state)
        silences.append(silence)
    assert all(later / earlier >= 1.24 for earlier, later in pairwise(silences))
    at = due(state) - 2 * SECOND
    state, _ = step(state, MESSAGE, at)
    state, silence = answered(state)
    assert silence / silences[-1] >= 1.24, "one message ends no holiday"
    for _ in range(60):
        at += MINUTE
        state, _ = step(state, MESSAGE, at)
    assert state.answers == 0
    assert answered(state)[1] < silences[1]


def test_a_phone_that_always_answered_proves_a_quiet_session_deaf_in_half_an_hour() -> None:
    state, now = routine()
    for _ in range(300):
        state, _ = step(state, ProbeAnswered(phone_asked=True), now)
        state, _ = step(state, PHONE, now + SECOND)
        now = due(state)
        state, _ = step(state, Ticked(), now)
    began = now
    questions = 1
    while state.phase is not Phase.REOPENING:
        state, effects = step(state, ProbeAnswered(phone_asked=True), now)
        if not effects:
            now = due(state)
            state, effects = step(state, Ticked(), now)
        questions += effects == (Probe(ask_phone=True),)
    assert questions <= state.policy.most_questions
    assert now - began < timedelta(minutes=30)


def test_a_phone_of_which_little_is_known_is_asked_for_hours_before_a_quiet_session_is_reopened():
    state, now = routine()
    began = now
    asked = [now]
    while state.phase is not Phase.REOPENING:
        state, effects = step(state, ProbeAnswered(phone_asked=True), now)
        if not effects:
            now = due(state)
            state, effects = step(state, Ticked(), now)
        if effects == (Probe(ask_phone=True),):
            asked.append(now)
    apart = [(later - before).total_seconds() for before, later in pairwise(asked)]
    at_once = state.policy.most_questions - 1
    assert apart[:at_once] == pytest.approx([15, 15, 30, 75], abs=0.1)
    hours = [pause / 3600 for pause in apart[at_once:]]
    assert hours == pytest.approx([2, 4, 8][: len(hours)], abs=0.1)
    assert now - began > 2 * state.policy.phone_silence


def test_a_phone_that_cannot_be_asked_is_left_alone_until_it_is_time_again() -> None:
    state, now = routine()
    state, effects = step(state, ProbeAnswered(phone_asked=False), now)
    assert (state.phase, effects) == (Phase.WAITING, ())
    assert next_deadline(state) == now + state.policy.phone_silence
    hours: list[float] = []
    for _ in range(11):
        tried_at, now = now, due(state)
        hours.append((now - tried_at) / timedelta(hours=1))
        state, effects = step(state, Ticked(), now)
        assert effects == (Probe(ask_phone=True),)
        state, _ = step(state, ProbeAnswered(phone_asked=False), now)
    assert hours == pytest.approx([2] * 5 + [4, 8, 16, 24, 24, 24], rel=0.001)


def test_a_question_by_routine_that_could_not_be_put_gives_no_connection_up() -> None:
    now = START
    state, _ = step(Hearing(), Opened(), now)
    for _ in range(5 * 48):
        now += 30 * MINUTE
        state, _ = step(state, MESSAGE, now)
    heard_at = now
    for hours in (2, 4):
        now = due(state)
        assert (now - heard_at) / timedelta(hours=1) == pytest.approx(hours, abs=0.01)
        state, effects = step(state, Ticked(), now)
        assert effects == (Probe(ask_phone=True),)
        state, effects = step(state, ProbeAnswered(phone_asked=False), now)
        assert (state.phase, effects) == (Phase.WAITING, ())
    _, effects = step(state, Ticked(), due(state))
    assert [type(effect) for effect in effects] == [Reopen], "it is doubted enough by now"


def test_a_phone_that_is_to_be_asked_less_than_daily_is_so_whether_it_answers_or_not() -> None:
    days = timedelta(days=3)
    state, _ = step(Hearing(policy=hearing_with({"phone_silence": "259200"})), Opened(), START)
    for _ in range(3):
        now = due(state)
        state, effects = step(state, Ticked(), now)
        assert effects == (Probe(ask_phone=True),)
        state, _ = step(state, ProbeAnswered(phone_asked=False), now)
        assert next_deadline(state) == now + days


def test_a_phone_that_must_not_be_asked_never_is_and_silence_alone_counts() -> None:
    state, now = acquainted()
    state = replace(state, policy=hearing_with({"questions": "0"}))
    effects: tuple[HearingEffect, ...] = ()
    while not effects:
        now = due(state)
        state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=False),)
    while state.phase is not Phase.REOPENING:
        state, effects = step(state, ProbeAnswered(phone_asked=False), now)
        if not effects:
            now = due(state)
            state, effects = step(state, Ticked(), now)
    assert [type(effect) for effect in effects] == [Reopen]


def test_with_no_restarts_allowed_nothing_is_ever_suspected() -> None:
    state, now = acquainted()
    state = replace(state, policy=hearing_with({"restarts_a_month": "0"}))
    assert next_deadline(state) is None
    state, _ = step(state, Sent(), now)
    state, _ = step(state, Sent(), now)
    for hours in range(1, 100):
        state, effects = step(state, Ticked(), now + timedelta(hours=hours))
        assert effects == ()


def heard_again(usual: Hearing, now: datetime, *, pause_s: int) -> Hearing:
    """Return a session that hears a message after a question, and pauses so long after that."""
    policy = hearing_with({"phone_pause": str(pause_s), "missing": "1000"})
    state, _ = step(replace(usual, policy=policy), MESSAGE, now + SECOND)
    assert state.phase is Phase.LISTENING
    return state


def test_within_its_pause_the_phone_is_asked_only_before_a_connection_is_given_up() -> None:
    usual, _, now = waiting()
    soon, put_off = heard_again(usual, now, pause_s=60), heard_again(usual, now, pause_s=200)
    assert MINUTE < due(soon) - now < 200 * SECOND
    assert next_deadline(put_off) == now + 200 * SECOND
    longer, longest = (heard_again(usual, now, pause_s=one) for one in (600, 3600))
    at_last = due(longer)
    assert 200 * SECOND < at_last - now < 600 * SECOND
    assert due(longest) == at_last
    assert step(longer, Ticked(), at_last)[1] == (Probe(ask_phone=True),)
    unreceived = replace(longer, replies=replace(longer.replies, missed=1))
    sooner = due(unreceived)
    assert sooner < at_last, "a receipt that is missing brings it nearer"
    assert step(unreceived, Ticked(), sooner)[1] == (Probe(ask_phone=True),)


def test_a_phone_that_seldom_answers_is_not_asked_within_its_pause_at_all() -> None:
    usual, _, now = waiting()
    state = heard_again(usual, now, pause_s=3600)
    asked = state.questions
    for _ in range(300):
        asked = replace(asked, phone=asked.phone.after(1, answered=False))
    state = replace(state, questions=asked)
    assert step(state, Ticked(), due(state))[1] == (Probe(ask_phone=False),)


def test_whatever_is_heard_during_the_probe_ends_the_suspicion() -> None:
    state, _ = acquainted()
    now = due(state)
    state, _ = step(state, Ticked(), now)
    state, _ = step(state, Heard(kind=StanzaKind.RECEIPT), now + SECOND)
    assert state.phase is Phase.LISTENING
    assert step(state, ProbeAnswered(), now + 2 * SECOND)[1] == ()


def test_a_ping_without_an_answer_is_no_deafness() -> None:
    state, _ = acquainted()
    now = due(state)
    state, _ = step(state, Ticked(), now)
    state, effects = step(state, ProbeFailed(), now + 20 * SECOND)
    assert (state.phase, effects) == (Phase.LISTENING, ())


def test_after_a_ping_without_an_answer_a_session_may_have_nothing_to_wait_for() -> None:
    state, _ = step(Hearing(policy=hearing_with({"questions": "0"})), Opened(), START)
    for _ in range(2):
        state, _ = step(state, Sent(), START)
    now = START + state.policy.unanswered
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=False),)
    state, _ = step(state, ProbeFailed(), now)
    assert state.quiet_until is not None
    assert next_deadline(state) is None


def test_a_stanza_queued_before_the_reopening_confirms_it() -> None:
    state, heard_at, now = reopening()
    queued = Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=heard_at + 10 * SECOND)
    state, effects = step(state, queued, now)
    (confirmed,) = effects
    assert isinstance(confirmed, Confirmed)
    assert timedelta(seconds=80) < confirmed.delay < timedelta(seconds=120)
    assert state.alarms == 0


def test_the_answer_of_the_phone_that_waited_in_the_queue_confirms_it_too() -> None:
    state, _, now = reopening()
    answered_at = now - state.policy.phone_answers
    queued = Heard(kind=StanzaKind.PHONE, queued=True, queued_at=answered_at)
    _, effects = step(state, queued, now)
    assert [type(effect) for effect in effects] == [Confirmed]


@pytest.mark.parametrize("late", [False, True])
def test_a_stanza_of_another_time_confirms_nothing(late: bool) -> None:
    state, heard_at, now = reopening()
    queued_at = now - SECOND if late else heard_at
    queued = Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=queued_at)
    state, effects = step(state, queued, now)
    assert (state.phase, effects) == (Phase.PROVING, ())


def test_a_true_suspicion_teaches_nothing() -> None:
    """What was not delivered was not a silence of the session's own, nor the phone's fault."""
    before, _ = acquainted()
    state, heard_at, now = reopening()
    queued = Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=heard_at + 10 * SECOND)
    state, _ = step(state, queued, now)
    assert (state.habit, state.questions.phone) == (before.habit, before.questions.phone)


def test_a_false_alarm_puts_off_the_next_suspicion_longer_each_time() -> None:
    policy = HearingPolicy()
    state, _, now = reopening()
    pauses: list[timedelta] = []
    while len(pauses) < 3:
        now = max(due(state), now)
        state, effects = step(state, Ticked(), now)
        waiting_effects = list(effects)
        while waiting_effects:
            effect = waiting_effects.pop()
            more: tuple[HearingEffect, ...] = ()
            match effect:
                case FalseAlarm():
                    pauses.append(effect.paused_for)
                case Probe():
                    state, more = step(state, ProbeAnswered(), now)
                case Reopen():
                    state, more = step(state, Opened(), now)
                case Confirmed():
                    raise AssertionError("nothing was queued")
            waiting_effects += more
    assert pauses == [policy.pause, policy.pause * 4, policy.pause * 16]


def test_a_login_that_ends_before_its_proof_is_proved_by_the_next() -> None:
    state, heard_at, now = reopening()
    state, _ = step(state, Closed(), now + SECOND)
    state, _ = step(state, Opened(), now + 5 * SECOND)
    queued = Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=heard_at + 10 * SECOND)
    assert [type(effect) for effect in step(state, queued, now + 6 * SECOND)[1]] == [Confirmed]


def test_receipts_prove_hearing_but_are_not_expected_without_messages_of_ours() -> None:
    state, now = acquainted(StanzaKind.RECEIPT)
    assert next_deadline(state) == now + state.policy.phone_silence


def sending() -> tuple[Hearing, datetime]:
    """Return a session that sent a message a minute, brought a receipt each time, until none came.

    It is probed for that.
    """
    now = START
    state, _ = step(Hearing(), Opened(), now)
    for _ in range(60):
        now += 60 * SECOND
        state, _ = step(state, Sent(), now)
        state, _ = step(state, Answered(), now)
        state, _ = step(state, Heard(kind=StanzaKind.RECEIPT), now + 2 * SECOND)
    effects: tuple[HearingEffect, ...] = ()
    while not effects:
        now += 60 * SECOND
        state, _ = step(state, Sent(), now)
        state, _ = step(state, Answered(), now)
        state, effects = step(state, Ticked(), due(state))
    assert effects == (Probe(ask_phone=True),)
    return state, now


def test_receipts_that_no_longer_come_for_what_is_sent_are_suspicious() -> None:
    _, now = sending()
    assert timedelta(minutes=62) < now - START < timedelta(minutes=90)


@pytest.mark.parametrize("true", [False, True])
def test_missing_receipts_are_learned_unless_they_waited_in_the_queue(true: bool) -> None:
    state, now = sending()
    before = state.replies
    state, _ = step(state, ProbeAnswered(), now)
    for _ in range(60):
        if state.phase is Phase.REOPENING:
            break
        now += 60 * SECOND
        state, _ = step(state, Sent(), now)
        state, _ = step(state, Answered(), now)
        state, _ = step(state, Ticked(), now + 40 * SECOND)
    assert state.phase is Phase.REOPENING
    state, _ = step(state, Opened(), now + 50 * SECOND)
    if true:
        kept = Heard(kind=StanzaKind.RECEIPT, queued=True, queued_at=now - 20 * SECOND)
        state, effects = step(state, kept, now + 50 * SECOND)
    else:
        state, effects = step(state, Ticked(), due(state))
    assert [type(effect) for effect in effects] == [Confirmed if true else FalseAlarm]
    assert (state.replies.next.missed == before.next.missed) is true
    assert state.replies.nats == 0.0


def test_two_messages_of_ours_that_the_server_does_not_take_are_suspicious() -> None:
    state, _ = step(Hearing(), Opened(), START)
    state, _ = step(state, Sent(), START)
    state, _ = step(state, Ticked(), START + 30 * SECOND)
    assert next_deadline(state) == START + state.policy.phone_silence
    state, _ = step(state, Sent(), START + 90 * SECOND)
    answered, _ = step(state, Answered(), START + 100 * SECOND)
    assert step(answered, Ticked(), START + 130 * SECOND)[1] == ()
    assert step(state, Ticked(), START + 119 * SECOND)[1] == ()
    state, effects = step(state, Ticked(), START + 120 * SECOND)
    assert effects == (Probe(ask_phone=False),)
    _, effects = step(state, ProbeAnswered(), START + 121 * SECOND)
    assert [type(effect) for effect in effects] == [Reopen]


def test_what_was_learned_outlives_the_connection() -> None:
    state, now = acquainted()
    state, _ = step(state, Closed(), now)
    assert next_deadline(state) is None
    state, _ = step(state, Opened(), now + 60 * SECOND)
    assert due(state) - now < timedelta(minutes=5)


def test_what_was_kept_while_away_is_no_habit() -> None:
    state, now = acquainted()
    usual = state.habit.usual
    state, _ = step(state, Closed(), now)
    state, _ = step(state, Opened(), now + timedelta(hours=9))
    for _ in range(500):
        queued = Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=now + timedelta(hours=1))
        state, _ = step(state, queued, now + timedelta(hours=9))
    assert state.habit.usual == usual


def test_time_that_runs_backwards_does_no_harm() -> None:
    state, now = acquainted()
    state, effects = step(state, MESSAGE, now - timedelta(hours=1))
    assert (state.heard_at, effects) == (now, ())


def test_a_clock_set_back_between_two_connections_hides_no_deafness() -> None:
    state, now = acquainted()
    state, _ = step(state, Closed(), now)
    set_back = now - timedelta(days=365)
    state, _ = step(state, Opened(), set_back)
    state, _ = step(state, MESSAGE, set_back + SECOND)
    assert state.heard_at == set_back + SECOND
    assert due(state) - set_back < timedelta(minutes=2)


def test_a_pause_by_a_clock_that_was_ahead_is_no_longer_than_any() -> None:
    state, _, now = reopening()
    policy = state.policy
    state, effects = step(state, Ticked(), now + policy.proof)
    assert [type(effect) for effect in effects] == [FalseAlarm]
    state, _ = step(state, Closed(), now)
    set_back = now - timedelta(days=365)
    state, _ = step(state, Opened(), set_back)
    assert state.quiet_until == set_back + policy.longest_pause
    assert state.alarmed_at == state.questions.last == set_back


def test_a_proof_is_waited_for_no_longer_by_a_clock_set_back() -> None:
    """Who owns the state keeps its time meanwhile; the clamp is for what it does not see."""
    state, _, now = reopening()
    state, _ = step(state, Closed(), now)
    assert state.phase is Phase.REOPENING
    state, _ = step(state, Opened(), now - SECOND)
    assert (state.phase, state.heard_at) == (Phase.PROVING, now)
