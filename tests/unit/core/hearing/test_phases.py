"""What counts in each phase of the machine that notices deaf connections, and what is too late."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from perene.core.hearing import (
    Answered,
    Closed,
    Confirmed,
    FalseAlarm,
    Heard,
    Hearing,
    Opened,
    Phase,
    Probe,
    ProbeAnswered,
    ProbeFailed,
    Reopen,
    Sent,
    StanzaKind,
    Ticked,
    hearing_with,
    next_deadline,
    step,
)
from perene.core.hearing.events import HearingEvent
from tests.unit.core.hearing.test_machine import (
    MESSAGE,
    PHONE,
    SECOND,
    START,
    acquainted,
    asked_again,
    due,
    reopening,
    waiting,
)

pytestmark = pytest.mark.requirement("F3")

RECEIPT = Heard(kind=StanzaKind.RECEIPT)
OTHER = Heard(kind=StanzaKind.OTHER)
HOUR = timedelta(hours=1)


def queued(at: datetime | None) -> Heard:
    """Return a message that was kept while the session was away, since a time of the server's."""
    return Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=at)


def closed() -> tuple[Hearing, datetime]:
    """Return a session whose connection ended while its phone was asked, and when."""
    state, _, now = waiting()
    state, effects = step(state, Closed(), now)
    assert (state.phase, effects) == (Phase.CLOSED, ())
    return state, now


def given_up() -> tuple[Hearing, datetime]:
    """Return a session whose connection was given up and has not ended yet, and when."""
    state, _, now = waiting()
    while state.phase is Phase.WAITING:
        now = due(state)
        state, effects = step(state, Ticked(), now)
        if effects == (Probe(ask_phone=True),):
            state, _ = step(state, ProbeAnswered(phone_asked=True), now)
    assert state.phase is Phase.REOPENING
    return state, now


@pytest.mark.parametrize("phase", ["new", Phase.CLOSED, Phase.REOPENING])
@pytest.mark.parametrize(
    "late",
    [
        MESSAGE,
        PHONE,
        RECEIPT,
        queued(START),
        ProbeAnswered(phone_asked=True),
        ProbeFailed(),
        Ticked(),
    ],
    ids=lambda event: getattr(event, "kind", type(event).__name__),
)
def test_without_a_connection_nothing_counts_and_nothing_is_waited_for(
    phase: str, late: HearingEvent
) -> None:
    if phase == "new":
        state, now = Hearing(), START
    else:
        state, now = closed() if phase == Phase.CLOSED else given_up()
    assert step(state, late, now + HOUR) == (state, ())
    assert next_deadline(state) is None


@pytest.mark.parametrize("late", [ProbeAnswered(phone_asked=True), ProbeFailed()])
def test_the_end_of_a_probe_that_no_longer_matters_changes_nothing(late: HearingEvent) -> None:
    listening, now = acquainted()
    proving, _, at = reopening()
    assert step(listening, late, now + SECOND) == (listening, ())
    assert step(proving, late, at + SECOND) == (proving, ())


def test_a_session_that_waits_is_left_alone_until_it_is_time() -> None:
    state, _, now = waiting()
    assert step(state, Ticked(), now + SECOND) == (state, ())
    state, _, now = reopening()
    assert next_deadline(state) == now + state.policy.proof
    assert step(state, Ticked(), now + state.policy.proof - SECOND) == (state, ())


def test_only_the_phone_answers_what_the_phone_was_asked() -> None:
    before, _, now = waiting()
    state, _ = step(before, MESSAGE, now + SECOND)
    assert (state.phase, state.suspicion) == (Phase.LISTENING, None)
    assert state.questions == before.questions, "its answer may still come"
    state, _ = step(state, PHONE, now + 2 * SECOND)
    assert state.questions.phone.first.answered > before.questions.phone.first.answered
    assert state.explained == 0, "there is no silence any more"
    assert state.silence is not None
    assert state.silence.judged_to == now + SECOND, "the present one is still to be learned from"


def test_what_a_phone_says_unasked_is_no_answer() -> None:
    listening, now = acquainted()
    waited, _, then = waiting(phone_asked=False)
    for before, at in ((listening, now), (waited, then)):
        state, _ = step(before, PHONE, at + SECOND)
        assert (state.phase, state.heard_at) == (Phase.LISTENING, at + SECOND)
        assert (state.answers, state.explained, state.try_after) == (0, 0, None)
        assert state.questions.phone == before.questions.phone
        assert state.silence is not None
        assert before.silence is not None
        assert state.silence.judged_to == before.silence.judged_to


