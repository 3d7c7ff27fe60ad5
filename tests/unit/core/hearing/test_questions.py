"""What the own phone was asked, what it did not answer, and what that says of it."""

from datetime import UTC, datetime, timedelta

import pytest

from perene.core.hearing.questions import Questions

pytestmark = pytest.mark.requirement("F3")

NOW = datetime(2026, 9, 7, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def asked(*times: datetime, heard_at: datetime = NOW) -> Questions:
    """Return what is known after questions at these times of one silence, none answered."""
    questions = Questions()
    for time in times:
        questions = questions.put(time, heard_at=heard_at)
    return questions


def test_a_question_that_was_never_answered_although_something_came_says_how_the_phone_is() -> None:
    before = asked(NOW + MINUTE, NOW + 2 * MINUTE)
    assert before.phone == Questions().phone, "nothing could be heard meanwhile"
    after = before.put(NOW + 10 * MINUTE, heard_at=NOW + 9 * MINUTE)
    assert after.phone == Questions().phone.after(2, answered=False)
    assert after.missed == 0, "the new silence has missed none yet"


def test_what_was_tried_in_one_suspicion_is_not_counted_in_the_next() -> None:
    questions = Questions()
    for number in range(3):
        questions = questions.trying(NOW, anew=not number, ask=True)
    assert questions.tried == 3
    assert questions.trying(NOW, anew=False, ask=False).tried == 3
    assert questions.trying(NOW, anew=True, ask=False).tried == 0
    assert questions.trying(NOW, anew=True, ask=True).tried == 1


def test_a_phone_that_was_not_asked_is_blamed_for_nothing() -> None:
    assert Questions().unanswered() == Questions()
    assert Questions().nats(NOW, None) == 0.0


def test_only_what_lies_in_the_future_is_taken_back() -> None:
    questions = asked(NOW).trying(NOW, anew=True, ask=True)
    assert questions.set_back(NOW) == questions
    assert questions.set_back(NOW + MINUTE) == questions
    earlier = questions.set_back(NOW - MINUTE)
    assert earlier.asked is None, "its answer would be awaited until then"
    assert (earlier.last, earlier.tried_at) == (NOW - MINUTE, NOW - MINUTE)
