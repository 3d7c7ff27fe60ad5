"""Inbound direct messages: how fast, and for how much processor time."""

import statistics
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.contestant import Contestant
from bench.simulator import Load, NotAllReceived, Simulator
from bench.usage import cpu_seconds

_QUIET_S = 0.5
_QUIET_SHARE = 0.05
_PATIENCE_S = 60
_PEER_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One load taken in. Processor time is in seconds for 1,000 messages.

    `client_cpu` is the client's process, `server_cpu` its database server, `sim_cpu` the simulator.
    """

    per_second: float
    client_cpu: float
    server_cpu: float
    sim_cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some runs, the least and the greatest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Sum up at least one value."""
        return cls(median=statistics.median(values), least=min(values), most=max(values))


def measure_rounds(
    simulator: Simulator,
    contestants: Mapping[str, Contestant],
    load: Load,
    *,
    rounds: int,
    peers: Collection[str] = (),
) -> dict[str, list[Run]]:
    """Give every contestant the same load in turn, so many rounds; one more before is not counted.

    Interleaved, so that what else the machine does meets all of them alike. What one of the `peers`
    did not receive at the first time is told, and it gets another load; of us it is an error.
    """
    runs: dict[str, list[Run]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, contestant in contestants.items():
            tries = _PEER_TRIES if name in peers else 1
            run = _measure_until_received(simulator, name, contestant, load, tries=tries)
            if number:
                runs[name].append(run)
                print(f"  round {number}  {name:34} {run.per_second:7.0f} messages/s", flush=True)
    return runs


def _measure_until_received(
    simulator: Simulator, name: str, contestant: Contestant, load: Load, *, tries: int
) -> Run:
    for left in reversed(range(tries)):
        try:
            return _measure(simulator, contestant, load)
        except NotAllReceived as error:
            print(f"  {name}: {error}", flush=True)
            if not left:
                raise
            _wait_until_quiet(simulator, contestant)
    raise AssertionError("a contestant gets at least one load")


def _measure(simulator: Simulator, contestant: Contestant, load: Load) -> Run:
    before = contestant.received()
    number = simulator.prepare(contestant.phones[0], load)
    _wait_until_quiet(simulator, contestant)
    groups = (contestant.pids, contestant.server_pids, [simulator.pid])
    begun = [cpu_seconds(group) for group in groups]
    seconds = simulator.fire(number)
    _wait_until_quiet(simulator, contestant)  # what is done after the last answer counts, too
    used = [cpu_seconds(group) - was for group, was in zip(groups, begun, strict=True)]
    received = contestant.received() - before
    if received != load.total:
        raise RuntimeError(f"{received} of {load.total} messages arrived")
    client, server, sim = (1000 * one / load.total for one in used)
    return Run(per_second=load.total / seconds, client_cpu=client, server_cpu=server, sim_cpu=sim)


def _wait_until_quiet(simulator: Simulator, contestant: Contestant) -> None:
    """Wait until neither the client nor its database nor the simulator has anything to do."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        pids = [simulator.pid, *contestant.pids, *contestant.server_pids]
        before = cpu_seconds(pids)
        time.sleep(_QUIET_S)
        if cpu_seconds(pids) - before <= _QUIET_S * _QUIET_SHARE:
            return
    raise RuntimeError("it does not come to rest")
