"""What the made-up traffic of the measurement of deaf connections promises of itself."""

import itertools
import random
from datetime import timedelta

import pytest

from bench.deaf_traffic import MODELS, START, Kind, Traffic

pytestmark = pytest.mark.requirement("F3")

SEED = 3
DAYS = 28


@pytest.mark.parametrize("name", MODELS)
def test_as_much_is_due_as_comes(name: str) -> None:
    print(f"seed {SEED}")
    traffic = Traffic(name, random.Random(SEED), timedelta(days=DAYS))
    came = [one.at for one in traffic if one.kind is not Kind.SENT]
    assert came == sorted(came)
    bursts = 1 + sum(
        later - sooner > timedelta(minutes=5) for sooner, later in itertools.pairwise(came)
    )
    counted = bursts if name == "bursty" else len(came)
    expected = 0.85 * counted
    sure_at = traffic.sure_at(START, expected)
    assert sure_at is not None
    assert 0.7 * DAYS < (sure_at - START) / timedelta(days=1) < DAYS
    assert traffic.sure_at(START, 1.5 * counted) is None


def test_nothing_is_due_while_nothing_usually_comes() -> None:
    traffic = Traffic("slow", random.Random(SEED), timedelta(days=3))
    list(traffic)
    evening = START + timedelta(hours=23)
    sure_at = traffic.sure_at(evening, 1.0)
    assert sure_at is not None
    assert timedelta(hours=7) < sure_at - evening - timedelta(minutes=20) < timedelta(hours=12)
    assert traffic.sure_at(sure_at, 3.0) == sure_at + timedelta(hours=1)
