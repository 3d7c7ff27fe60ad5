"""How long many sessions take to be open: from a cold start, and after their sockets were cut."""

import http.client
import itertools
import json
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bare import log_in_all, write_credentials
from bench.perene import Perene
from bench.simulator import Simulator

AT_ONCE = 50
"""Logins at the same time, as PERENE_START_AT_ONCE has it; the bare client keeps to it, too."""

_CUT_EVERY_S = 0.1
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """What was measured, in seconds; each list has a value for each round.

    `service` and `bare` count from the start of the process. `bare_logins` is the part of `bare`
    from the first dial on. `cuts` has one value for each socket that was cut.
    """

    sessions: int
    service: Sequence[float]
    bare: Sequence[float]
    bare_logins: Sequence[float]
    cuts: Sequence[float]

    @property
    def ratio(self) -> float:
        """How many times the bare cost a start of the service takes: median to median."""
        return statistics.median(self.service) / statistics.median(self.bare)

    def cut_percentile(self, percent: int) -> float:
        """Return the seconds within which so many of the cut sockets were open again."""
        return sorted(self.cuts)[min(len(self.cuts) - 1, len(self.cuts) * percent // 100)]


def measure_start(simulator: Simulator, folder: Path, *, sessions: int, rounds: int) -> Starts:
    """Pair sessions, then start them again and again, in turns with the bare client."""
    with Perene.started(simulator, folder, sessions=sessions) as service:
        phones = service.phones
    names = [f"s{number}" for number in range(sessions)]
    credentials = folder / "credentials"
    write_credentials(folder / "data", names, credentials)
    service_s: list[float] = []
    bare_s: list[float] = []
    logins_s: list[float] = []
    cuts: list[float] = []
    for number in range(rounds):
        took, logins = log_in_all(simulator, credentials, AT_ONCE)
        bare_s.append(took)
        logins_s.append(logins)
        began = time.monotonic()
        with Perene.started(simulator, folder, sessions=sessions, paired=True) as service:
            service_s.append(time.monotonic() - began)
            if number == rounds - 1:
                cuts = _cut(simulator, service, phones)
        print(f"  start {service_s[-1]:6.2f} s, bare {took:6.2f} s", flush=True)
    return Starts(
        sessions=sessions, service=service_s, bare=bare_s, bare_logins=logins_s, cuts=cuts
    )


def _cut(simulator: Simulator, service: Perene, phones: Sequence[str]) -> list[float]:
    """Cut 200 sockets one after the other; return for each the seconds until it is open again."""
    reader = _Connected(service)
    cut_at: dict[str, float] = {}
    for phone in itertools.islice(phones, 200):
        cut_at[phone] = time.monotonic()
        simulator.cut(phone)
        time.sleep(_CUT_EVERY_S)
    deadline = time.monotonic() + _PATIENCE_S
    while len(reader.at) < len(cut_at):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(cut_at) - len(reader.at)} sessions did not come back")
        time.sleep(_CUT_EVERY_S)
    return [reader.at[phone] - at for phone, at in cut_at.items()]


class _Connected:
    """Follows the event stream, and notes when each number was connected first from now on."""

    def __init__(self, service: Perene) -> None:
        self.at: dict[str, float] = {}
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        connection.request(
            "GET", "/v1/events?type=session.connected", headers={"X-Api-Key": service.key}
        )
        self._response = connection.getresponse()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while line := self._response.readline():
            if line.startswith(b"data:"):
                now = time.monotonic()
                payload = json.loads(line.removeprefix(b"data:"))["payload"]
                self.at.setdefault(payload["pn"].partition("@")[0], now)
