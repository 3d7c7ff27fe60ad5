"""The whole service in a process of its own, whose log nobody reads."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from time import monotonic

import pytest

from perene.cli.exits import REFUSED
from tests.crash.processes import Service, Simulator, serving

STOPS_WITHIN_S = 20.0
"""What the end waits for a reader, and a busy machine."""


@contextlib.contextmanager
def full_pipe() -> Generator[int]:
    """Make a pipe that is full, and that nobody reads; return where to write."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    try:
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


@pytest.fixture
async def perene(tmp_path: Path, simulator: Simulator) -> AsyncIterator[Service]:
    """A service whose standard error is a pipe that is full from the start."""
    one = Service(tmp_path, simulator, None, PERENE_HEARTBEAT_S="2")
    with full_pipe() as writer:
        one.log_to = writer
        async with serving(one):
            yield one


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("C1", "C2")
async def test_a_service_whose_log_nobody_reads_lives_and_ends_as_any_other(
    perene: Service, simulator: Simulator
) -> None:
    await perene.pair(simulator, "desk")
    first = await heartbeat(perene, after=None)
    await heartbeat(perene, after=first)
    assert perene.http is not None
    assert (await perene.http.get("/health")).json()["status"] == "ok"
    assert "perene_log_lines_lost_total 0" in (await perene.http.get("/metrics")).text
    began = monotonic()
    await perene.stop()
    assert monotonic() - began < STOPS_WITHIN_S


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_service_that_cannot_start_ends_though_nobody_reads_why(
    perene: Service, simulator: Simulator, tmp_path: Path
) -> None:
    second = Service(tmp_path, simulator, None)
    second.log_to = perene.log_to
    await second.spawn()
    try:
        assert await second.ended() == REFUSED
    finally:
        await second.kill()


async def heartbeat(perene: Service, *, after: str | None) -> str:
    """Return the session's last sign of life, once it is another one."""
    assert perene.http is not None
    async with perene.http.stream("GET", "/v1/events?heartbeat_s=1") as stream:
        async for _ in stream.aiter_lines():
            session = await perene.ask("GET", "/v1/sessions/desk")
            if session["connection"] == "open" and session["alive_at"] not in (None, after):
                return session["alive_at"]
    raise AssertionError("the stream has ended")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_sessions_begin_though_nobody_reads_where_the_service_is(tmp_path: Path) -> None:
    with (
        full_pipe() as writer,
        subprocess.Popen(
            [sys.executable, "-m", "perene", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            env={"PERENE_DATA_DIR": f"{tmp_path}/data", "PERENE_PORT": "0"}
            | {name: told for name, told in os.environ.items() if "PERENE_" not in name},
        ) as process,
    ):
        assert process.stderr is not None
        told: list[str] = []
        try:
            while "first_key_not_shown" not in told:
                told.append(json.loads(process.stderr.readline())["event"])
        finally:
            process.terminate()
    assert "sessions_found" in told
    assert process.returncode == 0
