"""The processes that a benchmark starts, and how it ends them."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PERENE = str(Path(sys.executable).parent / "perene")
_STOP_S = 30


def environment(**settings: str) -> dict[str, str]:
    """Return the variables of a contestant: these settings, and nothing that changes Python.

    A variable that keeps Python from storing its bytecode, for one, would have each start compile.
    """
    mine = {k: v for k, v in os.environ.items() if not k.startswith(("PERENE_", "PYTHON"))}
    return mine | settings


@contextmanager
def stopping(process: "subprocess.Popen[bytes]") -> Generator[None]:
    """Ask a process to end when the block does, and make it end if it does not."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
