"""Noticing deaf connections: the machine of `core.hearing` against weeks of made-up traffic.

Nothing is simulated but arrivals and what the server does with them: a deaf connection swallows
what it should deliver, a reopening costs `_REOPENING` and brings what was kept. Runs in seconds.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from perene.core.hearing import (
    Closed,
    Confirmed,
    FalseAlarm,
    Heard,
    Hearing,
    HearingEffect,
    HearingEvent,
    HearingPolicy,
    Opened,
    Probe,
    ProbeAnswered,
    Reopen,
    StanzaKind,
    Ticked,
    next_deadline,
    step,
)

START = datetime(2026, 9, 7, tzinfo=UTC)
"""A Monday."""
_PROBE = timedelta(seconds=0.3)
_REOPENING = timedelta(seconds=2)
_LEARNING = timedelta(days=7)
"""The first week is told apart: a session that is not known yet raises more false alarms."""
_MONTH_S = 30 * 86_400.0

Arrivals = Callable[[random.Random, timedelta], Iterator[datetime]]


def busy(rng: random.Random, length: timedelta) -> Iterator[datetime]:
    """A message every 10 s on weekdays from about 8 to about 22 h, one an hour else."""
    for day in _days(length):
        works = day.weekday() < 5
        opens = day + timedelta(hours=8 + rng.gauss(0, 0.2))
        closes = day + timedelta(hours=22 + rng.gauss(0, 0.3))
        if works:
            yield from _poisson(rng, day, opens, 3600)
            yield from _poisson(rng, opens, closes, 10)
            yield from _poisson(rng, closes, day + timedelta(days=1), 3600)
        else:
            yield from _poisson(rng, day, day + timedelta(days=1), 3600)


def slow(rng: random.Random, length: timedelta) -> Iterator[datetime]:
    """A message every 20 min from about 8 to about 22 h, none at night."""
    for day in _days(length):
        opens = day + timedelta(hours=8 + rng.gauss(0, 0.5))
        closes = day + timedelta(hours=22 + rng.gauss(0, 0.5))
        yield from _poisson(rng, opens, closes, 1200)


def silent(rng: random.Random, length: timedelta) -> Iterator[datetime]:
    """One message a day, at any time."""
    yield from _poisson(rng, START, START + length, 86_400)


def bursty(rng: random.Random, length: timedelta) -> Iterator[datetime]:
    """Bursts of about 30 messages within minutes, about every two hours of the day."""
    last = START
    for day in _days(length):
        opens, closes = day + timedelta(hours=7), day + timedelta(hours=23)
        for begin in _poisson(rng, opens, closes, 7200):
            moment = max(begin, last)
            for _ in range(1 + int(rng.expovariate(1 / 30))):
                moment += timedelta(seconds=rng.expovariate(1 / 5))
                yield moment
            last = moment


MODELS: Mapping[str, Arrivals] = {"busy": busy, "slow": slow, "silent": silent, "bursty": bursty}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """A deafness that was noticed: its first message, how long after that, how many by then."""

    first_missed: datetime
    after_s: float
    missed: int

    @property
    def in_working_hours(self) -> bool:
        """Whether a busy session was in the middle of its day."""
        return self.first_missed.weekday() < 5 and 9 <= self.first_missed.hour < 21


@dataclass(slots=True, kw_only=True)
class Findings:
    """What one model gave. Times in seconds."""

    months: float = 0.0
    first_weeks: float = 0.0
    false_first_week: int = 0
    false_later: int = 0
    deaf: int = 0
    unnoticed: int = 0
    noticed: list["Noticed"] = field(default_factory=list["Noticed"])

    @property
    def false_per_month(self) -> float:
        """False restarts in a session-month, the first week left out."""
        return self.false_later / self.months if self.months else 0.0


class _Session:
    """One session: its machine, and a server that may be deaf towards it."""

    def __init__(self, policy: HearingPolicy, found: Findings) -> None:
        self.state = Hearing(policy=policy)
        self.found = found
        self.deaf = False
        self.kept: list[datetime] = []
        self.reopenings = 0
        self._step(Opened(), START)

    def until(self, moment: datetime) -> None:
        """Let all happen that time brings before this moment."""
        while (due := next_deadline(self.state)) is not None and due <= moment:
            self._step(Ticked(), due)
            if next_deadline(self.state) == due:
                self._step(Ticked(), due + timedelta(milliseconds=1))
                return

    def arrive(self, moment: datetime) -> None:
        if self.deaf:
            self.kept.append(moment)
        else:
            self._step(Heard(kind=StanzaKind.MESSAGE), moment)

    def _step(self, event: HearingEvent, now: datetime) -> None:
        self.state, effects = step(self.state, event, now)
        for effect in effects:
            self._perform(effect, now)

    def _perform(self, effect: HearingEffect, now: datetime) -> None:
        match effect:
            case Probe():
                self._step(ProbeAnswered(), now + _PROBE)
            case Reopen():
                self._reopen(now)
            case FalseAlarm():
                if now - START < _LEARNING:
                    self.found.false_first_week += 1
                else:
                    self.found.false_later += 1
            case Confirmed():
                pass

    def _reopen(self, now: datetime) -> None:
        self.reopenings += 1
        self._step(Closed(), now)
        was_deaf, self.deaf = self.deaf, False
        back = now + _REOPENING
        kept, self.kept = self.kept, []
        if was_deaf and kept:
            after_s = (now - kept[0]).total_seconds()
            self.found.noticed.append(
                Noticed(first_missed=kept[0], after_s=after_s, missed=len(kept))
            )
        self._step(Opened(), back)
        for queued in kept:
            stamp = queued.replace(microsecond=0)
            self._step(Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=stamp), back)


def run_quiet(name: str, *, seed: int, days: int, policy: HearingPolicy, found: Findings) -> None:
    """Let a session live that never turns deaf, and count its false restarts."""
    rng = random.Random(f"{seed} {name}")
    length = timedelta(days=days)
    session = _Session(policy, found)
    for moment in MODELS[name](rng, length):
        session.until(moment)
        session.arrive(moment)
    session.until(START + length)
    found.months += max(0.0, (length - _LEARNING).total_seconds()) / _MONTH_S
    found.first_weeks += min(length, _LEARNING) / _LEARNING


def run_deaf(name: str, *, seed: int, days: int, policy: HearingPolicy, found: Findings) -> None:
    """Let a session turn deaf every few days, at random times, and measure until it is noticed."""
    rng = random.Random(f"{seed} {name} deaf")
    every = 3 * 86_400.0 if name != "silent" else 40 * 86_400.0
    counted = Findings()
    session = _Session(policy, counted)
    turns = START + _LEARNING + timedelta(seconds=rng.expovariate(1 / every))
    for moment in MODELS[name](rng, timedelta(days=days)):
        session.until(moment)
        if not session.deaf and moment >= turns:
            # It turns deaf between two messages; the next is the first that it misses.
            session.deaf = True
            found.deaf += 1
            turns = moment + timedelta(seconds=rng.expovariate(1 / every))
        session.arrive(moment)
        if session.deaf:
            turns = max(turns, moment + timedelta(hours=6))
    found.unnoticed += session.deaf
    found.noticed += counted.noticed


def measure(
    *, seed: int, days: int, sessions: int, policy: HearingPolicy | None = None
) -> Mapping[str, Findings]:
    """Return the findings of every model over `sessions` sessions of `days` days each."""
    results: dict[str, Findings] = {}
    for name in MODELS:
        found = Findings()
        # A silent session needs long to be measured, and costs nothing to simulate.
        length, many = (days, sessions) if name in ("busy", "bursty") else (days * 4, sessions * 2)
        for number in range(many):
            for run in (run_quiet, run_deaf):
                run(
                    name,
                    seed=seed + number,
                    days=length,
                    policy=policy or HearingPolicy(),
                    found=found,
                )
        results[name] = found
    return results


def table(results: Mapping[str, Findings], *, seed: int) -> list[str]:
    """Return the table for docs/benchmarks.md."""
    lines = [
        f"Seed {seed}. Times run from the first message that was not delivered to the reopening.",
        "",
        "| traffic | session-months | false restarts a month | in the first week |",
        "|---|---:|---:|---:|",
    ]
    for name, found in results.items():
        first = found.false_first_week / found.first_weeks if found.first_weeks else 0.0
        lines.append(f"| {name} | {found.months:.0f} | {found.false_per_month:.2f} | {first:.1f} |")
    lines += [
        "",
        "| traffic | deaf | noticed after, median | p99 | messages missed, median | p99 |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in results.items():
        lines += _noticed(name, found)
    return lines


def _noticed(name: str, found: Findings) -> list[str]:
    if name != "busy":
        return [_row(name, found.noticed)]
    working = [one for one in found.noticed if one.in_working_hours]
    other = [one for one in found.noticed if not one.in_working_hours]
    return [_row("busy, 9 to 21 h", working), _row("busy, nights and weekends", other)]


def _row(name: str, noticed: Sequence[Noticed]) -> str:
    times, missed = [one.after_s for one in noticed], [float(one.missed) for one in noticed]
    return (
        f"| {name} | {len(noticed)} | {_time(share_of(times, 0.5))} | "
        f"{_time(share_of(times, 0.99))} | {share_of(missed, 0.5):.0f} | "
        f"{share_of(missed, 0.99):.0f} |"
    )


def share_of(values: Sequence[float], part: float) -> float:
    """Return the value that this part of the values does not exceed, 0 of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def _time(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6 * 3600 else f"{seconds / 3600:.1f} h"


def _days(length: timedelta) -> Iterator[datetime]:
    for number in range(length.days):
        yield START + timedelta(days=number)


def _poisson(
    rng: random.Random, start: datetime, end: datetime, every_s: float
) -> Iterator[datetime]:
    moment = start + timedelta(seconds=rng.expovariate(1 / every_s))
    while moment < end:
        yield moment
        moment += timedelta(seconds=rng.expovariate(1 / every_s))
