"""When to kill: points in the life of a process, drawn from a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One kill, `delay_s` after the process was started, or after it has begun to serve."""

    serving: bool
    delay_s: float


def plan(count: int, rng: random.Random) -> Iterator[Kill]:
    """Yield `count` kills.

    Half of them strike in the middle of work; three in ten right after the start, when sessions
    log in and take what waited for them; the others during the start itself, one of them or
    several in a row.
    """
    left = count
    while left > 0:
        kind = rng.random()
        if kind < 0.5:
            kills = [Kill(serving=True, delay_s=rng.uniform(0.3, 2.5))]
        elif kind < 0.8:
            kills = [Kill(serving=True, delay_s=rng.uniform(0, 0.4))]
        elif kind < 0.92:
            kills = [Kill(serving=False, delay_s=rng.uniform(0, 1.5))]
        else:
            row = range(rng.randint(2, 4))
            kills = [Kill(serving=False, delay_s=rng.uniform(0, 0.3)) for _ in row]
        yield from kills[:left]
        left -= len(kills)
