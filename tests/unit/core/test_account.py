"""What an account may do: limits hold, new chats are paced, bans are told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core.account import (
    ALLOWED,
    DAY,
    AccountLimits,
    Ban,
    ChatStanding,
    ReachOutPolicy,
    Refusal,
    lifted,
    limit_event,
    limited,
    may_start_chat,
    may_write,
    step,
)
from perene.core.account_codes import (
    BAN_MEANINGS,
    LIMIT_MEANINGS,
    ban_meaning,
    limit_meaning,
)
from perene.core.events import Event, EventType

pytestmark = pytest.mark.requirement("F10")

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICY = ReachOutPolicy()


def test_every_ban_code_has_a_meaning_and_so_has_an_unknown_one() -> None:
    assert set(BAN_MEANINGS) == {"101", "102", "103", "104", "105", "106"}
    assert Ban(code="104", until=None).meaning == ban_meaning("104") == BAN_MEANINGS["104"]
    assert ban_meaning("999") == ban_meaning(None) == BAN_MEANINGS["105"]


def test_every_limit_code_has_a_meaning_and_so_has_an_unknown_one() -> None:
    assert set(LIMIT_MEANINGS) == {"421", "463", "475", "479"}
    assert "777" in limit_meaning("777")


def test_a_refusal_with_463_may_be_for_want_of_a_token_but_a_lock_that_was_told_is_a_lock() -> None:
    assert "privacy token" in limit_meaning("463")
    assert "privacy token" not in limit_meaning("463", told=True)
    refused = limit_event("463", NOW, hold=DAY)
    told = limit_event("463", NOW, hold=DAY, told_until=NOW + DAY)
    assert refused.payload["meaning"] == limit_meaning("463")
    assert told.payload["meaning"] == limit_meaning("463", told=True)


def test_a_limit_holds_new_chats_for_its_time_and_no_longer() -> None:
    state = limited(AccountLimits(), "463", NOW, NOW + DAY)
    refused = may_start_chat(state, NOW + MINUTE, POLICY)
    assert (refused.refusal, refused.retry_after) == (Refusal.LIMITED, DAY - MINUTE)
    assert may_start_chat(state, NOW + DAY, POLICY).allowed


def test_only_who_has_not_answered_waits_for_the_end_of_a_limit() -> None:
    state = limited(AccountLimits(), "463", NOW, NOW + DAY)
    assert may_write(state, ChatStanding.ESTABLISHED, NOW, POLICY) is ALLOWED
    assert not may_write(state, ChatStanding.STARTED, NOW, POLICY).allowed
    assert not may_write(state, ChatStanding.NEW, NOW, POLICY).allowed


def test_another_refusal_prolongs_the_hold() -> None:
    state = limited(AccountLimits(), "463", NOW, NOW + DAY)
    state = limited(state, "475", NOW + MINUTE, NOW + MINUTE + DAY)
    assert state.limit is not None
    assert (state.limit.code, state.limit.until, state.limit.count) == (
        "475",
        NOW + MINUTE + DAY,
        2,
    )


def test_what_whatsapp_says_of_the_end_counts_more_than_the_hold() -> None:
    held = limited(AccountLimits(), "463", NOW, NOW + DAY)
    told = limited(held, "463", NOW + MINUTE, NOW + 3 * DAY, told=True)
    again = limited(told, "463", NOW + 2 * MINUTE, NOW + DAY)
    assert again.limit is not None
    assert again.limit.until == NOW + 3 * DAY
    sooner = limited(held, "463", NOW + MINUTE, NOW + 5 * MINUTE, told=True)
    assert may_start_chat(sooner, NOW + 5 * MINUTE, POLICY).allowed


def test_a_lifted_limit_is_over() -> None:
    state = lifted(limited(AccountLimits(), "463", NOW, NOW + DAY))
    assert may_start_chat(state, NOW, POLICY).allowed


def chat_started(state: AccountLimits, now: datetime) -> AccountLimits:
    """Begin a new chat."""
    return replace(state, started=(*state.started, now))


def test_the_allowance_slides_over_24_hours() -> None:
    policy = ReachOutPolicy(new_chats_per_day=2)
    state = chat_started(chat_started(AccountLimits(), NOW), NOW + MINUTE)
    refused = may_start_chat(state, NOW + 2 * MINUTE, policy)
    assert (refused.refusal, refused.retry_after) == (Refusal.ALLOWANCE, DAY - 2 * MINUTE)
    assert may_start_chat(state, NOW + DAY, policy).allowed
    assert may_write(state, ChatStanding.STARTED, NOW + 2 * MINUTE, policy).allowed


def test_new_chats_keep_their_distance() -> None:
    policy = ReachOutPolicy(new_chat_pause=10 * MINUTE)
    state = chat_started(AccountLimits(), NOW)
    refused = may_start_chat(state, NOW + MINUTE, policy)
    assert (refused.refusal, refused.retry_after) == (Refusal.PAUSE, 9 * MINUTE)
    assert may_start_chat(state, NOW + 10 * MINUTE, policy).allowed


def test_without_a_policy_new_chats_are_free() -> None:
    state = AccountLimits()
    for second in range(1000):
        state = chat_started(state, NOW + timedelta(seconds=second))
    assert not POLICY.paces
    assert may_start_chat(state, NOW + timedelta(seconds=1000), POLICY).allowed


@given(
    gaps=st.lists(st.integers(0, 200_000), max_size=40),
    most=st.integers(1, 5),
    pause=st.integers(0, 86_400),
)
def test_no_sequence_breaks_the_pace_and_every_refusal_ends_when_it_says(
    gaps: list[int], most: int, pause: int
) -> None:
    policy = ReachOutPolicy(new_chats_per_day=most, new_chat_pause=timedelta(seconds=pause))
    state, now, begun = AccountLimits(), NOW, list[datetime]()
    for gap in gaps:
        now += timedelta(seconds=gap)
        verdict = may_start_chat(state, now, policy)
        if verdict.allowed:
            state = chat_started(state, now)
            begun.append(now)
            continue
        assert verdict.retry_after > timedelta(0)
        later = now + verdict.retry_after
        after = may_start_chat(state, later, policy)
        assert after.allowed or after.refusal is not verdict.refusal
    for index, at in enumerate(begun):
        assert sum(1 for other in begun[: index + 1] if other > at - DAY) <= most
        assert not index or at - begun[index - 1] >= policy.new_chat_pause


def test_the_state_comes_back_from_stored_events() -> None:
    state = step(AccountLimits(), limit_event("463", NOW, hold=DAY, message_id="A"))
    assert state == limited(AccountLimits(refused={"A": NOW}), "463", NOW, NOW + DAY)
    told = limit_event("463", NOW + MINUTE, hold=DAY, told_until=NOW + 9 * DAY)
    state = step(state, told)
    assert state.limit is not None
    assert state.limit.until == NOW + 9 * DAY
    state = step(state, Event(type=EventType.SESSION_LIMIT_LIFTED, at=NOW))
    assert state == AccountLimits()


def test_a_ban_is_known_until_it_ends_or_the_account_connects() -> None:
    until = NOW + DAY
    event = Event(
        type=EventType.SESSION_BANNED,
        at=NOW,
        payload={"ban_code": "101", "until": until.isoformat()},
    )
    state = step(AccountLimits(), event)
    assert state.ban is not None
    assert state.banned(NOW) == state.ban
    assert state.ban.code == "101"
    assert state.banned(until) is None
    for_good = step(state, replace(event, payload={}))
    assert for_good.banned(NOW + 400 * DAY) is not None
    assert step(state, Event(type=EventType.SESSION_CONNECTED, at=NOW)).ban is None


def test_a_session_that_was_deleted_leaves_nothing_to_the_next_of_its_name() -> None:
    state = limited(AccountLimits(), "463", NOW, NOW + DAY)
    assert step(state, Event(type=EventType.SESSION_DELETED, at=NOW)) == AccountLimits()


@pytest.mark.parametrize("until", [None, 5, "soon"])
def test_an_event_that_cannot_be_read_limits_nothing(until: str | int | None) -> None:
    event = Event(type=EventType.SESSION_LIMITED, at=NOW, payload={"code": "463", "until": until})
    assert step(AccountLimits(), event) == AccountLimits()


def test_a_time_without_a_zone_is_utc() -> None:
    event = Event(
        type=EventType.SESSION_LIMITED,
        at=NOW,
        payload={"code": "463", "until": "2026-09-02T12:00:00"},
    )
    limit = step(AccountLimits(), event).limit
    assert limit is not None
    assert limit.until == NOW + DAY


YEAR = 365 * DAY


def test_a_hold_by_a_clock_that_was_ahead_ends_when_that_is_right() -> None:
    """It would last for as long as the clock was wrong: for decades."""
    ahead = limited(AccountLimits(), "463", NOW + 73 * YEAR, NOW + 73 * YEAR + DAY)
    assert ahead.held(NOW + 73 * YEAR) is not None
    assert ahead.held(NOW) is None
    again = limited(ahead, "463", NOW, NOW + DAY)
    assert again.held(NOW + DAY - MINUTE) is not None
    assert again.held(NOW + DAY) is None


def test_a_hold_outlives_a_clock_that_is_set_back_by_hours() -> None:
    state = limited(AccountLimits(), "463", NOW, NOW + DAY)
    assert state.held(NOW - timedelta(hours=23)) is not None


def test_the_end_that_whatsapp_named_stands_whatever_the_clock_was() -> None:
    state = limited(AccountLimits(), "463", NOW + YEAR, NOW + YEAR + 3 * DAY, told=True)
    assert state.held(NOW) is not None


def test_chats_that_were_begun_by_a_clock_that_was_ahead_use_up_no_allowance() -> None:
    policy = ReachOutPolicy(new_chats_per_day=1, new_chat_pause=timedelta(minutes=1))
    state = AccountLimits(started=(NOW + 73 * YEAR,))
    assert may_start_chat(state, NOW, policy).allowed
    assert not may_start_chat(replace(state, started=(NOW,)), NOW + MINUTE, policy).allowed
    back = NOW - timedelta(hours=1)
    assert not may_start_chat(replace(state, started=(NOW,)), back, policy).allowed
