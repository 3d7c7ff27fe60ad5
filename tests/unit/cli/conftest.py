"""Commands as a shell runs them, and services for them to ask."""

import asyncio
import json
import sys
from collections.abc import Callable

import httpx
import httpx2
import pytest

from perene import cli
from perene.api import create_app
from perene.cli.service import Service
from tests.unit.api.fakes import KEY, Fakes


class Shell:
    """Runs `perene` in this process, on a clean environment; keeps what was printed."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def __call__(self, *arguments: str) -> int:
        """Run a command and return its exit status."""
        self._patch.setattr(sys, "argv", ["perene", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    def read(self, *arguments: str) -> str:
        """Return what a command prints that must succeed."""
        assert self(*arguments) == 0, self.err
        return self.out

    def answer_with(self, handle: Callable[[httpx2.Request], httpx2.Response]) -> None:
        """Have a function answer in place of a service."""

        def service(url: str, key: str) -> Service:
            return Service(url, key, transport=httpx2.MockTransport(handle))

        self._patch.setattr("perene.cli.service.Service", service)
        self._patch.setenv("PERENE_API_KEY", KEY)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for name in ("PERENE_URL", "PERENE_HOST", "PERENE_PORT", "PERENE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Shell(monkeypatch, capsys)


@pytest.fixture
def fakes(shell: Shell) -> Fakes:
    """The ports behind the real API, which the commands then ask."""
    fakes = Fakes()
    app = create_app(fakes.ports())

    async def ask(request: httpx2.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return await client.request(
                request.method,
                str(request.url),
                content=request.content,
                headers=dict(request.headers),
            )

    def handle(request: httpx2.Request) -> httpx2.Response:
        answer = asyncio.run(ask(request))
        return httpx2.Response(
            answer.status_code, headers=dict(answer.headers), content=answer.content
        )

    shell.answer_with(handle)
    return fakes


def json_answer(value: object) -> httpx2.Response:
    """Return an answer that holds this JSON."""
    return httpx2.Response(
        200, content=json.dumps(value), headers={"content-type": "application/json"}
    )
