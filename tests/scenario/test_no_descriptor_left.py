"""The whole service in a process of its own, which may open no more files and sockets."""

import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.processes import Service, Simulator, serving


@pytest.fixture
async def perene(tmp_path: Path, simulator: Simulator) -> AsyncIterator[Service]:
    one = Service(tmp_path, simulator, None, PERENE_HEARTBEAT_S="2")
    async with serving(one):
        yield one


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("C1", "C3", "E6")
async def test_sessions_live_on_and_come_back_when_there_are_descriptors_again(
    perene: Service, simulator: Simulator
) -> None:
    lost = await perene.pair(simulator, "lost")
    await perene.pair(simulator, "kept")
    assert perene.http is not None
    async with perene.http.stream("GET", "/v1/events?heartbeat_s=1&after=0") as stream:
        seconds = stream.aiter_lines()
        assert await anext(seconds) is not None
        for session in ("lost", "kept"):
            while (await shown(perene, session))["connection"] != "open":
                await anext(seconds)
        before = resource.prlimit(perene.pid, resource.RLIMIT_NOFILE)
        assert before[0] == before[1], "it took what it may have"
        # Below what it has: nothing is closed by it, nothing more is opened.
        resource.prlimit(perene.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        await simulator.ask("POST", "/disconnect", json={"phone": lost, "how": "close"})
        while (found := await shown(perene, "lost"))["cause"] != "open_files":
            await anext(seconds)
        assert "raise the limit of open files" in found["last_error"]
        alive = (await shown(perene, "kept"))["alive_at"]
        while (await shown(perene, "kept"))["alive_at"] == alive:
            await anext(seconds)
        assert (await shown(perene, "kept"))["connection"] == "open"
        resource.prlimit(perene.pid, resource.RLIMIT_NOFILE, before)
        while (await shown(perene, "lost"))["connection"] != "open":
            await anext(seconds)


async def shown(perene: Service, session: str) -> dict[str, str]:
    return await perene.ask("GET", f"/v1/sessions/{session}")
