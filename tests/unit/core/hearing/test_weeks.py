"""Weeks of made-up traffic, with seeds that the policy was not made by (see bench/deaf.py).

The bounds are those of requirement F3: within two minutes of expected traffic, without false
restarts. A part of what `make bench ARGS="--only deaf"` measures, small enough for every run.
"""

import random
from datetime import timedelta

import pytest

from bench.deaf import Session, run_deaf, run_quiet
from bench.deaf_findings import Findings
from bench.deaf_phone import Habits, Phone
from bench.deaf_traffic import START, Traffic
from perene.core.hearing import HearingPolicy

pytestmark = pytest.mark.requirement("F3")

SEEDS = (201, 202, 203)
POLICY = HearingPolicy()
TWO_MINUTES_S = 120.0


def quiet(name: str, *, days: int, phone: Habits = Habits.ANSWERS) -> Findings:
    print(f"seeds {SEEDS}")
    found = Findings()
    for seed in SEEDS:
        found.add(run_quiet(name, seed=seed, days=days, policy=POLICY, phone=phone))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_a_busy_session_that_turns_deaf_in_its_hours_is_noticed_in_two_minutes(seed: int) -> None:
    found = run_deaf("busy", seed=seed, days=17, policy=POLICY, every=timedelta(hours=3))
    working = sorted(one.after_s for one in found.noticed if one.in_working_hours)
    print(f"noticed after {working} s")
    assert len(working) >= 3
    assert working[len(working) // 2] < TWO_MINUTES_S
    assert found.confirmed == found.reopened_deaf


@pytest.mark.parametrize(
    ("name", "days", "every"),
    [
        ("busy", 20, timedelta(hours=6)),
        ("uneven", 20, timedelta(hours=6)),
        ("slow", 40, timedelta(days=1)),
        ("silent", 80, timedelta(days=4)),
        ("bursty", 40, timedelta(days=1)),
        ("notifier", 20, timedelta(hours=12)),
    ],
)
def test_deafness_is_noticed_within_two_minutes_of_expected_traffic(
    name: str, days: int, every: timedelta
) -> None:
    print(f"seed {SEEDS[0]}")
    found = run_deaf(name, seed=SEEDS[0], days=days, policy=POLICY, every=every)
    late = sorted(one.late_s for one in found.noticed)
    print(f"after traffic was expected: {late} s")
    assert len(late) >= 5
    assert sum(one.in_time for one in found.noticed) >= 0.9 * len(late)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_turns_deaf_before_a_day_begins_is_noticed_minutes_after_it_has(seed: int) -> None:
    """The phone has explained that the day is late, perhaps, just before it begins."""
    found, early = Findings(), START + timedelta(days=15, hours=7)
    traffic = Traffic("busy", random.Random(f"{seed} busy morning"), timedelta(days=16))
    phone = Phone(Habits.ANSWERS, f"{seed} phone", START)
    session = Session(POLICY, found, phone, traffic)
    for one in traffic:
        session.until(one.at)
        session.deaf |= one.at >= early and not found.noticed
        session.happen(one)
    [noticed] = found.noticed
    print(f"seed {seed}: {noticed.late_s:.0f} s after traffic was expected")
    assert noticed.late_s < 600


@pytest.mark.parametrize("name", ["busy", "uneven"])
def test_a_new_session_is_seldom_reopened_for_weekends_that_are_not_known_yet(name: str) -> None:
    assert quiet(name, days=13).false_early <= len(SEEDS)


@pytest.mark.parametrize("name", ["slow", "silent"])
def test_who_has_little_traffic_is_left_alone(name: str) -> None:
    assert quiet(name, days=60).false_at == []


def test_a_day_without_its_bursts_is_no_reason_when_the_phone_explains_it() -> None:
    assert quiet("bursty", days=28, phone=Habits.ALWAYS_ANSWERS).false_at == []


@pytest.mark.parametrize("name", ["slow", "silent", "bursty"])
def test_no_connection_whose_phone_answers_is_deaf_for_long_however_little_comes(name: str) -> None:
    print(f"seed {SEEDS[0]}")
    found = run_deaf(name, seed=SEEDS[0], days=40, policy=POLICY, every=timedelta(days=1))
    times = sorted(one.after_s for one in found.noticed)
    print(f"noticed after {times} s")
    assert len(times) >= 5
    assert times[len(times) // 2] < 2.5 * 3600
    assert times[-1] < 9 * 3600


def test_who_only_sends_is_noticed_by_missing_receipts() -> None:
    found = run_deaf("notifier", seed=SEEDS[0], days=20, policy=POLICY, every=timedelta(hours=12))
    assert len(found.noticed) >= 4
    assert sorted(one.after_s for one in found.noticed)[len(found.noticed) // 2] < 3600
