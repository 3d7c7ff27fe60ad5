"""Baileys as a contestant: N clients in one Node process."""

import json
import queue
import subprocess
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from bench.processes import stopping
from bench.simulator import Simulator
from bench.usage import Memory, memory
from tests.interop.node import node_binary

_SCRIPT = Path(__file__).with_name("baileys.mjs")
_PATIENCE_S = 300

Store = Literal["files", "memory"]


class Baileys:
    """One Node process. `started` returns it when every client has logged in."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._phones: dict[int, str] = {}

    @classmethod
    @contextmanager
    def started(
        cls, simulator: Simulator, folder: Path, *, store: Store, sessions: int = 1
    ) -> Generator["Baileys"]:
        """Run `sessions` clients until the block ends; those that are not paired yet are paired."""
        options = {
            "url": simulator.url,
            "rootKey": simulator.root_key,
            "store": store,
            "folder": str(folder),
            "sockets": sessions,
        }
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [node_binary(), "--expose-gc", str(_SCRIPT), json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        with stopping(process):
            client = cls(process)
            assert process.stdout is not None
            threading.Thread(target=client._listen, args=(process.stdout,), daemon=True).start()
            client._log_in(simulator, sessions)
            yield client

    @property
    def phones(self) -> Sequence[str]:
        """The numbers of its sessions."""
        return [self._phones[number] for number in sorted(self._phones)]

    @property
    def pids(self) -> Sequence[int]:
        """The Node process."""
        return [self._process.pid]

    @property
    def server_pids(self) -> Sequence[int]:
        """Nothing: it has no server."""
        return []

    def received(self) -> int:
        """Collect garbage, and return how many texts the listeners were given."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"settle\n")
        self._process.stdin.flush()
        while (said := self._said.get(timeout=_PATIENCE_S))["event"] != "settled":
            pass
        return int(said["texts"])

    def memory(self) -> Memory:
        """Return the memory of the Node process, after its garbage was collected."""
        self.received()
        return memory(self._process.pid)

    def _log_in(self, simulator: Simulator, sessions: int) -> None:
        while len(self._phones) < sessions:
            said = self._said.get(timeout=_PATIENCE_S)
            match said["event"]:
                case "qr":
                    simulator.scan(said["qr"])
                case "open":
                    self._phones[said["socket"]] = said["phone"]
                case _:
                    pass

    def _listen(self, output: IO[bytes]) -> None:
        for line in output:
            self._said.put(json.loads(line))
