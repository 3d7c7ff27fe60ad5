"""How long many sessions take to be open: from a cold start, and after their sockets were cut."""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.logins import Start, log_in_all, write_credentials
from bench.perene import Perene
from bench.simulator import Simulator
from bench.usage import cpu_seconds
from tests.support.shipped import START_AT_ONCE

AT_ONCE = START_AT_ONCE
"""Logins at the same time, as the service has it; the bare client keeps to it, too."""

_CUT_EVERY_S = 0.1
_QUIET_S = 0.5
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """Seconds from a cut socket to an open session, one for each.

    `single` were cut one after the other, `together` all in one moment, as a server does that ends.
    """

    single: Sequence[float]
    together: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What was measured; the lists of starts have one for each round."""

    service: Sequence[Start]
    bare: Sequence[Start]
    cuts: Cuts

    def ratio(self, part: Callable[[Start], float]) -> float:
        """How many times the bare cost a start of the service takes: median to median."""
        mine, bare = (statistics.median(map(part, one)) for one in (self.service, self.bare))
        return mine / bare


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def measure_start(simulator: Simulator, folder: Path, *, sessions: int, rounds: int) -> Starts:
    """Pair sessions, then start them again and again, in turns with the bare client."""
    phones = pair(simulator, folder, sessions)
    credentials = folder / "credentials"
    write_credentials(folder / "data", [f"s{number}" for number in range(sessions)], credentials)
    bare: list[Start] = []
    mine: list[Start] = []
    for _ in range(rounds):
        bare.append(log_in_all(simulator, credentials, AT_ONCE))
        mine.append(start_all(simulator, folder, sessions))
        print(f"  start {mine[-1].opened:6.2f} s, bare {bare[-1].opened:6.2f} s", flush=True)
    with Perene.started(simulator, folder, sessions=sessions, paired=True) as service:
        cuts = _cut(simulator, service, phones)
    return Starts(service=mine, bare=bare, cuts=cuts)


def pair(simulator: Simulator, folder: Path, sessions: int) -> Sequence[str]:
    """Pair so many sessions of a service that is stopped then; return their numbers."""
    with Perene.started(simulator, folder, sessions=sessions) as service:
        return service.phones


def start_all(
    simulator: Simulator, folder: Path, sessions: int, settings: dict[str, str] | None = None
) -> Start:
    """Start a service whose sessions are paired, and stop it when all of them are open."""
    server = cpu_seconds([simulator.pid])
    with Perene.started(
        simulator, folder, sessions=sessions, paired=True, settings=settings
    ) as service:
        return Start(
            ready=service.ready_s,
            opened=service.open_s,
            client_cpu=cpu_seconds(service.pids),
            server_cpu=cpu_seconds([simulator.pid]) - server,
        )


def cut_together(simulator: Simulator, service: Perene, phones: Sequence[str]) -> dict[str, float]:
    """Cut every socket at once; return for each number the seconds until it is open again."""
    with closing(_Connected(service)) as reader:
        began = time.monotonic()
        simulator.cut_all()
        return reader.wait_for(dict.fromkeys(phones, began))


def _cut(simulator: Simulator, service: Perene, phones: Sequence[str]) -> Cuts:
    """Cut a fifth of the sockets one by one, then all; who was cut twice counts the first time.

    A session that has lost its connection lately waits longer after the next loss.
    """
    single = phones[: len(phones) // 5]
    cut_at: dict[str, float] = {}
    with closing(_Connected(service)) as reader:
        for phone in single:
            cut_at[phone] = time.monotonic()
            simulator.cut(phone)
            time.sleep(_CUT_EVERY_S)
        back = reader.wait_for(cut_at)
    together = cut_together(simulator, service, phones)
    return Cuts(
        single=[back[phone] for phone in single],
        together=[together[phone] for phone in phones[len(single) :]],
    )


class _Connected:
    """Follows the event stream, and notes when each number was connected from now on.

    The last events of what came before may follow upon what the service shows of its sessions:
    they are waited for.
    """

    def __init__(self, service: Perene) -> None:
        self._at: list[tuple[str, float]] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port)
        self._connection.request(
            "GET", "/v1/events?type=session.connected", headers={"X-Api-Key": service.key}
        )
        self._response = self._connection.getresponse()
        threading.Thread(target=self._follow, daemon=True).start()
        told = -1
        while told < len(self._at):
            told = len(self._at)
            time.sleep(_QUIET_S)

    def wait_for(self, cut_at: Mapping[str, float]) -> dict[str, float]:
        """Return how many seconds after its cut each number was connected again."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            back: dict[str, float] = {}
            for phone, at in tuple(self._at):
                if phone in cut_at and at > cut_at[phone]:
                    back.setdefault(phone, at - cut_at[phone])
            if len(back) == len(cut_at):
                return back
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(cut_at) - len(back)} sessions did not come back")
            time.sleep(_CUT_EVERY_S)

    def close(self) -> None:
        """Follow no longer."""
        self._connection.close()

    def _follow(self) -> None:
        while line := self._line():
            if line.startswith(b"data:"):
                now = time.monotonic()
                payload = json.loads(line.removeprefix(b"data:"))["payload"]
                self._at.append((payload["pn"].partition("@")[0], now))

    def _line(self) -> bytes:
        try:
            return self._response.readline()
        except (OSError, ValueError, AttributeError):
            return b""  # closed meanwhile
