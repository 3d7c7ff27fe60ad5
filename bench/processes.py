"""The processes that a benchmark starts, and how it ends them."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PERENE = str(Path(sys.executable).parent / "perene")
_STOP_S = 30


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