def test_an_answer_that_comes_while_a_second_question_is_put_explains_the_silence() -> None:
    state, _, _ = waiting()
    now = due(state)
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=True),)
    state, _ = step(state, PHONE, now + SECOND)
    assert (state.phase, state.explained) == (Phase.LISTENING, 1)
    assert state.silence is not None
    assert state.silence.judged_to == now + SECOND
    state, _, _ = waiting()
    state, now = asked_again(state)
    state, _ = step(state, PHONE, now + SECOND)
    assert (state.phase, state.explained) == (Phase.LISTENING, 1)


@pytest.mark.parametrize(("heard", "explained"), [(MESSAGE, 0), (RECEIPT, 0), (OTHER, 1)])
def test_an_explained_silence_ends_with_what_people_do(heard: Heard, explained: int) -> None:
    state, _, now = waiting()
    state, _ = step(state, PHONE, now + SECOND)
    assert (state.explained, state.try_after is None) == (1, False)
    state, _ = step(state, heard, now + 2 * SECOND)
    assert (state.explained, state.try_after is None) == (explained, explained == 0)


def test_no_pause_and_no_number_of_explanations_is_too_long() -> None:
    state, _, now = waiting()
    state = replace(state, explained=10_000, policy=hearing_with({"phone_pause": "86400"}))
    state, _ = step(state, PHONE, now + SECOND)
    assert state.try_after == now + SECOND + state.policy.longest_pause


@pytest.mark.parametrize("during", [Phase.PROBING, Phase.WAITING])
def test_what_was_kept_and_comes_late_ends_a_suspicion_like_all_that_is_heard(
    during: Phase,
) -> None:
    state, _, now = waiting()
    if during is Phase.PROBING:
        now = due(state)
        state, _ = step(state, Ticked(), now)
    assert state.phase is during
    state, effects = step(state, queued(now), now + SECOND)
    assert (state.phase, state.suspicion, effects) == (Phase.LISTENING, None, ())
    assert step(state, ProbeAnswered(phone_asked=True), now + 2 * SECOND) == (state, ())


@pytest.mark.parametrize("heard", [RECEIPT, OTHER, queued(None)])
def test_a_silence_between_messages_is_broken_by_messages_alone(heard: Heard) -> None:
    before, now = acquainted()
    state, effects = step(before, heard, now + SECOND)
    assert before.silence is not None
    assert (state.silence, effects) == (replace(before.silence, heard_at=now + SECOND), ())


def test_a_long_silence_is_learned_once_when_a_message_ends_it() -> None:
    before, now = acquainted()
    state, _ = step(before, OTHER, now + 60 * SECOND)
    assert state.habit.long_silences == before.habit.long_silences
    state, _ = step(state, MESSAGE, now + 65 * SECOND)
    assert state.habit.long_silences == before.habit.long_silences + 1


def test_only_a_receipt_is_an_answer_to_what_was_sent() -> None:
    state, now = acquainted()
    state, _ = step(state, Sent(), now)
    state, _ = step(state, Answered(), now)
    state, _ = step(state, MESSAGE, now + SECOND)
    late = now + state.policy.receipts
    missed, _ = step(state, Ticked(), late)
    assert (missed.replies.missed, missed.replies.began) == (1, None)
    in_time, _ = step(state, RECEIPT, late - SECOND)
    assert (in_time.replies.missed, in_time.replies.began) == (0, None)
    assert in_time.replies.first.answered > state.replies.first.answered


def test_another_connection_knows_nothing_of_what_the_last_one_missed() -> None:
    state, now = acquainted()
    state, _ = step(state, Sent(), now)
    state, _ = step(state, Ticked(), now + HOUR)
    assert (state.replies.missed, state.untaken) == (1, 1)
    state, _ = step(state, Closed(), now + HOUR)
    state, _ = step(state, Opened(), now + 2 * HOUR)
    assert (state.replies.missed, state.untaken, state.taken_at) == (0, 0, None)
    assert state.silence is not None
    assert state.silence.message_at == now + 2 * HOUR


def test_time_in_which_nothing_came_before_the_end_is_learned() -> None:
    before, now = acquainted()
    state, _ = step(before, Closed(), now + HOUR)
    assert state.habit.usual < before.habit.usual


def unheard(*, resent: bool = True) -> tuple[Hearing, datetime]:
    """Return a session of which the server took no messages, after a new login; and when."""
    state, _ = step(Hearing(), Opened(), START)
    for _ in range(2):
        state, _ = step(state, Sent(), START)
    now = START + state.policy.unanswered
    state, effects = step(state, Ticked(), now)
    assert effects == (Probe(ask_phone=False),)
    if resent:
        state, effects = step(state, ProbeAnswered(), now)
        assert [type(effect) for effect in effects] == [Reopen]
        state, _ = step(state, Closed(), now)
        state, _ = step(state, Opened(), now + SECOND)
    return state, now


