"""`make bench`: Perene and Baileys side by side, on the same simulator and the same load.

make bench                 measure everything and write docs/benchmarks.md
make bench ARGS=--quick    a few messages, one round; writes nothing
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import deaf, deaf_findings, report
from bench.baileys import Baileys
from bench.blind import Blind
from bench.contestant import Contestant
from bench.gate import measure_gate
from bench.idle import Idle, Start, measure_idle
from bench.inbound import measure_rounds
from bench.perene import Perene
from bench.simulator import Load, Simulator
from bench.start import AT_ONCE, measure_start
from bench.usage import load as machine_load
from tests.interop.node import node_binary
from tests.plugins.postgres import running_postgres

SQLITE = "Perene, SQLite"
STREAM = "Perene, SQLite, an event stream read"
POSTGRES = "Perene, PostgreSQL"
FILES = "Baileys, its file store"
MEMORY = "Baileys, in memory"
BLIND = "a client that only acknowledges"
RIVALS = (FILES, MEMORY)

# PostgreSQL as it comes: fsync and synchronous_commit are on.
_POSTGRES_SETTINGS = "-c max_connections=60"

_STARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured."""

    chains: Load
    fresh: Load
    rounds: int
    sessions: int
    starting: int


FULL = Extent(
    chains=Load(contacts=30, messages=100),
    fresh=Load(contacts=300, messages=1, fresh=True),
    rounds=5,
    sessions=200,
    starting=1000,
)
QUICK = Extent(
    chains=Load(contacts=4, messages=25),
    fresh=Load(contacts=30, messages=1, fresh=True),
    rounds=1,
    sessions=4,
    starting=20,
)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and write the page unless it was a short form."""
    options = _parse(arguments)
    extent = QUICK if options.quick else FULL
    lines = ["", *report.surroundings(_command(arguments), _node_version())]
    with tempfile.TemporaryDirectory(prefix="bench") as name:
        if options.only in (None, "inbound"):
            lines += _inbound(Path(name), extent)
        if options.only in (None, "idle"):
            lines += _idle(Path(name), extent)
        if options.only in (None, "start"):
            lines += _start(Path(name), options.sessions or extent.starting)
        if options.only == "gate":
            lines += _gate(Path(name), options.sessions or extent.starting)
    if options.only == "deaf":
        lines += _deaf(quick=options.quick)
    print("\n".join(lines))
    if not options.quick and options.only is None:
        report.write_page(lines)
    return 0


def _inbound(folder: Path, extent: Extent) -> list[str]:
    print(f"load of the machine before: {machine_load():.2f}", flush=True)
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator.started(folder))
        contestants: dict[str, Contestant] = {
            SQLITE: stack.enter_context(Perene.started(simulator, folder / "sqlite")),
            POSTGRES: stack.enter_context(_on_postgres(simulator, folder / "postgres", 1)),
            FILES: stack.enter_context(Baileys.started(simulator, folder / "files", store="files")),
            MEMORY: stack.enter_context(
                Baileys.started(simulator, folder / "memory", store="memory")
            ),
            STREAM: stack.enter_context(Perene.started(simulator, folder / "stream", read=True)),
            BLIND: stack.enter_context(Blind.started(simulator, folder / "blind")),
        }
        chains = measure_rounds(
            simulator, contestants, extent.chains, rounds=extent.rounds, peers=RIVALS
        )
        del contestants[BLIND]
        fresh = measure_rounds(
            simulator, contestants, extent.fresh, rounds=extent.rounds, peers=RIVALS
        )
    return [
        *_section(
            "Inbound direct messages",
            f"{extent.chains.contacts} contacts write {extent.chains.messages} texts of "
            f"{extent.chains.size} characters each, all at once, to one session; "
            f"{extent.rounds} rounds.",
        ),
        *report.inbound_table(chains, RIVALS),
        *_section(
            "Inbound first contacts",
            f"{extent.fresh.contacts} contacts write one text each, so that every message begins "
            f"a ratchet; {extent.rounds} rounds.",
        ),
        *report.inbound_table(fresh, RIVALS),
    ]


def _deaf(*, quick: bool) -> list[str]:
    seeds = deaf.TUNED_ON[:1] if quick else deaf.HELD_OUT
    found = deaf.measure_all(seeds=seeds, days=21 if quick else 35)
    return [
        *_section("Deaf connections", "Weeks of made-up traffic against the machine alone."),
        *deaf_findings.table(found, seeds=seeds),
    ]


def _section(title: str, what: str) -> list[str]:
    return ["", f"### {title}", "", what, ""]


def _idle(folder: Path, extent: Extent) -> list[str]:
    found: dict[str, Idle] = {}
    with Simulator.started(folder) as simulator:

        def perene(sessions: int) -> AbstractContextManager[Contestant]:
            return Perene.started(simulator, folder / f"idle-{sessions}", sessions=sessions)

        def files(sessions: int) -> AbstractContextManager[Contestant]:
            place = folder / f"idle-files-{sessions}"
            return Baileys.started(simulator, place, store="files", sessions=sessions)

        def memory(sessions: int) -> AbstractContextManager[Contestant]:
            return Baileys.started(
                simulator, folder / "idle-memory", store="memory", sessions=sessions
            )

        ways: list[tuple[str, Start, bool]] = [
            (SQLITE, perene, True),
            (FILES, files, True),
            (MEMORY, memory, False),
        ]
        for name, start, restart in ways:
            found[name] = measure_idle(start, extent.sessions, restart=restart)
            print(f"  idle  {name:34} {found[name].per_session:7.0f} KiB", flush=True)
    return [
        *_section(
            "Memory of an idle session",
            f"{extent.sessions} sessions in one process, logged in, with nothing to do.",
        ),
        *report.idle_table(found),
    ]


def _start(folder: Path, sessions: int) -> list[str]:
    print(f"load of the machine before: {machine_load():.2f}", flush=True)
    what = (
        f"{sessions} sessions log in from nothing, {AT_ONCE} at a time, in {_STARTS} rounds; "
        "in turns with it, a bare client does nothing but the handshake, the login and its two "
        "queries."
    )
    lines: list[str] = []
    for tls, title in ((False, ""), (True, ", over TLS")):
        with Simulator.started(folder, tls=tls) as simulator:
            place = folder / f"start{title}"
            found = measure_start(simulator, place, sessions=sessions, rounds=_STARTS)
        lines += [*_section(f"Start of many sessions{title}", what), *report.start_table(found)]
    return lines


def _gate(folder: Path, sessions: int) -> list[str]:
    with Simulator.started(folder) as simulator:
        found = measure_gate(simulator, folder / "gate", sessions=sessions)
    return [
        *_section("The start gate", f"{sessions} sessions, one start with each setting."),
        *report.gate_table(found),
    ]


@contextmanager
def _on_postgres(simulator: Simulator, folder: Path, sessions: int) -> Generator[Perene]:
    with running_postgres(_POSTGRES_SETTINGS) as server:
        pid = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
        url = f"postgresql://postgres@/postgres?host={server.folder}"
        with Perene.started(
            simulator, folder, sessions=sessions, database=url, server=pid
        ) as service:
            yield service


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short form; writes nothing")
    parser.add_argument(
        "--only",
        choices=("inbound", "idle", "start", "gate", "deaf"),
        help="one part; writes nothing",
    )
    parser.add_argument("--sessions", type=int, help="how many are started, instead of 1,000")
    return parser.parse_args(arguments)


def _command(arguments: Sequence[str]) -> str:
    return f'make bench ARGS="{" ".join(arguments)}"' if arguments else "make bench"


def _node_version() -> str:
    told = subprocess.run([node_binary(), "--version"], check=True, capture_output=True, text=True)
    return told.stdout.strip().removeprefix("v")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
