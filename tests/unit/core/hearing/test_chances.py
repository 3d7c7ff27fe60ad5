"""How much a missing answer is worth, learned from answers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from perene.core.hearing.chances import Chance, Replies

pytestmark = pytest.mark.requirement("F3")

START = datetime(2026, 9, 7, 9, tzinfo=UTC)
WITHIN = timedelta(seconds=30)


def test_who_always_answers_is_missed_more_than_who_often_does_not() -> None:
    reliable = hazy = Chance(answered=1.0, missed=1.0)
    for number in range(40):
        reliable = reliable.after(answered=True)
        hazy = hazy.after(answered=number % 3 != 0)
    assert reliable.nats > 3 > 2 > hazy.nats > 0.5


def test_no_missing_answer_is_worth_more_than_its_bound() -> None:
    chance = Chance(answered=1.0, missed=1.0)
    for _ in range(10_000):
        chance = chance.after(answered=True)
    assert chance.nats <= 3.5


def test_who_never_answers_is_not_missed() -> None:
    chance = Chance(answered=4.0, missed=1.0)
    for _ in range(100):
        chance = chance.after(answered=False)
    assert chance.nats < 0.1


@pytest.mark.parametrize("answered", [False, True])
def test_nobody_is_taken_to_answer_always_or_never(answered: bool) -> None:
    chance = Chance(answered=1.0, missed=1.0)
    for _ in range(10_000):
        chance = chance.after(answered=answered)
    surprised = chance.after(answered=not answered)
    assert min(surprised.answered, surprised.missed) == pytest.approx(1.05)


def trial(replies: Replies, now: datetime, *, receipt: bool) -> Replies:
    """Send a message, and let its time pass."""
    replies = replies.sent(now)
    if receipt:
        return replies.receipt()
    return replies.passed(now + WITHIN, WITHIN)


def test_receipts_that_stop_coming_add_up() -> None:
    replies, now = Replies(), START
    for _ in range(40):
        replies, now = trial(replies, now, receipt=True), now + WITHIN
    found = [replies.nats]
    for _ in range(8):
        replies, now = trial(replies, now, receipt=False), now + WITHIN
        found.append(replies.nats)
    assert found[0] == 0.0
    assert all(before < after for before, after in pairwise(found))
    assert found[-1] > found[1] + 2


def test_a_missing_receipt_is_learned_once_something_was_heard() -> None:
    replies = trial(Replies(), START, receipt=False)
    assert replies.first == Replies().first
    heard = replies.heard()
    assert heard.nats == 0.0
    assert (heard.first, heard.next) == (
        Replies().first.after(answered=False),
        Replies().next,
    )
    assert heard.heard() == heard, "once"


def test_a_missing_receipt_of_a_connection_that_was_deaf_is_not_learned() -> None:
    replies = trial(Replies(), START, receipt=False)
    assert replies.forgotten() == Replies()


@pytest.mark.parametrize("away", [False, True])
def test_each_missing_receipt_counts_and_the_first_by_whether_one_was_missing_before(
    away: bool,
) -> None:
    replies = replace(Replies(), next=Chance(answered=5.0, missed=2.0), failed_last=away)
    for number in range(3):
        replies = trial(replies, START + number * WITHIN, receipt=False)
    first = replies.next if away else replies.first
    assert replies.nats == pytest.approx(first.nats + 2 * replies.next.nats)


def test_another_connection_awaits_no_receipt_of_the_one_before() -> None:
    assert Replies().sent(START).forgotten() == Replies()
    missed = trial(Replies(), START, receipt=False)
    assert missed.sent(START).interrupted() == missed, "what was missed is to be explained yet"


def test_a_peer_that_is_back_is_expected_to_answer_again() -> None:
    away = trial(Replies(), START, receipt=False).heard()
    assert away.failed_last
    back = trial(away, START, receipt=True)
    assert back.next.answered > away.next.answered
    assert not back.failed_last


def test_many_messages_at_once_are_one_trial() -> None:
    replies = Replies()
    for number in range(50):
        replies = replies.sent(START + timedelta(seconds=number / 10))
    assert replies.passed(START + WITHIN, WITHIN).missed == 1


def test_a_peer_that_is_out_of_reach_is_expected_to_stay_so() -> None:
    replies, now = Replies(), START
    for number in range(60):
        replies, now = trial(replies, now, receipt=number % 10 < 5).heard(), now + WITHIN
    once = trial(trial(replies, now, receipt=True), now, receipt=False)
    again = trial(once.heard(), now, receipt=False)
    assert again.nats < once.nats
