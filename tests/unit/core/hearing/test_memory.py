"""What was learned is stored in a fixed size, and read back; nonsense is not believed."""

import base64
import functools
import json
import math
import random
import struct
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from perene.core.hearing import (
    Answered,
    Heard,
    Hearing,
    HearingPolicy,
    Opened,
    Probe,
    ProbeAnswered,
    Reopen,
    Sent,
    StanzaKind,
    Ticked,
    next_deadline,
    parse,
    recalled,
    serialize,
    step,
)
from perene.core.hearing.chances import Chance, Phone, Replies
from perene.core.hearing.questions import Questions
from tests.unit.core.hearing.test_machine import START

pytestmark = pytest.mark.requirement("F3")

SEED = 5
POLICY = HearingPolicy()


@functools.cache
def learned(days: int) -> Hearing:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    now = START
    state, _ = step(Hearing(policy=POLICY), Opened(), now)
    while now < START + timedelta(days=days):
        now += timedelta(seconds=rng.expovariate(1 / 300))
        state, _ = step(state, Sent(), now)
        state, _ = step(state, Heard(kind=StanzaKind.RECEIPT), now + timedelta(seconds=1))
        state, _ = step(state, Heard(kind=StanzaKind.MESSAGE), now + timedelta(seconds=2))
    return state


def knowing(days: int) -> Hearing:
    """Return a session that has learned something of everything."""
    state = learned(days)
    phone = Phone(first=Chance(answered=9.0, missed=2.0), again=Chance(answered=3.0, missed=7.0))
    return replace(
        state,
        habit=replace(state.habit, clump=7.5, long_silences=12),
        replies=Replies(
            first=Chance(answered=8.0, missed=2.0), next=Chance(answered=3.0, missed=4.0)
        ),
        questions=Questions(phone=phone),
        alarms=3,
        alarmed_at=START,
        quiet_until=START + timedelta(hours=1),
    )


def read(stored: bytes) -> Hearing:
    state = parse(stored, POLICY)
    assert state is not None
    return state


def test_a_session_that_is_read_back_expects_what_it_expected() -> None:
    state = learned(9)
    again = read(serialize(state))
    assert again.habit == state.habit
    assert (again.replies.first, again.replies.next) == (state.replies.first, state.replies.next)
    assert again.questions == state.questions
    assert serialize(again) == serialize(state)
    assert state.heard_at is not None
    later = state.heard_at + timedelta(minutes=5)
    assert next_deadline(step(again, Opened(), later)[0]) == next_deadline(
        step(state, Opened(), later)[0]
    )


def test_all_that_was_learned_is_read_back() -> None:
    state = knowing(1)
    again = read(serialize(state))
    assert (again.habit, again.replies, again.questions) == (
        state.habit,
        state.replies,
        state.questions,
    )
    assert (again.alarms, again.alarmed_at, again.quiet_until) == (
        state.alarms,
        state.alarmed_at,
        state.quiet_until,
    )


def test_what_the_first_version_stored_is_read() -> None:
    state = replace(
        learned(1), questions=Questions(phone=Phone(first=Chance(answered=9.0, missed=2.0)))
    )
    stored = serialize(state)
    numbers = 1 + 18 * 8
    first = b"\1" + stored[1:numbers] + stored[numbers + 4 * 8 :]
    assert read(first) == read(stored)


@pytest.mark.parametrize(
    ("version", "again", "evenness", "due"),
    [
        ("1", Chance(answered=2.0, missed=1.0), (0.03, 0), "13:10:17"),
        ("2", Chance(answered=3.0, missed=1.5), (0.03, 0), "13:10:17"),
        ("3", Chance(answered=3.0, missed=1.5), (0.2, 17), "13:43:14"),
    ],
)
def test_what_releases_stored_is_read(
    version: str, again: Chance, evenness: tuple[float, int], due: str
) -> None:
    """Nine days of a session that is heard by day, stored by the code of each version."""
    found = json.loads((Path(__file__).parent / "golden" / "memory.json").read_text("ascii"))
    stored = zlib.decompress(base64.b64decode(found[version]))
    state = read(stored)
    assert state.habit.usual == pytest.approx(2.0009, abs=1e-4)
    assert state.replies.first.answered == pytest.approx(49.9934, abs=1e-4)
    assert state.questions.phone == Phone(first=Chance(answered=9.0, missed=2.0), again=again)
    assert state.alarms == 2
    assert state.alarmed_at == datetime(2026, 1, 14, 8, 4, 8, 791174, tzinfo=UTC)
    assert state.quiet_until == datetime(2026, 1, 14, 11, 4, 8, 791174, tzinfo=UTC)
    opened, _ = step(state, Opened(), datetime(2026, 1, 19, 12, tzinfo=UTC))
    deadline = next_deadline(opened)
    assert deadline is not None
    assert f"{deadline:%X}" == due
    known = state.habit.evenness
    assert (known.variance, known.half_hours) == evenness
    if version == "3":
        assert serialize(state) == stored


def test_the_size_does_not_grow() -> None:
    sizes = {len(serialize(learned(days))) for days in (0, 1, 9)}
    assert len(sizes) == 1
    assert max(sizes) < 5000


@pytest.mark.parametrize("harm", ["nothing", "cut", "longer", "version", "not a number", "less"])
def test_what_cannot_be_read_is_told(harm: str) -> None:
    stored = serialize(learned(1))
    harmed = {
        "nothing": b"",
        "cut": stored[:-1],
        "longer": stored + b"\0",
        "version": b"\xff" + stored[1:],
        "not a number": stored[:-4] + b"\xff\xff\xff\x7f",
        "less": stored[:1] + b"\0\0\0\0\0\0\xf0\xbf" + stored[9:],
    }[harm]
    assert parse(harmed, POLICY) is None


