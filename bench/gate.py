"""What the settings of the start gate cost and bring: cold starts and restarts of the server."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.perene import Perene
from bench.simulator import Simulator
from bench.start import cut_together, pair, percentile

NEAR_S, FAR_S = 0.0, 0.25
"""What the server's two answers are delayed by: not at all, or so that a login takes half a second,
as it does over five round trips of 100 ms."""

UNLIMITED = 10_000
SETTINGS = ((10, UNLIMITED), (50, UNLIMITED), (100, UNLIMITED), (200, UNLIMITED))
_HEADS = ("all open", "cut: median", "cut: last")
LIMITS = ((50, 200), (100, 500))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One start with one setting, and the moment when the server cut every socket after it.

    `logins` is from the first dial until all are open, `median` and `last` are from the cut on.
    """

    at_once: int
    per_second: int
    delay_s: float
    logins: float
    median: float
    last: float


def measure_gate(simulator: Simulator, folder: Path, *, sessions: int) -> list[Gate]:
    """Start the same sessions with one setting after the other, near and far."""
    phones = pair(simulator, folder / "paired", sessions)
    return [
        _measure(simulator, folder, phones, at_once, per_second, delay_s)
        for delay_s in (NEAR_S, FAR_S)
        for at_once, per_second in (*SETTINGS, *LIMITS)
    ]


def _measure(
    simulator: Simulator,
    folder: Path,
    phones: Sequence[str],
    at_once: int,
    per_second: int,
    delay_s: float,
) -> Gate:
    if delay_s:
        simulator.answer_late(delay_s, 2 * len(phones))  # at the start, and after the cut
    settings = {
        "PERENE_START_AT_ONCE": str(at_once),
        "PERENE_START_PER_SECOND": str(per_second),
    }
    # A copy, because who has lost a connection lately waits longer after the next loss.
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "paired", copy)
    with Perene.started(
        simulator, copy, sessions=len(phones), paired=True, settings=settings
    ) as service:
        logins = service.open_s - service.ready_s
        back = [*cut_together(simulator, service, phones).values()]
    found = Gate(
        at_once=at_once,
        per_second=per_second,
        delay_s=delay_s,
        logins=logins,
        median=percentile(back, 50),
        last=max(back),
    )
    print(f"  {found}", flush=True)
    return found


def gate_rows(found: Sequence[Gate]) -> list[list[str]]:
    """Return the table, near and far beside each other."""
    rows = [
        ["at once", "a second", *_HEADS, *(f"far: {head}" for head in _HEADS)],
        ["---:"] * (2 + 2 * len(_HEADS)),
    ]
    for near in (one for one in found if not one.delay_s):
        [far] = [
            one
            for one in found
            if one.delay_s and (one.at_once, one.per_second) == (near.at_once, near.per_second)
        ]
        limit = "no limit" if near.per_second == UNLIMITED else str(near.per_second)
        figures = (near.logins, near.median, near.last, far.logins, far.median, far.last)
        rows.append([str(near.at_once), limit, *(f"{figure:.1f} s" for figure in figures)])
    return rows
