"""The bare client of `bench.bare` as a process, and what it logs in with."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import environment
from bench.simulator import Simulator
from bench.usage import cpu_seconds
from perene.core.clock import SystemClock
from perene.core.ids import Epoch, SessionId
from perene.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of many sessions, in seconds from the start of the process.

    `ready` is when it began to dial, `opened` when the last session was open. The processor time
    runs until then: `client_cpu` of the process, `server_cpu` of the simulator.
    """

    ready: float
    opened: float
    client_cpu: float
    server_cpu: float

    @property
    def logins(self) -> float:
        """The seconds from the first dial to the last open session."""
        return self.opened - self.ready


def log_in_all(simulator: Simulator, credentials: Path, at_once: int) -> Start:
    """Log in once with each of these credentials, in a process of its own."""
    command = [sys.executable, "-m", "bench.bare", simulator.url, simulator.root_key]
    server = cpu_seconds([simulator.pid])
    began = time.monotonic()
    with subprocess.Popen(
        [*command, str(credentials), str(at_once), str(simulator.ca_file or "")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        logins = float(process.stdout.readline())
        opened = time.monotonic() - began
        start = Start(
            ready=opened - logins,
            opened=opened,
            client_cpu=cpu_seconds([process.pid]),
            server_cpu=cpu_seconds([simulator.pid]) - server,
        )
        process.stdin.close()
    return start


def write_credentials(data: Path, sessions: Sequence[str], path: Path) -> None:
    """Write the credentials of the sessions of a stopped service, for `log_in_all`."""
    path.write_text("\n".join(asyncio.run(_credentials(data, sessions))))


async def _credentials(data: Path, sessions: Sequence[str]) -> list[str]:
    store = await asyncio.to_thread(
        Store.open,
        f"sqlite:///{data / 'perene.db'}",
        clock=SystemClock(),
        key_file=data / "master.key",
    )
    lines: list[str] = []
    try:
        for session in sessions:
            stored = await store.reader(SessionId(session), Epoch(0)).credentials()
            if stored is None:
                raise RuntimeError("the session has no credentials")
            lines.append(stored.hex())
    finally:
        await store.close()
    return lines
