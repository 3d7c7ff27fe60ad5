"""The ids that are made here, and the catalogue of events."""

import re
from datetime import UTC, datetime

import pytest

from perene.core.events import DESCRIPTIONS, Event, EventType
from perene.core.ids import new_event_id, new_session_id

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


def test_a_session_id_is_short_enough_to_be_typed() -> None:
    assert re.fullmatch(r"s_[0-9a-f]{16}", new_session_id())


def test_an_event_id_can_be_told_from_a_session_id() -> None:
    assert re.fullmatch(r"evt_[0-9a-f]{24}", new_event_id())


def test_ids_do_not_repeat() -> None:
    assert len({new_session_id() for _ in range(2000)}) == 2000
    assert len({new_event_id() for _ in range(2000)}) == 2000


def test_every_event_has_an_id_of_its_own_which_it_keeps() -> None:
    first = Event(type=EventType.SESSION_CREATED, at=NOW)
    second = Event(type=EventType.SESSION_CREATED, at=NOW)
    assert first.id != second.id
    assert first.id == first.id
    assert first != second


@pytest.mark.parametrize("kind", EventType)
def test_every_kind_of_event_is_described_in_one_sentence(kind: EventType) -> None:
    sentence = DESCRIPTIONS[kind]
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_nothing_is_described_that_is_not_an_event() -> None:
    assert DESCRIPTIONS.keys() == set(EventType)


@pytest.mark.parametrize("kind", EventType)
def test_the_name_of_an_event_begins_with_what_it_is_about(kind: EventType) -> None:
    assert re.fullmatch(r"(session|message|peer|database)(\.[a-z0-9_]+)+", kind.value)