def test_that_the_server_takes_messages_after_a_new_login_confirms_that_it_did_not() -> None:
    state, now = unheard()
    state, effects = step(state, Sent(), now + 2 * SECOND)
    assert effects == ()
    state, (told,) = step(state, Answered(), now + 3 * SECOND)
    assert isinstance(told, Confirmed)
    assert told.delay == state.policy.unanswered
    assert (state.phase, state.alarms) == (Phase.LISTENING, 0)


def test_a_message_that_is_taken_during_the_probe_ends_the_suspicion() -> None:
    state, now = unheard(resent=False)
    state, effects = step(state, Answered(), now + SECOND)
    assert (state.phase, state.suspicion, effects) == (Phase.LISTENING, None, ())
    assert step(state, ProbeAnswered(), now + SECOND) == (state, ())


@pytest.mark.parametrize("after", [Answered(), ProbeFailed()])
def test_messages_are_counted_from_the_last_that_was_taken(after: HearingEvent) -> None:
    state, now = unheard(resent=False)
    state, _ = step(state, after, now)
    assert state.suspicion is None
    later = now + 10 * state.policy.unanswered
    state, effects = step(state, Sent(), later)
    assert effects == ()
    late = later + state.policy.unanswered
    assert step(state, Ticked(), late)[1] == (), "it is one"
    state, effects = step(state, Sent(), later + SECOND)
    assert effects == ()
    assert step(state, Ticked(), late - SECOND)[1] == ()
    assert step(state, Ticked(), late)[1] == (Probe(ask_phone=False),)


def test_that_the_server_takes_messages_says_nothing_of_a_silence() -> None:
    """A deaf connection may take all that is sent."""
    state, _ = acquainted()
    now = due(state)
    state, _ = step(state, Ticked(), now)
    state, effects = step(state, Answered(), now + SECOND)
    assert (state.phase, effects) == (Phase.PROBING, ())
    proving, _, now = reopening()
    state, effects = step(proving, Answered(), now + SECOND)
    assert (state, effects) == (proving, ())


def test_a_message_that_is_taken_after_the_connection_was_given_up_saves_it_no_more() -> None:
    state, now = unheard(resent=False)
    state, _ = step(state, ProbeAnswered(), now)
    state, effects = step(state, Answered(), now + SECOND)
    assert (state.phase, effects) == (Phase.REOPENING, ())
    assert state.suspicion is not None


@pytest.mark.parametrize("proved", [True, False])
def test_what_is_heard_after_a_new_login_proves_nothing_of_the_one_before(proved: bool) -> None:
    state, heard_at, now = reopening()
    state, _ = step(state, queued(None), now + SECOND)
    state, effects = step(state, MESSAGE, now + SECOND)
    assert (state.phase, effects) == (Phase.PROVING, ())
    if proved:
        _, effects = step(state, queued(heard_at + SECOND), now + 2 * SECOND)
    else:
        _, effects = step(state, Ticked(), now + state.policy.proof)
    assert [type(effect) for effect in effects] == [Confirmed if proved else FalseAlarm]


def test_a_stanza_proves_deafness_from_the_next_second_on_to_the_grace() -> None:
    state, heard_at, now = reopening()
    assert state.suspicion is not None
    last = state.suspicion.at - state.policy.grace
    moment = timedelta(milliseconds=1)
    for at, proves in (
        (heard_at + SECOND - moment, False),
        (heard_at + SECOND, True),
        (last, True),
        (last + moment, False),
    ):
        assert (len(step(state, queued(at), now)[1]) == 1) is proves


def test_a_pause_after_a_false_alarm_holds_whatever_is_sent_until_as_much_comes_as_usual() -> None:
    state, _, now = reopening()
    now += state.policy.proof
    state, effects = step(state, Ticked(), now)
    assert [type(effect) for effect in effects] == [FalseAlarm]
    assert state.quiet_until == now + state.policy.pause
    assert step(state, Sent(), now + state.policy.pause / 2)[1] == ()
    assert step(state, Ticked(), now + state.policy.pause - SECOND)[1] == ()
    assert next_deadline(state) == state.quiet_until
    heard, _ = step(state, MESSAGE, now + SECOND)
    assert heard.quiet_until == state.quiet_until, "one message is not as much as usual"
    for number in range(1, 60):
        heard, _ = step(heard, MESSAGE, now + number * 10 * SECOND)
    assert heard.quiet_until is None


