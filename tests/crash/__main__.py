"""`python -m tests.crash`: kill the service again and again, and count what is lost."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from tests.crash.run import Outcome, Plan, run
from tests.plugins.postgres import lasting_database


def main() -> int:
    """Run as asked; return 0 only if nothing was lost, doubled or used twice."""
    asked = _arguments()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    again = (
        f"make crash ARGS='--kills {asked.kills} --seed {seed} --database {asked.database}"
        f" --per-second {asked.per_second:g}'"
    )
    folder = Path(tempfile.mkdtemp(prefix="perene-crash-"))
    print(f"{asked.kills} kills, seed {seed}, {asked.database}, in {folder}", flush=True)
    begun = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {text}", flush=True)

    wanted = Plan(kills=asked.kills, seed=seed, per_second=asked.per_second)
    database = lasting_database() if asked.database == "postgresql" else nullcontext(None)
    with database as url:
        outcome = asyncio.run(run(folder, wanted, database_url=url, tell=tell))
    _report(outcome)
    if outcome.problems:
        print(f"FAILED. The data and logs are kept in {folder}\nrun again: {again}")
        return 1
    shutil.rmtree(folder)
    print(f"Nothing lost, nothing doubled. The same again: {again}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how often (200)")
    parser.add_argument("--seed", type=int, help="decides what is drawn; a new one if left out")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument(
        "--per-second", type=float, default=40.0, help="messages written each second (40)"
    )
    return parser.parse_args()


def _report(outcome: Outcome) -> None:
    for name, count in outcome.counts.items():
        print(f"{name:34} {count:8}")
    print(f"{'settled after the last start in':34} {outcome.settled_in_s:8.1f} s")
    print(f"{'all in':34} {outcome.took_s:8.1f} s")
    for problem in outcome.problems:
        print(f"  - {problem}")


if __name__ == "__main__":
    sys.exit(main())
