"""`python -m tests.garble`: let the server say odd things, in many lives of a session."""

import argparse
import asyncio
import contextlib
import io
import os
import secrets
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.garble.telling import Ended, tell
from tests.moments.databases import Files
from tests.support.scratch import scratch, told_by

_LIMIT_S = 120.0


def main() -> int:
    """Run as asked; return 0 only if nothing was wrong at the end of any life."""
    asked = _arguments()
    first = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    began = time.monotonic()
    wrong = 0
    counts = Counter[str]()
    with (
        scratch("perene-garble-") as name,
        ProcessPoolExecutor(os.cpu_count()) as processes,
    ):
        folder = Path(name)
        seeds = range(first, first + asked.lives)
        lives = processes.map(partial(_life, folder, Files.make(folder).template), seeds)
        print(f"{asked.lives} lives from seed {first} on", flush=True)
        for seed, ended in zip(seeds, lives, strict=True):
            wrong += bool(ended.problems)
            counts += ended.counts
            for problem in ended.problems:
                print(f"{time.monotonic() - began:7.1f} s  --lives 1 --seed {seed}: {problem}")
    for what, count in sorted(counts.items()):
        print(f"{count:8}  {what}")
    print(f"{wrong} of {asked.lives} lives went wrong, in {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.garble", description=__doc__)
    parser.add_argument("--lives", type=int, default=500, help="how many (500)")
    parser.add_argument("--seed", type=int, help="of the first one; a new one if left out")
    return parser.parse_args()


def _life(folder: Path, template: Path, seed: int) -> Ended:
    async def told() -> Ended:
        async with asyncio.timeout(_LIMIT_S):
            return await tell(folder / f"life-{seed}", template, seed=seed)

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return asyncio.run(told())
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # it is what came of it
        return Ended(problems=tuple(told_by(error)), counts=Counter())


if __name__ == "__main__":
    sys.exit(main())
