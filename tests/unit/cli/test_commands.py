"""The command line: quick to answer, and clear when it cannot start."""

import errno
import os
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import AsyncMock, Mock

import pytest

from perene import __version__, cli
from perene.cli.exits import FAILED, REFUSED, TAKEN_OVER, UNREAD
from perene.core.errors import DatabaseTaken, PereneError, RefusedToStart, ServiceFailed


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["perene", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("arguments", [("version",), ("--version",)])
def test_it_tells_its_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
):
    assert run(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_help_imports_nothing_heavy():
    script = (
        "import sys, perene.cli; sys.argv = ['perene', '--help'];\n"
        "try: perene.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'fastapi', 'sqlalchemy', 'cryptography', 'google.protobuf', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert done.stdout.decode().splitlines()[-1] == "[]"
    assert b"serve" in done.stdout


def test_a_wrong_setting_is_told_in_a_sentence_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PERENE_PORT", "abc")
    assert run(monkeypatch, "serve") == cli.REFUSED
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        'PERENE_PORT is "abc", which cannot be used: give a whole number from 0 to 65535.',
        "Change the named variable, or unset it to get its default, and start again.",
    ]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "perene.app", module)
    return module


@pytest.mark.requirement("D9")
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RefusedToStart("The data directory is in use by another process."), REFUSED),
        (DatabaseTaken("Another service took it: process 7 on web-2."), TAKEN_OVER),
        (ServiceFailed("The service ended, because a part failed: http server."), FAILED),
    ],
    ids=["refused", "database taken", "part failed"],
)
def test_a_service_that_ends_says_why_and_what_to_do_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    service: SimpleNamespace,
    error: PereneError,
    status: int,
):
    service.serve = AsyncMock(side_effect=error)
    assert run(monkeypatch, "serve") == status
    assert capsys.readouterr().err.splitlines() == [str(error), error.remedy]


def test_a_service_that_ends_by_itself_ends_well(
    monkeypatch: pytest.MonkeyPatch, service: SimpleNamespace
):
    async def serve(settings: object) -> None:
        pass

    service.serve = serve
    assert run(monkeypatch, "serve") == 0


def test_the_demo_gets_its_own_arguments_and_gives_the_status(monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[str, ...]] = []

    def main(arguments: tuple[str, ...]) -> int:
        seen.append(arguments)
        return 3

    monkeypatch.setitem(sys.modules, "perene.demo", SimpleNamespace(main=main))
    assert run(monkeypatch, "demo", "--exit", "--help") == 3
    assert seen == [("--exit", "--help")]


def test_the_simulator_starts_as_it_is_told(monkeypatch: pytest.MonkeyPatch):
    seen: list[object] = []

    async def main(host: str, port: int, **options: object) -> None:
        seen.append((host, port, options["seed"], options["tls"]))

    monkeypatch.setitem(sys.modules, "perene.sim", SimpleNamespace(main=main))
    assert run(monkeypatch, "sim", "--port", "0", "--seed", "7", "--tls") == 0
    assert seen == [("127.0.0.1", 0, 7, True)]


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_simulator_is_given_no_port_that_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str
):
    assert run(monkeypatch, "sim", "--port", port) == cli.REFUSED
    assert "--port" in capsys.readouterr().err


def test_a_simulator_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    async def main(host: str, port: int, **options: object) -> None:
        raise ValueError("root.key does not hold a key of 64 hex digits")

    monkeypatch.setitem(sys.modules, "perene.sim", SimpleNamespace(main=main))
    assert run(monkeypatch, "sim") == cli.REFUSED
    told = "The simulator cannot start: root.key does not hold a key of 64 hex digits.\n"
    assert capsys.readouterr().err == told


def test_an_unknown_command_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(monkeypatch, "serv") != 0
    assert "serv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), REFUSED, "No space left on device"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), UNREAD, ""),
    ],
)
def test_output_that_cannot_be_written_brings_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError,
    status: int,
    told: str,
):
    monkeypatch.setattr("sys.stdout.write", Mock(side_effect=error))
    assert run(monkeypatch, "policy") == status
    assert told in capsys.readouterr().err


def test_signs_that_a_terminal_cannot_show_are_replaced():
    done = subprocess.run(
        [sys.executable, "-c", "from perene.cli import main; main()", "policy"],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"10 ?" in done.stdout or b"?10 %" in done.stdout


@pytest.mark.parametrize("command", ["version", "policy"])
def test_a_closed_output_brings_no_traceback(command: str):
    script = f"exec '{sys.executable}' -m perene {command} >&-"
    done = subprocess.run(["/bin/sh", "-c", script], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
