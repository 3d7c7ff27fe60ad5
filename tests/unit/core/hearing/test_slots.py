"""Tables by the half hour: how often a session was away, and beside what it counts."""

import pytest

from perene.core.hearing.slots import OF_DAY, SLOT_H, Slots, Stretch, stretches

pytestmark = pytest.mark.requirement("F3")

FOR_EVER = 1e9
"""So long that nothing is forgotten."""


def lived(times: int, *, hours: float = SLOT_H, slots: Slots | None = None) -> Slots:
    """Return tables after so many passages of slot 7 in which the session was there."""
    slots = slots or Slots.empty(OF_DAY, memory_h=FOR_EVER)
    for _ in range(times):
        slots = slots.lived(7, 20.0, hours, judged=True)
    return slots


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_time_away_weighs_as_one_passage_among_all_that_are_remembered(times: int) -> None:
    away = lived(times).marked({7: 1.0})
    assert away.away[7] == pytest.approx(1 / (1 + times))
    assert away.marked({7: 0.5}).away[7] <= 1.0


def test_no_session_is_away_more_often_than_always() -> None:
    slots = lived(3)
    for _ in range(10):
        slots = slots.marked({7: 1.0})
    assert slots.away[7] == 1.0


def test_being_there_for_a_part_of_a_half_hour_tells_as_much_less_of_it() -> None:
    before = lived(3).marked({7: 1.0})
    whole = before.away[7] - lived(1, slots=before).away[7]
    part = before.away[7] - lived(1, hours=SLOT_H / 5, slots=before).away[7]
    more = before.away[7] - lived(1, hours=SLOT_H * 2, slots=before).away[7]
    assert whole == pytest.approx(before.away[7] / 4)
    assert part == pytest.approx(whole / 5)
    assert more == pytest.approx(whole)
    unjudged = before.lived(7, 0.0, SLOT_H, judged=False)
    assert unjudged.away[7] == before.away[7], "so little was expected that nothing is said"


@pytest.mark.parametrize("slot", [0, 7, OF_DAY - 1])
def test_a_session_may_be_away_beside_where_it_was_and_no_further(slot: int) -> None:
    slots = Slots.empty(OF_DAY, memory_h=FOR_EVER).marked({slot: 1.0})
    around = [slots.away_around(slot + OF_DAY + beside) for beside in range(-2, 3)]
    assert around == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_time_is_cut_at_the_half_hours() -> None:
    assert list(stretches(0.75, 1.0)) == [Stretch(1, 0.25)]
    assert list(stretches(0.75, 2.25)) == [
        Stretch(1, 0.25),
        Stretch(2, 0.5),
        Stretch(3, 0.5),
        Stretch(4, 0.25),
    ]
    assert list(stretches(0.75, 0.75)) == list(stretches(0.75, 0.5)) == []
