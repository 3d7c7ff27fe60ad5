"""Perene as a contestant: `perene serve` with its settings as they come."""

import http.client
import re
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench.processes import PERENE, environment, stopping
from bench.simulator import Simulator
from bench.usage import Memory, family, memory

_PATIENCE_S = 120
_LOOK_S = 0.02
_ASK_EVERY_S = 0.1
_PAIRING_AT_ONCE = 25
_GREETING = re.compile(r"serves at http://127\.0\.0\.1:(\d+)")
_KEY = re.compile(r"\bpk_[A-Za-z0-9_-]+")


class Perene:
    """One service. `started` returns it when every session has logged in."""

    def __init__(self, pid: int, server: int | None, port: int, key: str) -> None:
        self.port = port
        self.key = key
        self.ready_s = 0.0
        """From the start of the process until it serves, which is when it begins to dial."""
        self.open_s = 0.0
        """From the start of the process until every session was open."""
        self._pid = pid
        self._server = server
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"X-Api-Key": key}, timeout=_PATIENCE_S
        )
        self._reader: _Reader | None = None

    @classmethod
    @contextmanager
    def started(
        cls,
        simulator: Simulator,
        folder: Path,
        *,
        sessions: int = 1,
        database: str | None = None,
        server: int | None = None,
        read: bool = False,
        paired: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> Generator["Perene"]:
        """Run a service with so many sessions until the block ends; new ones are paired.

        With `paired` all of them are there already, and nothing is asked but whether they are open.

        `database` is the URL of a PostgreSQL database, `server` the process of its server. `read`
        holds an event stream open, as a program does that wants to know of each message. `settings`
        are further ones, by the names of their variables.
        """
        folder.mkdir(parents=True, exist_ok=True)
        variables = environment(
            PERENE_DATA_DIR=str(folder / "data"),
            PERENE_PORT="0",
            PERENE_ENDPOINT=simulator.url,
            PERENE_NOISE_ROOT_KEY=simulator.root_key,
            PERENE_DATABASE_URL=database or "",
            PERENE_TLS_CA_FILE=str(simulator.ca_file or ""),
            **(settings or {}),
        )
        log = folder / "log"
        before = log.stat().st_size if log.exists() else 0
        began = time.monotonic()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [PERENE, "serve"], stdout=output, stderr=subprocess.STDOUT, env=variables
            )
        with stopping(process):
            port = _port(process, log, before)
            ready = time.monotonic()
            keys = _KEY.findall(log.read_text())
            service = cls(process.pid, server, port, keys[0])
            if not paired:
                service._pair(simulator, sessions)
            service._wait_until_open(sessions)
            service.ready_s, service.open_s = ready - began, time.monotonic() - began
            if read:
                service._reader = _Reader(port, keys[0])
            yield service

    @property
    def phones(self) -> Sequence[str]:
        """The numbers of its sessions."""
        return [session["phone"] for session in self._sessions()]

    @property
    def pids(self) -> Sequence[int]:
        """The service's process."""
        return [self._pid]

    @property
    def server_pids(self) -> Sequence[int]:
        """The processes of the database server, which serves nobody else."""
        return [] if self._server is None else family(self._server)

    def received(self) -> int:
        """Return how many messages the event stream has shown, or else how many are stored."""
        if self._reader is not None:
            return self._reader.messages
        return sum(self._stored(session["id"]) for session in self._sessions())

    def memory(self) -> Memory:
        """Return the memory of the service's process."""
        return memory(self._pid)

    def _sessions(self) -> list[dict[str, Any]]:
        return self._http.get("/v1/sessions").raise_for_status().json()["items"]

    def _stored(self, session: str) -> int:
        count, cursor = 0, None
        while True:
            parameters = {"limit": 100} | ({} if cursor is None else {"cursor": cursor})
            path = f"/v1/sessions/{session}/messages"
            page = self._http.get(path, params=parameters).raise_for_status().json()
            count += len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return count

    def _pair(self, simulator: Simulator, sessions: int) -> None:
        there = len(self._sessions())
        while there < sessions:
            batch = [f"s{number}" for number in range(there, sessions)][:_PAIRING_AT_ONCE]
            for name in batch:
                self._http.post("/v1/sessions", json={"id": name}).raise_for_status()
            for name in batch:
                path = f"/v1/sessions/{name}/qr"
                qr = self._http.get(path, params={"format": "text", "wait_s": 30})
                simulator.scan(qr.raise_for_status().text)
            there += len(batch)
            self._wait_until_open(there)

    def _wait_until_open(self, sessions: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while (states := self._states()).get("open") != sessions:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not logged in: {states}")
            time.sleep(_ASK_EVERY_S)

    def _states(self) -> dict[str, int]:
        return self._http.get("/health").raise_for_status().json()["sessions"]


class _Reader:
    """Follows the event stream and counts messages, as cheaply as it can be done."""

    def __init__(self, port: int, key: str) -> None:
        self.messages = 0
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/v1/events", headers={"X-Api-Key": key})
        self._response = connection.getresponse()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        mark = b"event: message.received"
        rest = b""
        while data := self._response.read1(1 << 16):
            data = rest + data
            self.messages += data.count(mark)
            rest = data[-len(mark) + 1 :]


def _port(process: "subprocess.Popen[bytes]", log: Path, before: int) -> int:
    said = ""
    deadline = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with log.open("rb") as file:
            file.seek(before)
            said = file.read().decode(errors="replace")
        if found := _GREETING.search(said):
            return int(found[1])
        time.sleep(_LOOK_S)
    raise RuntimeError(f"perene serve did not start: {said}")
