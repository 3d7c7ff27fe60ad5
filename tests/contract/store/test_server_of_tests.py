"""The PostgreSQL server of the tests ends with them, however they end."""

import os
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 60.0

_RUN = """
import sys
from tests.plugins.postgres import running_postgres
with running_postgres("-F -c max_connections=10 -c shared_buffers=16MB") as server:
    print(server.folder, flush=True)
    sys.stdin.read()
"""


def test_it_ends_with_a_test_run_that_is_killed() -> None:
    with subprocess.Popen(
        (sys.executable, "-c", _RUN), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        assert (folder / "data" / "postmaster.pid").exists()
        run.kill()
    deadline = time.monotonic() + PATIENCE_S
    while folder.exists():  # it is removed when the server has ended
        assert time.monotonic() < deadline
        os.sched_yield()
