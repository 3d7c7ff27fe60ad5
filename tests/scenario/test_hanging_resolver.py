"""The whole service in a process of its own, whose resolver never answers."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import pytest

from tests.crash.processes import Service, serving

HANGING = """
import socket, threading

def hang(*question, **more):
    print("asked", flush=True)
    threading.Event().wait()

socket.getaddrinfo = hang
"""

SESSIONS = 40
"""More than asyncio has threads of its own."""

STOPS_WITHIN_S = 30.0


@pytest.fixture
async def perene(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    elsewhere = SimpleNamespace(settings={"PERENE_ENDPOINT": "ws://chat.example/ws/chat"})
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    one = Service(
        tmp_path,
        elsewhere,  # pyright: ignore[reportArgumentType]  # only its settings are asked for
        None,
        PYTHONPATH=path,
    )
    async with serving(one):
        yield one


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("C1")
async def test_a_service_whose_resolver_hangs_answers_and_ends_as_any_other(
    perene: Service,
) -> None:
    for number in range(SESSIONS):
        await perene.ask("POST", "/v1/sessions", json={"id": f"s{number}"})
    await perene.ask("POST", "/v1/sessions/s0/logout")
    await perene.ask("POST", "/v1/sessions/s1/stop")
    assert perene.found("(asked)")
    began = monotonic()
    await perene.stop()
    assert monotonic() - began < STOPS_WITHIN_S
