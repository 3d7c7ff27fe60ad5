"""What was found of noticing deaf connections, and the tables that tell it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bench.deaf_phone import Habits

_TWO_MINUTES_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """A deafness that was noticed: its first missed stanza, how long after that, how many then.

    `late_s` is how long traffic was expected by then: since `SURE` more were due than had come.
    """

    first_missed: datetime
    after_s: float
    missed: int
    late_s: float

    @property
    def in_time(self) -> bool:
        """Whether requirement F3 was kept: noticed within two minutes of expected traffic."""
        return self.late_s <= _TWO_MINUTES_S

    @property
    def in_working_hours(self) -> bool:
        """Whether a busy session was in the middle of its day."""
        return self.first_missed.weekday() < 5 and 9 <= self.first_missed.hour < 21


@dataclass(slots=True, kw_only=True)
class Findings:
    """What one model gave. Times in seconds."""

    months: float = 0.0
    early: float = 0.0
    false_early: int = 0
    false_at: list[datetime] = field(default_factory=list[datetime])
    asked: int = 0
    asked_early: int = 0
    deaf: int = 0
    confirmed: int = 0
    reopened_deaf: int = 0
    unnoticed: int = 0
    noticed: list[Noticed] = field(default_factory=list[Noticed])

    @property
    def false_per_month(self) -> float:
        """False restarts in a session-month, the first fortnight left out."""
        return len(self.false_at) / self.months if self.months else 0.0

    @property
    def asked_per_month(self) -> float:
        """Questions to the phone in a session-month, the first fortnight left out."""
        return self.asked / self.months if self.months else 0.0

    def add(self, other: "Findings") -> None:
        """Take another run of the same model in."""
        self.months += other.months
        self.early += other.early
        self.false_early += other.false_early
        self.false_at += other.false_at
        self.asked += other.asked
        self.asked_early += other.asked_early
        self.deaf += other.deaf
        self.confirmed += other.confirmed
        self.reopened_deaf += other.reopened_deaf
        self.unnoticed += other.unnoticed
        self.noticed += other.noticed


_TIMES = (
    (
        "| traffic | phone | deaf | median | least to p95 | p99 | missed, median | p99 |"
        " after it was expected, p95 | p99 | within two minutes of that |"
    ),
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
)


def table(results: Mapping[tuple[str, Habits], Findings], *, seeds: range) -> list[str]:
    """Return the tables for docs/benchmarks.md."""
    lines = [
        f"Seeds {seeds.start} to {seeds.stop - 1}.",
        "",
        (
            "| traffic | phone | months | false restarts a month | in a first fortnight |"
            " questions a month | in a first fortnight |"
        ),
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [_restarts(*key, found) for key, found in results.items()]
    lines += ["", *_TIMES]
    for key, found in results.items():
        lines += _noticed(*key, found)
    return lines


def _restarts(name: str, phone: str, found: Findings) -> str:
    first = found.false_early / found.early if found.early else 0.0
    asked_first = found.asked_early / found.early if found.early else 0.0
    return (
        f"| {name} | {phone} | {found.months:.0f} | {found.false_per_month:.2f} | {first:.1f} |"
        f" {found.asked_per_month:.0f} | {asked_first:.0f} |"
    )


def _noticed(name: str, phone: str, found: Findings) -> list[str]:
    if name not in ("busy", "uneven"):
        return [_row(name, phone, found.noticed)]
    working = [one for one in found.noticed if one.in_working_hours]
    other = [one for one in found.noticed if not one.in_working_hours]
    return [
        _row(f"{name}, 9 to 21 h", phone, working),
        _row(f"{name}, nights and weekends", phone, other),
    ]


def _row(name: str, phone: str, noticed: Sequence[Noticed]) -> str:
    times, missed = [one.after_s for one in noticed], [float(one.missed) for one in noticed]
    late = [one.late_s for one in noticed]
    in_time = sum(one.in_time for one in noticed) / max(1, len(noticed))
    return (
        f"| {name} | {phone} | {len(noticed)} | {_time(share_of(times, 0.5))} |"
        f" {_time(share_of(times, 0.0))} to {_time(share_of(times, 0.95))} |"
        f" {_time(share_of(times, 0.99))} |"
        f" {share_of(missed, 0.5):.0f} | {share_of(missed, 0.99):.0f} |"
        f" {_time(share_of(late, 0.95))} | {_time(share_of(late, 0.99))} | {in_time:.0%} |"
    )


def share_of(values: Sequence[float], part: float) -> float:
    """Return the value that this part of the values does not exceed, 0 of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def _time(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6 * 3600 else f"{seconds / 3600:.1f} h"
