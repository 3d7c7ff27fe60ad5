"""Privacy tokens are good for four weeks by the week, and given anew once a week."""

from datetime import UTC, datetime, timedelta

import pytest

from perene.core.privacy_tokens import PrivacyToken, TokenLife

WEEK = timedelta(days=7)
MONDAY = datetime.fromtimestamp(2900 * 7 * 86_400, UTC)
"""The first moment of a bucket."""

TOKEN = PrivacyToken(person="1@lid", token=b"t", given_at=MONDAY + timedelta(days=3))
pytestmark = pytest.mark.requirement("F10")


def test_a_token_is_good_in_its_week_and_the_three_after() -> None:
    assert TOKEN.usable(MONDAY + 4 * WEEK - timedelta(seconds=1)) == b"t"
    assert TOKEN.usable(MONDAY + 4 * WEEK) is None


def test_a_token_is_good_for_as_long_as_the_server_says() -> None:
    life = TokenLife.told(86_400, 26)
    assert TOKEN.usable(MONDAY + timedelta(days=29) - timedelta(seconds=1), life) == b"t"
    assert TOKEN.usable(MONDAY + timedelta(days=29), life) is None


@pytest.mark.parametrize(
    ("told", "life"),
    [
        ((None, None), (604_800, 4)),
        ((604_800, 26), (604_800, 26)),
        ((366 * 86_400, 520), (366 * 86_400, 520)),
        ((0, 0), (604_800, 4)),
        ((366 * 86_400 + 1, 521), (604_800, 4)),
        ((1, 1), (1, 1)),
    ],
)
def test_what_the_server_does_not_say_or_makes_no_sense_is_as_usual(
    told: tuple[int | None, int | None], life: tuple[int, int]
) -> None:
    found = TokenLife.told(*told)
    assert (found.bucket_s, found.buckets) == life


def test_nothing_is_shown_where_nothing_was_given() -> None:
    assert PrivacyToken(person="1@lid").usable(MONDAY) is None
    assert PrivacyToken(person="1@lid", sent_at=MONDAY).usable(MONDAY) is None


def test_ours_is_due_once_a_week() -> None:
    assert PrivacyToken(person="1@lid").is_due(MONDAY)
    given = PrivacyToken(person="1@lid", sent_at=MONDAY)
    assert not given.is_due(MONDAY + WEEK - timedelta(seconds=1))
    assert given.is_due(MONDAY + WEEK)
    assert given.is_held(MONDAY + 4 * WEEK - timedelta(seconds=1))
    assert not given.is_held(MONDAY + 4 * WEEK)


def test_a_change_keeps_what_it_does_not_name_and_an_older_token_changes_nothing() -> None:
    ours = TOKEN.changed(PrivacyToken(person="1@lid", sent_at=MONDAY))
    assert (ours.token, ours.given_at, ours.sent_at) == (b"t", TOKEN.given_at, MONDAY)
    older = ours.changed(PrivacyToken(person="", token=b"old", given_at=MONDAY))
    assert older == ours
    newer = ours.changed(PrivacyToken(person="", token=b"new", given_at=MONDAY + WEEK))
    assert (newer.person, newer.token, newer.sent_at) == ("1@lid", b"new", MONDAY)


def test_one_that_was_given_by_a_clock_that_was_ahead_is_given_again() -> None:
    given = PrivacyToken(person="1@lid", sent_at=MONDAY + 3000 * WEEK)
    assert given.is_due(MONDAY)
    assert not given.is_held(MONDAY)
