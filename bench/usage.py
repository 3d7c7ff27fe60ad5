"""What processes use: processor time and memory, as the Linux kernel counts them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory in KiB. `pss` counts pages shared with other processes by their share."""

    rss: int
    pss: int


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the time that processes and all their threads have run, user and system."""
    return sum(_ticks(pid) for pid in pids) / _TICKS


def memory(pid: int) -> Memory:
    """Return the resident memory of a process (/proc/PID/smaps_rollup)."""
    found: dict[str, int] = {}
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss"):
            found[name] = int(rest.split()[0])
    return Memory(rss=found["Rss"], pss=found["Pss"])


def family(pid: int) -> list[int]:
    """Return a process and everything that it has started and that still runs."""
    parents: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            parent = _parent(int(folder.name))
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for member in found:  # grows while it is walked
        found.extend(parents.get(member, ()))
    return found


def load() -> float:
    """Return how many tasks were runnable on average over the last minute."""
    return os.getloadavg()[0]


def _ticks(pid: int) -> int:
    # utime, stime, and those of children that have ended and were waited for (man 5 proc_pid_stat).
    fields = _stat(pid)
    return sum(int(fields[place]) for place in (11, 12, 13, 14)) if fields else 0


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name, which may hold spaces."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []  # it has ended meanwhile
    return text.rpartition(")")[2].split()