def test_what_is_read_late_is_known_as_if_it_had_been_read_at_the_start() -> None:
    stored = read(serialize(knowing(9)))
    now = START + timedelta(days=9)
    at_the_start, _ = step(stored, Opened(), now)
    late, _ = step(Hearing(policy=POLICY), Opened(), now)
    assert recalled(late, stored) == at_the_start
    for _ in range(5):
        now += timedelta(minutes=5)
        late, _ = step(late, Heard(kind=StanzaKind.MESSAGE), now)
    late, _ = step(late, Sent(), now)
    known = recalled(late, stored)
    assert serialize(known) == serialize(stored), "of what was heard meanwhile nothing is learned"
    assert (known.silence, known.phase) == (late.silence, late.phase)
    assert (known.untaken, known.replies.began) == (1, now), "what is under way goes on"


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_false_alarm_counts_whether_it_was_before_or_while_nothing_was_known(
    meanwhile: bool,
) -> None:
    now = START + timedelta(days=9)
    earlier, later = now - timedelta(hours=1), now + timedelta(hours=1)
    once = replace(learned(9), alarms=1, alarmed_at=earlier, quiet_until=later)
    stored = read(serialize(once))
    present = Hearing(policy=POLICY)
    if meanwhile:
        present = replace(present, alarms=2, alarmed_at=now, quiet_until=now)
    known = recalled(present, stored)
    assert (known.alarms, known.alarmed_at, known.quiet_until) == (
        (3, now, later) if meanwhile else (1, earlier, later)
    )


def test_what_a_clock_that_was_ahead_has_put_off_is_near_when_it_is_read_late() -> None:
    ahead, now = START + timedelta(days=400), START + timedelta(days=9)
    stored = replace(learned(9), alarms=1, alarmed_at=ahead, quiet_until=ahead)
    at_the_start, _ = step(read(serialize(stored)), Opened(), now)
    late, _ = step(Hearing(policy=POLICY), Opened(), now)
    assert recalled(late, read(serialize(stored))) == at_the_start
    assert at_the_start.alarmed_at == now


def lives_on(state: Hearing) -> None:
    """Let a session hear and send for a while, fall silent, and be stored."""
    now = START
    state, _ = step(state, Opened(), now)
    for _ in range(40):
        now += timedelta(minutes=1)
        state, _ = step(state, Heard(kind=StanzaKind.MESSAGE), now)
        state, _ = step(state, Sent(), now)
        state, _ = step(state, Answered(), now)
        next_deadline(state)
    for _ in range(6):
        now = max(now, next_deadline(state) or now) + timedelta(seconds=1)
        state, effects = step(state, Ticked(), now)
        if effects == (Probe(ask_phone=True),):
            state, effects = step(state, ProbeAnswered(phone_asked=True), now)
        assert all(math.isfinite(one.doubt) for one in effects if isinstance(one, Reopen))
    assert len(serialize(state)) == SIZE


SIZE = len(serialize(Hearing()))
NUMBERS = [1 + 8 * number for number in range(22)]
TABLES = range(1 + 8 * 22, SIZE, 4)


@pytest.mark.parametrize("value", [0.0, 5e-324, 1e9, 1e13, 1e155])
def test_no_number_however_odd_stops_a_session(value: float) -> None:
    for at in NUMBERS:
        print(f"number at {at}")
        harmed = bytearray(serialize(learned(1)))
        struct.pack_into("<d", harmed, at, value)
        state = parse(bytes(harmed), POLICY)
        assert (state is None) is (value > 1e12)
        lives_on(state or Hearing(policy=POLICY))


def test_nobody_of_whom_no_answer_is_known_stops_a_session() -> None:
    harmed = bytearray(serialize(learned(1)))
    for at in NUMBERS[9:15] + NUMBERS[18:20]:
        struct.pack_into("<d", harmed, at, 0.0)
    lives_on(read(bytes(harmed)))


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e8, 3e38])
def test_no_table_however_odd_stops_a_session(value: float) -> None:
    harmed = bytearray(serialize(learned(1)))
    for at in TABLES:
        struct.pack_into("<f", harmed, at, value)
    state = parse(bytes(harmed), POLICY)
    assert (state is None) is (value > 1e12)
    lives_on(state or Hearing(policy=POLICY))


def test_no_session_is_read_to_be_away_more_often_than_always() -> None:
    harmed = bytearray(serialize(learned(1)))
    for at, away in zip(TABLES[-3:], (0.25, 5.0, 1.0), strict=True):
        struct.pack_into("<f", harmed, at, away)
    assert list(read(bytes(harmed)).habit.weeks.away[-3:]) == [0.25, 1.0, 1.0]


def test_bytes_of_any_kind_stop_no_session() -> None:
    print(f"seed {SEED}")
    rng, stored, readable = random.Random(SEED), serialize(learned(1)), 0
    for _ in range(60):
        harmed = bytearray(stored)
        for _ in range(rng.choice((1, 2, 5))):
            harmed[rng.randrange(1, SIZE)] ^= 1 << rng.randrange(8)
        state = parse(bytes(harmed), POLICY)
        if state is not None:
            readable += 1
            lives_on(state)
    assert readable > 10, "most of what is harmed cannot be told from what is not"
