"""The whole service in a process of its own, whose log nobody reads."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from perene.cli.exits import REFUSED
from tests.crash.processes import Service, Simulator, serving

STOPS_WITHIN_S = 20.0
"""What the end waits for a reader, and a busy machine."""


@pytest.fixture
async def perene(tmp_path: Path, simulator: Simulator) -> AsyncIterator[Service]:
    """A service whose standard error is a pipe that is full from the start."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    one = Service(tmp_path, simulator, None, PERENE_HEARTBEAT_S="2")
    one.log_to = writer
    try:
        async with serving(one):
            yield one
    finally:
        os.close(reader)
        os.close(writer)


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
