"""How much a missing answer is worth, learned from answers."""

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
    assert heard.first.missed > Replies().first.missed


def test_a_missing_receipt_of_a_connection_that_was_deaf_is_not_learned() -> None:
    replies = trial(Replies(), START, receipt=False)
    assert replies.forgotten() == Replies()


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
