"""Made-up traffic of sessions, by which deaf connections are to be told from quiet ones.

Times are UTC, days begin on a Monday. Messages that come, and messages that are sent, with or
without a receipt.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

START = datetime(2026, 9, 7, tzinfo=UTC)
"""A Monday."""


class Kind(Enum):
    """What happens."""

    MESSAGE = auto()
    SENT = auto()
    RECEIPT = auto()


class Happening(NamedTuple):
    """Something that happens at a time."""

    at: datetime
    kind: Kind = Kind.MESSAGE


Traffic = Callable[[random.Random, timedelta], Iterator[Happening]]


def busy(rng: random.Random, length: timedelta) -> Iterator[Happening]:
    """A message every 10 s on weekdays from about 8 to about 22 h, one an hour else."""
    for day in _days(length):
        opens = day + timedelta(hours=8 + rng.gauss(0, 0.2))
        closes = day + timedelta(hours=22 + rng.gauss(0, 0.3))
        if day.weekday() < 5:
            yield from _poisson(rng, day, opens, 3600)
            yield from _poisson(rng, opens, closes, 10)
            yield from _poisson(rng, closes, day + timedelta(days=1), 3600)
        else:
            yield from _poisson(rng, day, day + timedelta(days=1), 3600)


def uneven(rng: random.Random, length: timedelta) -> Iterator[Happening]:
    """As busy, but no two half hours alike: Gamma of shape 4; every 20th weekday is a holiday."""
    for day in _days(length):
        opens = day + timedelta(hours=8 + rng.gauss(0, 0.2))
        closes = day + timedelta(hours=22 + rng.gauss(0, 0.3))
        works = day.weekday() < 5 and rng.random() >= 0.05
        for number in range(48):
            begin = day + timedelta(hours=number / 2)
            end = begin + timedelta(hours=0.5)
            every_s = 10 / rng.gammavariate(4, 0.25)
            if not works:
                yield from _poisson(rng, begin, end, 3600)
                continue
            yield from _poisson(rng, begin, min(opens, end), 3600)
            yield from _poisson(rng, max(begin, opens), min(closes, end), every_s)
            yield from _poisson(rng, max(begin, closes), end, 3600)


def slow(rng: random.Random, length: timedelta) -> Iterator[Happening]:
    """A message every 20 min from about 8 to about 22 h, none at night."""
    for day in _days(length):
        opens = day + timedelta(hours=8 + rng.gauss(0, 0.5))
        closes = day + timedelta(hours=22 + rng.gauss(0, 0.5))
        yield from _poisson(rng, opens, closes, 1200)


def silent(rng: random.Random, length: timedelta) -> Iterator[Happening]:
    """One message a day, at any time."""
    yield from _poisson(rng, START, START + length, 86_400)


def bursty(rng: random.Random, length: timedelta) -> Iterator[Happening]:
    """Bursts of about 30 messages within minutes, about every two hours of the day."""
    last = START
    for day in _days(length):
        opens, closes = day + timedelta(hours=7), day + timedelta(hours=23)
        for begin in _poisson(rng, opens, closes, 7200):
            moment = max(begin.at, last)
            for _ in range(1 + int(rng.expovariate(1 / 30))):
                moment += timedelta(seconds=rng.expovariate(1 / 5))
                yield Happening(moment)
            last = moment


def notifier(rng: random.Random, length: timedelta) -> Iterator[Happening]:
    """Sends a message a minute from 8 to 22 h; 80 % bring a receipt at once. Nobody writes."""
    for day in _days(length):
        opens, closes = day + timedelta(hours=8), day + timedelta(hours=22)
        found: list[Happening] = []
        for sent in _poisson(rng, opens, closes, 60):
            found.append(Happening(sent.at, Kind.SENT))
            if rng.random() < 0.8:
                after_s = rng.lognormvariate(0.7, 0.7)
                found.append(Happening(sent.at + timedelta(seconds=after_s), Kind.RECEIPT))
        yield from sorted(found, key=lambda one: one.at)


MODELS: Mapping[str, Traffic] = {
    "busy": busy,
    "uneven": uneven,
    "slow": slow,
    "silent": silent,
    "bursty": bursty,
    "notifier": notifier,
}


def _days(length: timedelta) -> Iterator[datetime]:
    for number in range(length.days):
        yield START + timedelta(days=number)


def _poisson(
    rng: random.Random, start: datetime, end: datetime, every_s: float
) -> Iterator[Happening]:
    moment = start + timedelta(seconds=rng.expovariate(1 / every_s))
    while moment < end:
        yield Happening(moment)
        moment += timedelta(seconds=rng.expovariate(1 / every_s))
