"""`python -m tests.moments`: let every trouble befall every story in every one of its moments."""

import argparse
import asyncio
import contextlib
import io
import logging
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import structlog

from tests.moments.comparing import Stories
from tests.moments.databases import Databases, Files, Served
from tests.moments.stories import STORIES
from tests.moments.troubles import Trouble
from tests.plugins.postgres import running_postgres
from tests.support.scratch import scratch, told_by

_LIMIT_S = 120.0
_APART = 12
"""How many moments further on the next trouble comes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What the processes that tell have in common."""

    folder: Path
    databases: Databases
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    story: str
    troubles: Mapping[int, Trouble]

    def __str__(self) -> str:
        return f"{self.story}: {', '.join(f'{one} at {at}' for at, one in self.troubles.items())}"


def main() -> int:
    """Run as asked; return 0 only if nothing was wrong at the end of any story."""
    asked = _arguments()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    begun = time.monotonic()
    with (
        scratch("perene-moments-") as name,
        _databases(asked.database, Path(name)) as databases,
        ProcessPoolExecutor(os.cpu_count(), initializer=_quiet) as processes,
    ):
        place = _Place(folder=Path(name), databases=databases, seed=seed)
        names = asked.story or list(STORIES)
        lengths = processes.map(partial(_moments, place), names)
        cases = [
            case
            for story, moments in zip(names, lengths, strict=True)
            for case in _cases(story, moments, asked, seed)
        ]
        print(f"{len(cases)} tellings of {len(names)} stories, seed {seed}", flush=True)
        wrong = 0
        results = processes.map(partial(_problems, place), cases)
        for case, found in zip(cases, results, strict=True):
            wrong += bool(found)
            for problem in found:
                print(f"{time.monotonic() - begun:7.1f} s  {case}: {problem}", flush=True)
    print(f"{wrong} of {len(cases)} tellings ended otherwise, in {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.moments", description=__doc__)
    parser.add_argument("--story", action="append", choices=list(STORIES), help="only this one")
    parser.add_argument("--trouble", action="append", type=Trouble, choices=list(Trouble))
    parser.add_argument("--moment", type=int, help="only in the moment with this number")
    parser.add_argument(
        "--one-in", type=int, default=1, metavar="N", help="only one moment in so many (1)"
    )
    parser.add_argument(
        "--more", type=int, default=0, help="so many further ones, of any kind, soon after each (0)"
    )
    parser.add_argument("--seed", type=int, help="decides what is drawn; a new one if left out")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    return parser.parse_args()


def _cases(
    story: str, moments: Sequence[str], asked: argparse.Namespace, seed: int
) -> Iterator[_Case]:
    for trouble in asked.trouble or Trouble:
        for at in trouble.places(moments):
            dice = random.Random(f"{seed} {story} {trouble} {at}")
            chosen = dice.random() * asked.one_in < 1
            if at == asked.moment or (asked.moment is None and chosen):
                troubles = {at: trouble}
                for _ in range(asked.more):
                    at += dice.randint(1, _APART)
                    troubles[at] = dice.choice(list(Trouble))
                yield _Case(story=story, troubles=troubles)


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@contextlib.contextmanager
def _databases(kind: str, folder: Path) -> Generator[Databases]:
    if kind == "sqlite":
        yield Files.make(folder)
        return
    # No power is lost, and each process that tells has the connections of one service.
    with running_postgres("-F -c max_connections=100 -c shared_buffers=64MB") as server:
        yield Served.make(folder, server)


@cache
def _stories(place: _Place) -> Stories:
    """Return those of this process, which knows the end of each when nothing befalls it."""
    return Stories(Path(tempfile.mkdtemp(dir=place.folder)), place.databases, seed=place.seed)


def _moments(place: _Place, story: str) -> Sequence[str]:
    with contextlib.redirect_stdout(io.StringIO()):
        return asyncio.run(_stories(place).undisturbed(story)).moments


def _problems(place: _Place, case: _Case) -> list[str]:
    async def told() -> list[str]:
        async with asyncio.timeout(_LIMIT_S):
            return await _stories(place).problems(case.story, case.troubles)

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return asyncio.run(told())
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # it is what came of it
        return list(told_by(error))


if __name__ == "__main__":
    sys.exit(main())
