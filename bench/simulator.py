"""`perene sim` as a process, and its admin API as the benchmark uses it."""

import re
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.processes import PERENE, stopping

_PATIENCE_S = 120
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A load to be prepared: `contacts` people send `messages` texts each.

    `fresh` gives every message a ratchet of its own: each is a pre-key message.
    """

    contacts: int
    messages: int
    size: int = 100
    fresh: bool = False

    @property
    def total(self) -> int:
        """How many messages there are."""
        return self.contacts * self.messages


class NotAllReceived(RuntimeError):
    """A client asked for a message again, or refused one."""


class Simulator:
    """A simulator that runs; its clock times every load."""

    def __init__(
        self, *, pid: int, url: str, http: httpx.Client, root_key: str, ca_file: Path | None
    ) -> None:
        self.pid = pid
        self.url = url
        self.root_key = root_key
        self.ca_file = ca_file
        """Whom a client is to trust, None without TLS."""
        self._http = http

    @classmethod
    @contextmanager
    def started(cls, folder: Path, *, tls: bool = False) -> Generator["Simulator"]:
        """Run a simulator until the block ends."""
        log = folder / "sim.log"
        command = [PERENE, "sim", "--port", "0", "--seed", "1", *(["--tls"] if tls else [])]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        with stopping(process):
            url = _wait_for(log, r"wss?://127\.0\.0\.1:\d+\S*")
            base = url.replace("ws", "http", 1).replace("/ws/chat", "/admin")
            # The certificate is its own; it is asked for here.
            with httpx.Client(base_url=base, timeout=_PATIENCE_S, verify=False) as http:  # noqa: S501
                ca_file = None
                if tls:
                    ca_file = folder / "sim.pem"
                    ca_file.write_text(http.get("/certificate").text)
                root = http.get("/root-key").json()["root_key"]
                yield cls(pid=process.pid, url=url, http=http, root_key=root, ca_file=ca_file)

    def scan(self, qr: str) -> None:
        """Have a new phone scan a QR code."""
        self._ask("POST", "/mock-phone/scan-qr", content=qr)

    def cut(self, phone: str) -> None:
        """Close the socket of a session, without a word."""
        if self._ask("POST", "/disconnect", json={"phone": phone})["ended"] != 1:
            raise RuntimeError(f"{phone} was not connected")

    def cut_all(self) -> None:
        """Close every session's socket in one moment."""
        self._ask("POST", "/disconnect", json={})

    def answer_late(self, seconds: float, logins: int) -> None:
        """Let both queries of so many logins wait for their answers, as a distant server does."""
        self._ask("DELETE", "/faults")
        for namespace in ("encrypt", "passive"):
            fault = {"kind": "iq_delay", "xmlns": namespace, "seconds": seconds, "count": logins}
            self._ask("POST", "/faults", json=fault)

    def prepare(self, phone: str, load: Load) -> str:
        """Encrypt a load for the newest device of `phone`; returns its number."""
        form = {
            "to": phone,
            "contacts": load.contacts,
            "messages": load.messages,
            "size": load.size,
            "mode": "fresh" if load.fresh else "chain",
        }
        return self._ask("POST", "/traffic", json=form)["id"]

    def fire(self, number: str) -> float:
        """Send a load; return the seconds from its first stanza to its last answer.

        NotAllReceived if a message was answered by anything but a delivery receipt.
        """
        self._ask("POST", f"/traffic/{number}/fire")
        found: Any = None
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            found = self._ask("GET", f"/traffic/{number}")
            if found["answered"] == found["total"]:
                if found["answers"] != {"receipt": found["total"]}:
                    raise NotAllReceived(f"not all were received: {found['answers']}")
                return found["last_answer_s"]
        raise RuntimeError(f"not answered within {_PATIENCE_S} s: {found}")

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        response = self._http.request(method, path, **options)
        if not response.is_success:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()


def _wait_for(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if found := re.search(pattern, log.read_text(errors="replace")):
            return found[0]
        time.sleep(_LOOK_S)
    raise RuntimeError(f"did not start: {log.read_text(errors='replace')}")
