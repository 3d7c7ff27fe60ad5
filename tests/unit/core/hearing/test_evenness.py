"""The present and the usual: how far they differ, and when that is believed."""

import random

import pytest

from perene.core.hearing.evenness import LEAST_VARIANCE, Evenness, Tally

pytestmark = pytest.mark.requirement("F3")

SEED = 12
EVEN = Evenness(variance=0.002)
UNEVEN = Evenness(variance=0.25)


def of_late(known: Evenness, heard: float, expected: float) -> Evenness:
    return Evenness(variance=known.variance, recent=Tally(heard, expected))


def lived(count: int, *, shape: float, clump: int = 1) -> Evenness:
    """Return what is known after so many half hours with 100 messages in the mean."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    known = Evenness()
    for _ in range(count):
        rate = 100 * rng.gammavariate(shape, 1 / shape) / clump
        events = sum(1 for _ in range(1000) if rng.random() < rate / 1000)
        known = known.after(float(events * clump), 100.0, float(clump))
    return known


def test_the_less_even_a_session_is_the_sooner_the_present_is_believed() -> None:
    levels = [of_late(known, 40, 20).level(1.0) for known in (EVEN, Evenness(), UNEVEN)]
    assert levels == sorted(levels)
    assert levels[0] < 1.1
    assert levels[-1] > 1.7


def test_nothing_of_late_is_as_usual() -> None:
    assert UNEVEN.level(1.0) == EVEN.level(1.0) == 1.0


def test_much_less_than_usual_is_believed_even_of_an_even_session() -> None:
    assert of_late(EVEN, 5, 20).level(1.0) < 0.4
    assert of_late(EVEN, 14, 20).level(1.0) > 0.95


def test_little_is_not_much_less_for_what_comes_in_bursts() -> None:
    assert of_late(EVEN, 5, 20).level(30.0) > 0.95


def test_what_came_long_ago_is_not_of_late() -> None:
    known = UNEVEN.went_by(0.1, 20.0, 60.0, 1.0)
    assert known.level(1.0) > 2
    assert known.went_by(6.0, 1.0, 1.0, 1.0).level(1.0) == pytest.approx(1.0, abs=0.05)
    assert known.went_by(0.2, 100.0, 100.0, 1.0).level(1.0) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(("shape", "least", "most"), [(1e6, 0.0, 0.01), (4.0, 0.15, 0.4)])
def test_how_much_half_hours_vary_is_learned(shape: float, least: float, most: float) -> None:
    assert least < lived(100, shape=shape).variance < most


def test_what_comes_together_by_nature_is_not_taken_for_uneven() -> None:
    assert lived(200, shape=1e6, clump=5).variance < 0.05


def test_being_away_and_a_single_outlier_say_little() -> None:
    known = lived(100, shape=1e6)
    assert known.after(0.0, 100.0, 1.0) == known
    assert known.after(3000.0, 100.0, 1.0).variance < 1.1 * known.variance + 0.001
    assert known.after(1.0, 5.0, 1.0) == known


def test_more_than_that_is_never_believed() -> None:
    assert of_late(UNEVEN, 10_000, 1).level(1.0) == 4.0


def test_a_session_that_is_even_no_longer_is_known_to_be_so_in_some_weeks() -> None:
    known = Evenness()
    for _ in range(3000):
        known = known.after(100.0, 100.0, 1.0)
    for number in range(400):
        known = known.after(150.0 if number % 2 else 50.0, 100.0, 1.0)
    assert known.variance > 0.1


def test_no_session_is_taken_to_be_so_even_that_nothing_is_chance() -> None:
    known = Evenness()
    for _ in range(1000):
        known = known.after(100.0, 100.0, 1.0)
    assert known.variance == LEAST_VARIANCE


def test_what_comes_in_bursts_is_counted_in_bursts() -> None:
    clump = 30.0
    known = UNEVEN.went_by(0.1, 300.0, 600.0, clump)
    assert known.known(clump) == UNEVEN.known(clump) + 20, "as many as there were bursts"
    assert known.went_by(0.1, 100.0, 100.0, clump).level(clump) > 1.3, "they are of late still"
    assert known.after(250.0, 200.0, clump) == known, "so few say nothing"
    assert of_late(EVEN, 30, 600).level(clump) == pytest.approx(60 / 630)
