"""The demo's two programs, each a process of its own that never outlives the demo."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.02
_COMMAND = "from perene.cli import main; main()"


class DemoFailed(Exception):
    """The demo cannot go on; the sentence says why, and where to look."""


class Child:
    """A command `perene …`; what it prints goes to a log file."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0

    def start(self) -> None:
        """Start the process and return at once."""
        with self.log.open("ab") as log:
            self._begin = log.tell()
            # Away from the terminal's process group: Ctrl-C is for the demo, which ends the others.
            self._process = subprocess.Popen(  # noqa: S603  # our own command
                [sys.executable, "-c", _COMMAND, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**_without_settings(os.environ), **self._environment},
                start_new_session=True,
            )

    def wait_for(self, pattern: str) -> str:
        """Return the first group of a pattern once it was printed since the start.

        Raises DemoFailed when the process ends or says nothing for too long.
        """
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            running = self._process is not None and self._process.poll() is None
            with self.log.open("rb") as log:
                log.seek(self._begin)
                printed = log.read().decode(errors="replace")
            if match := re.search(pattern, printed):
                return match[1]
            if not running or time.monotonic() > deadline:
                raise DemoFailed(f"perene {self._command[0]} did not start; see {self.log}")
            time.sleep(_LOOK_EVERY_S)

    def kill(self) -> int:
        """End the process with SIGKILL, as a crash does; return the number it had."""
        if self._process is None:
            raise DemoFailed("there is nothing to kill")
        process, self._process = self._process, None
        process.kill()
        process.wait()
        return process.pid

    def stop(self) -> None:
        """End the process in order if it runs, by force if it takes too long."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_ENDS_WITHIN_S)
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _without_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """Leave out what is set for another service on this machine."""
    return {name: value for name, value in variables.items() if not name.startswith("PERENE_")}
