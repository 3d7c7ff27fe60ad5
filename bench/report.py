"""The figures as tables, and their place in docs/benchmarks.md."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import perene
from bench.gate import Gate, gate_rows
from bench.idle import Idle
from bench.inbound import Run, Spread
from bench.logins import Start
from bench.start import Cuts, Starts, percentile

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- measured by make bench -->", "<!-- end of what make bench measured -->"


def inbound_table(runs: Mapping[str, Sequence[Run]], rivals: Sequence[str]) -> list[str]:
    """Return the table of a load: medians, spread, and the ratio of speed to each rival's."""
    rates = {name: Spread.of([run.per_second for run in found]) for name, found in runs.items()}
    heads = ["", "messages/s", "least-most", *(f"x {rival}" for rival in rivals)]
    heads += ["CPU s per 1,000", "of the database server", "of the simulator"]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for name, found in runs.items():
        rate = rates[name]
        rows.append(
            [
                name,
                f"{rate.median:,.0f}",
                f"{rate.least:,.0f}-{rate.most:,.0f}",
                *(f"{rate.median / rates[rival].median:.1f}" for rival in rivals),
                _with_spread([run.client_cpu for run in found]),
                _with_spread([run.server_cpu for run in found]) if found[0].server_cpu else "-",
                f"{Spread.of([run.sim_cpu for run in found]).median:.2f}",
            ]
        )
    return _lines(rows)


def idle_table(found: Mapping[str, Idle]) -> list[str]:
    """Return the table of memory."""
    rows = [
        ["", "KiB per session", "whole process, 1 session", "whole process, all sessions"],
        ["---", "---:", "---:", "---:"],
    ]
    for name, idle in found.items():
        one, many = idle.one.pss / 1024, idle.many.pss / 1024
        rows.append([name, f"{idle.per_session:,.0f}", f"{one:.0f} MiB", f"{many:.0f} MiB"])
    return _lines(rows)


def start_table(found: Starts) -> list[str]:
    """Return the table of starts, and of what follows when sockets are cut."""
    heads = ["", "all open, s", "least-most", "of these from the first dial", "least-most"]
    rows = [[*heads, "CPU s", "of the simulator"], ["---", *["---:"] * 6]]
    for name, starts in (("`perene serve`", found.service), ("a bare client", found.bare)):
        opened, logins = (
            Spread.of([part(one) for one in starts]) for part in (_opened, _from_first_dial)
        )
        rows.append(
            [
                name,
                *(text for one in (opened, logins) for text in _seconds(one)),
                f"{Spread.of([one.client_cpu for one in starts]).median:.1f}",
                f"{Spread.of([one.server_cpu for one in starts]).median:.1f}",
            ]
        )
    ratios = (
        f"Perene takes {found.ratio(_opened):.2f} times the bare cost from the start of the "
        f"process, {found.ratio(_from_first_dial):.2f} times from the first dial."
    )
    return [*_lines(rows), "", ratios, "", *_cuts(found.cuts)]


def gate_table(found: Sequence[Gate]) -> list[str]:
    """Return the table of the start gate's settings."""
    return _lines(gate_rows(found))


def _opened(start: Start) -> float:
    return start.opened


def _from_first_dial(start: Start) -> float:
    return start.logins


def _seconds(spread: Spread) -> tuple[str, str]:
    return f"{spread.median:.2f}", f"{spread.least:.2f}-{spread.most:.2f}"


def _cuts(cuts: Cuts) -> list[str]:
    rows = [
        ["from a cut socket to an open session", "sessions", "median", "99th percentile", "last"],
        ["---", "---:", "---:", "---:", "---:"],
    ]
    for name, values in (
        ("one cut every 0.1 s", cuts.single),
        ("all cut at once, as when the server restarts", cuts.together),
    ):
        figures = (percentile(values, 50), percentile(values, 99), max(values))
        rows.append([name, str(len(values)), *(f"{figure:.2f} s" for figure in figures)])
    return _lines(rows)


def surroundings(command: str, node: str) -> list[str]:
    """Describe the machine and the programs, a line each."""
    packages = ("cryptography", "protobuf", "SQLAlchemy", "psycopg", "websockets")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    machine = f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB"
    return [
        f"- {datetime.now(UTC):%Y-%m-%d}, `{command}`",
        f"- {machine}, Linux {platform.release()}",
        f"- Perene {perene.__version__}, Python {platform.python_version()}, {versions}",
        f"- Baileys {_baileys()}, Node {node}",
    ]


def write_page(lines: Sequence[str]) -> None:
    """Put what was measured into the page, in place of what was measured before."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _old, _, after = rest.partition(_END)
    measured = "\n".join(lines)
    PAGE.write_text(f"{before}{_BEGIN}\n{measured}\n{_END}{after}", encoding="utf-8")


def _with_spread(values: Sequence[float]) -> str:
    spread = Spread.of(values)
    return f"{spread.median:.2f} ({spread.least:.2f}-{spread.most:.2f})"


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _baileys() -> str:
    import json

    from tests.interop.node import FOLDER

    package = FOLDER / "node_modules" / "baileys" / "package.json"
    return str(json.loads(package.read_text(encoding="utf-8"))["version"])
