"""Made-up traffic of sessions, by which deaf connections are to be told from quiet ones.

Times are UTC, days begin on a Monday. Messages that come, and messages that are sent, with or
without a receipt.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple

START = datetime(2026, 9, 7, tzinfo=UTC)
"""A Monday."""

_BRING_A_RECEIPT: Final = 0.8


class Kind(Enum):
    """What happens."""

    MESSAGE = auto()
    SENT = auto()
    RECEIPT = auto()


class Happening(NamedTuple):
    """Something that happens at a time."""

    at: datetime
    kind: Kind = Kind.MESSAGE


class Stretch(NamedTuple):
    """A time with one rate: what is due comes `every_s` seconds in the mean, by a Poisson process.

    In bursts it is the burst that is due; of what is sent, the receipt.
    """

    begin: datetime
    end: datetime
    every_s: float


Rates = Callable[[random.Random, timedelta], Iterator[Stretch]]
Sampler = Callable[[random.Random, Iterator[Stretch]], Iterator[Happening]]


class Traffic:
    """Traffic of one session, to be gone through once, and what somebody who made it expects.

    `model` is a name of `MODELS`, `length` whole days.
    """

    def __init__(self, model: str, rng: random.Random, length: timedelta) -> None:
        rates, self._sample = MODELS[model]
        self._stretches: list[Stretch] = []
        self._rates = rates(rng, length)
        self._rng = rng

    def __iter__(self) -> Iterator[Happening]:
        return self._sample(self._rng, self._noted())

    def _noted(self) -> Iterator[Stretch]:
        for stretch in self._rates:
            self._stretches.append(stretch)
            yield stretch

    def sure_at(self, silent_since: datetime, expected: float) -> datetime | None:
        """Return when so many should have come since then, by rates that no session can know.

        None if that is later than all that was gone through.
        """
        for stretch in self._stretches:
            begin = max(stretch.begin, silent_since)
            if begin >= stretch.end:
                continue
            due = (stretch.end - begin).total_seconds() / stretch.every_s
            if due >= expected:
                return begin + timedelta(seconds=expected * stretch.every_s)
            expected -= due
        return None


def _busy(rng: random.Random, length: timedelta) -> Iterator[Stretch]:
    """A message every 10 s on weekdays from about 8 to about 22 h, one an hour else."""
    for day in _days(length):
        opens = day + timedelta(hours=8 + rng.gauss(0, 0.2))
        closes = day + timedelta(hours=22 + rng.gauss(0, 0.3))
        if day.weekday() < 5:
            yield Stretch(day, opens, 3600)
            yield Stretch(opens, closes, 10)
            yield Stretch(closes, day + timedelta(days=1), 3600)
        else:
            yield Stretch(day, day + timedelta(days=1), 3600)


def _uneven(rng: random.Random, length: timedelta) -> Iterator[Stretch]:
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
                yield Stretch(begin, end, 3600)
                continue
            yield Stretch(begin, min(opens, end), 3600)
            yield Stretch(max(begin, opens), min(closes, end), every_s)
            yield Stretch(max(begin, closes), end, 3600)


def _slow(rng: random.Random, length: timedelta) -> Iterator[Stretch]:
    """A message every 20 min from about 8 to about 22 h, none at night."""
    for day in _days(length):
        opens = day + timedelta(hours=8 + rng.gauss(0, 0.5))
        closes = day + timedelta(hours=22 + rng.gauss(0, 0.5))
        yield Stretch(opens, closes, 1200)


def _silent(_rng: random.Random, length: timedelta) -> Iterator[Stretch]:
    """One message a day, at any time."""
    yield Stretch(START, START + length, 86_400)


def _bursts(_rng: random.Random, length: timedelta) -> Iterator[Stretch]:
    """A burst about every two hours of the day."""
    for day in _days(length):
        yield Stretch(day + timedelta(hours=7), day + timedelta(hours=23), 7200)


def _receipts(_rng: random.Random, length: timedelta) -> Iterator[Stretch]:
    """A receipt for 80 % of what is sent, which is a message a minute from 8 to 22 h."""
    for day in _days(length):
        yield Stretch(day + timedelta(hours=8), day + timedelta(hours=22), 60 / _BRING_A_RECEIPT)


def _messages(rng: random.Random, stretches: Iterator[Stretch]) -> Iterator[Happening]:
    """Messages that come, each by itself."""
    for stretch in stretches:
        for at in _poisson(rng, stretch):
            yield Happening(at)


def _bursty(rng: random.Random, stretches: Iterator[Stretch]) -> Iterator[Happening]:
    """Bursts of about 30 messages within minutes."""
    last = START
    for stretch in stretches:
        for begin in _poisson(rng, stretch):
            moment = max(begin, last)
            for _ in range(1 + int(rng.expovariate(1 / 30))):
                moment += timedelta(seconds=rng.expovariate(1 / 5))
                yield Happening(moment)
            last = moment


def _sends(rng: random.Random, stretches: Iterator[Stretch]) -> Iterator[Happening]:
    """Messages that are sent; most bring a receipt at once. Nobody writes."""
    for stretch in stretches:
        found: list[Happening] = []
        sent_every = stretch._replace(every_s=stretch.every_s * _BRING_A_RECEIPT)
        for sent_at in _poisson(rng, sent_every):
            found.append(Happening(sent_at, Kind.SENT))
            if rng.random() < _BRING_A_RECEIPT:
                after_s = rng.lognormvariate(0.7, 0.7)
                found.append(Happening(sent_at + timedelta(seconds=after_s), Kind.RECEIPT))
        yield from sorted(found, key=lambda one: one.at)


MODELS: Mapping[str, tuple[Rates, Sampler]] = {
    "busy": (_busy, _messages),
    "uneven": (_uneven, _messages),
    "slow": (_slow, _messages),
    "silent": (_silent, _messages),
    "bursty": (_bursts, _bursty),
    "notifier": (_receipts, _sends),
}


def _days(length: timedelta) -> Iterator[datetime]:
    for number in range(length.days):
        yield START + timedelta(days=number)


def _poisson(rng: random.Random, stretch: Stretch) -> Iterator[datetime]:
    moment = stretch.begin + timedelta(seconds=rng.expovariate(1 / stretch.every_s))
    while moment < stretch.end:
        yield moment
        moment += timedelta(seconds=rng.expovariate(1 / stretch.every_s))
