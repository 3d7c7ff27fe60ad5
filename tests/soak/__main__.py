"""`python -m tests.soak`: a month of many sessions in which everything goes wrong."""

import argparse
import asyncio
import logging
import secrets
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import structlog

from perene.store.database import Database
from tests.plugins.postgres import lasting_database
from tests.soak.plan import Plan
from tests.soak.run import Outcome, recovered_in_s, run
from tests.support.scratch import scratch


def main() -> int:
    """Run as asked; return 0 only if every session is up, and every message is there once."""
    asked = _arguments()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    again = (
        f"make soak ARGS='--sessions {asked.sessions} --days {asked.days:g}"
        f" --troubles {asked.troubles:g} --seed {seed} --database {asked.database}'"
    )
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    begun = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {text}", flush=True)

    plan = Plan(sessions=asked.sessions, days=asked.days, seed=seed, troubles_a_day=asked.troubles)
    database = lasting_database() if asked.database == "postgresql" else nullcontext(None)
    with scratch("perene-soak-") as name, database as url:
        folder = Path(name)
        template = folder / "empty.db"
        Database.open(f"sqlite:///{template}").close_now()
        outcome = asyncio.run(run(folder, template, plan, tell, url=url))
    _report(outcome)
    if outcome.problems:
        print(f"FAILED\nrun again: {again}")
        return 1
    print(f"All are up, and every message is there once. The same again: {again}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=100, help="how many (100)")
    parser.add_argument("--days", type=float, default=30.0, help="of virtual time (30)")
    parser.add_argument("--troubles", type=float, default=0.5, help="of each session, a day (0.5)")
    parser.add_argument("--seed", type=int, help="decides what is drawn; a new one if left out")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    return parser.parse_args()


def _report(outcome: Outcome) -> None:
    print(f"{'virtual days':34} {outcome.virtual_days:8.1f}")
    for name, count in {
        **outcome.messages,
        "dials": outcome.dials,
        "connections": outcome.connections,
        "comparisons of what is told": outcome.looks,
    }.items():
        print(f"{name:34} {count:8}")
    print("troubles")
    for name, count in outcome.troubles.most_common():
        print(f"  {name:32} {count:8}")
    causes = Counter(one.cause.value for one in outcome.outages)
    print(f"{'outages':34} {len(outcome.outages):8}")
    for name, count in causes.most_common():
        print(f"  {name:32} {count:8}")
    ends = Counter(one.end.value if one.end else "not ended" for one in outcome.outages)
    for name, count in ends.most_common():
        print(f"  {name:32} {count:8}")
    times = recovered_in_s(outcome)
    for percent in (50, 90, 99, 100):
        if times:
            at = min(len(times) - 1, len(times) * percent // 100)
            print(f"{f'recovered within, {percent} %':34} {times[at]:8.0f} s")
    print(f"{'took':34} {outcome.took_s:8.1f} s")
    print(f"{'of that, on a processor':34} {time.process_time():8.1f} s")
    for problem in outcome.problems[:100]:
        print(f"  - {problem}")
    if len(outcome.problems) > 100:
        print(f"  … and {len(outcome.problems) - 100} more")


if __name__ == "__main__":
    sys.exit(main())
