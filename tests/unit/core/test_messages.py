"""How far a message has come, and the ids of our own."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core.messages import Status, advances, new_message_id

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)

# Every move of an own message that is made; all others are refused.
MOVES = {
    Status.RECEIVED: set[Status](),
    Status.QUEUED: {
        Status.FAILED,
        Status.SENT,
        Status.DELIVERED,
        Status.READ,
        Status.PLAYED,
    },
    Status.SENT: {Status.DELIVERED, Status.READ, Status.PLAYED},
    Status.FAILED: {Status.DELIVERED, Status.READ, Status.PLAYED},
    Status.DELIVERED: {Status.READ, Status.PLAYED},
    Status.READ: {Status.PLAYED},
    Status.PLAYED: set[Status](),
}


@pytest.mark.parametrize("old", Status)
@pytest.mark.parametrize("new", Status)
def test_a_status_moves_as_the_table_says(old: Status, new: Status) -> None:
    assert advances(old, new) is (new in MOVES[old])


@given(st.lists(st.sampled_from(Status), max_size=12))
def test_receipts_in_any_order_never_take_a_status_back(receipts: list[Status]) -> None:
    seen = [Status.QUEUED]
    for receipt in receipts:
        if advances(seen[-1], receipt):
            seen.append(receipt)
    assert len(seen) == len(set(seen))
    for position, later in enumerate(seen):
        assert all(not advances(later, earlier) for earlier in seen[: position + 1])


@given(st.lists(st.sampled_from([Status.DELIVERED, Status.READ, Status.PLAYED]), min_size=1))
def test_receipts_lead_to_the_same_status_in_whatever_order(receipts: list[Status]) -> None:
    def end_of(order: list[Status]) -> Status:
        status = Status.SENT
        for receipt in order:
            status = receipt if advances(status, receipt) else status
        return status

    assert end_of(receipts) is end_of(receipts[::-1]) is end_of(sorted(receipts))


def test_a_failed_message_was_delivered_after_all_when_its_receipt_comes() -> None:
    assert advances(Status.FAILED, Status.DELIVERED)


def test_a_message_that_the_server_accepted_cannot_fail_any_more() -> None:
    assert not advances(Status.SENT, Status.FAILED)


@given(
    st.text(alphabet="0123456789", min_size=1, max_size=20),
    st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # st.datetimes takes naive bounds
)
def test_an_own_message_id_has_the_shape_of_whatsapp_web(own_user: str, now: datetime) -> None:
    assert re.fullmatch(r"3EB0[0-9A-F]{18}", new_message_id(own_user, now))


def test_ids_of_the_same_moment_and_number_differ() -> None:
    made = {new_message_id("5511900000001", NOW) for _ in range(2000)}
    assert len(made) == 2000