def worn(state: Hearing, now: datetime, **changes: object) -> Hearing:
    """Return a session that has had false alarms, explained silences and answers before."""
    earlier = {
        "explained": 2,
        "answers": 3,
        "try_after": now + HOUR,
        "alarms": 3,
        "alarmed_at": now - HOUR,
        "quiet_until": now + HOUR,
    }
    return replace(state, **(earlier | changes))


def test_what_was_expected_is_told_as_it_was_when_the_connection_was_given_up() -> None:
    state, now = given_up()
    assert state.heard_at is not None
    silence, expected = now - state.heard_at, state.habit.expected(state.heard_at, now)
    state, _ = step(state, Opened(), now + SECOND)
    _, (alarm,) = step(state, Ticked(), now + SECOND + state.policy.proof)
    assert isinstance(alarm, FalseAlarm)
    assert (alarm.expected, alarm.silence) == (expected, silence)


def test_a_proof_ends_every_pause_and_begins_anew() -> None:
    state, heard_at, now = reopening()
    before = worn(state, now)
    state, _ = step(before, queued(heard_at + SECOND), now)
    assert (state.phase, state.suspicion, state.prove_by) == (Phase.LISTENING, None, None)
    assert (state.explained, state.answers, state.try_after) == (0, 0, None)
    assert (state.alarms, state.alarmed_at, state.quiet_until) == (0, None, None)
    assert (state.questions.asked, state.questions.missed) == (None, 0)
    assert state.silence is not None
    assert (state.silence.heard_at, state.silence.message_at) == (now, now)
    assert state.habit == before.habit


@pytest.mark.parametrize("true", [False, True])
def test_a_message_before_the_proof_does_not_end_the_silence_that_is_in_doubt(true: bool) -> None:
    before, heard_at, now = reopening()
    known = before.habit.long_silences
    state, _ = step(before, MESSAGE, now + SECOND)
    assert state.habit.long_silences == known
    if true:
        state, _ = step(state, queued(heard_at + SECOND), now + 2 * SECOND)
    else:
        state, _ = step(state, Ticked(), now + state.policy.proof)
    assert state.habit.long_silences == (known if true else known + 1)


@pytest.mark.parametrize(
    ("late", "away"), [(180 * SECOND, False), (181 * SECOND, True), (168 * HOUR, True)]
)
def test_an_outage_before_the_next_login_is_no_silence_of_the_sessions_own(
    late: timedelta, away: bool
) -> None:
    state, now = given_up()
    given_up_at = now
    state, _ = step(state, Closed(), now)
    now += late
    state, _ = step(state, Opened(), now)
    assert state.silence is not None
    assert (state.silence.message_at > given_up_at) is away
    state, effects = step(state, Ticked(), now + state.policy.proof)
    assert [type(effect) for effect in effects] == [FalseAlarm]
    known = state.habit.long_silences
    state, _ = step(state, MESSAGE, now + state.policy.proof + SECOND)
    assert state.habit.long_silences == known + 1
    marked = sum(one > 0 for one in state.habit.weeks.away)
    assert marked <= 2, "where it was not connected it was not away"


def test_a_false_alarm_teaches_the_silence_once() -> None:
    before, heard_at, now = reopening()
    assert before.suspicion is not None
    assert before.silence is not None
    assert before.silence.message_at == heard_at, "a login is no message"
    state, _ = step(before, Ticked(), now + before.policy.proof)
    assert (state.phase, state.suspicion, state.prove_by) == (Phase.LISTENING, None, None)
    assert state.habit.usual < before.habit.usual
    assert state.silence == replace(before.silence, judged_to=before.suspicion.at)


@pytest.mark.parametrize(
    ("alarms", "days_ago", "times", "left"),
    [(0, None, 1, 1), (3, 1, 64, 4), (3, 2, 16, 3), (3, 5, 4, 2), (3, 60, 1, 1), (4, 0, 96, 5)],
)
def test_false_alarms_are_forgiven_one_after_the_other_and_no_pause_is_longer_than_any(
    alarms: int, days_ago: int | None, times: int, left: int
) -> None:
    state, _, now = reopening()
    now += state.policy.proof
    alarmed_at = None if days_ago is None else now - timedelta(days=days_ago)
    state = worn(state, now, alarms=alarms, alarmed_at=alarmed_at)
    state, (told,) = step(state, Ticked(), now)
    assert isinstance(told, FalseAlarm)
    assert (told.paused_for, state.alarms) == (state.policy.pause * times, left)
    assert (state.quiet_until, state.alarmed_at) == (now + told.paused_for, now)


def test_no_number_of_false_alarms_is_too_many() -> None:
    state, _, now = reopening()
    now += state.policy.proof
    state, (told,) = step(worn(state, now, alarms=10_000), Ticked(), now)
    assert isinstance(told, FalseAlarm)
    assert told.paused_for == state.policy.longest_pause
