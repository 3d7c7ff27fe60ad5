"""What asks a service to end is heard from its first moment, and is no crash."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from perene.process.signals import ending_at_once, signalled
from tests.support.record import PATIENCE_S

ENDING = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture(autouse=True)
def heeded() -> Generator[None]:
    """Have SIGHUP mean something, also where the tests themselves run under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@contextmanager
def starting(
    folder: Path, *prefix: str, stderr: int = subprocess.PIPE
) -> Generator[subprocess.Popen[str]]:
    """Run `perene serve` up to where it waits for its database, which takes what it is sent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        port = silent.getsockname()[1]
        with subprocess.Popen(  # our own command
            [*prefix, sys.executable, "-m", "perene", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
            env={
                **{name: told for name, told in os.environ.items() if "PERENE_" not in name},
                "PERENE_DATA_DIR": str(folder / "data"),
                "PERENE_DATABASE_URL": f"postgresql://user@127.0.0.1:{port}/perene",
            },
        ) as process:
            try:
                connection, _ = silent.accept()
                with connection:
                    yield process
            finally:
                process.kill()


@pytest.mark.parametrize("number", ENDING)
def test_a_service_that_starts_ends_at_once_when_it_is_asked_to(
    tmp_path: Path, number: signal.Signals
) -> None:
    with starting(tmp_path) as process:
        process.send_signal(number)
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (130 if number == signal.SIGINT else 0)
    assert told == f"Stopped by {number.name}.\n"


def test_a_start_whose_words_nobody_reads_ends_all_the_same(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(4096))
        os.set_blocking(writer, True)
        with starting(tmp_path, stderr=writer) as process:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_a_service_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    with starting(tmp_path, "nohup") as process:
        process.send_signal(signal.SIGHUP)
        process.terminate()
        _, told = process.communicate(timeout=PATIENCE_S)
    assert "SIGHUP" not in told
    assert process.returncode == 0


@pytest.mark.parametrize("number", ENDING)
async def test_a_service_that_runs_is_told_of_the_first_and_ends_in_order(
    number: signal.Signals,
) -> None:
    with ending_at_once(interrupted=1):
        waiting = asyncio.create_task(signalled())
        await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        async with asyncio.timeout(PATIENCE_S):
            await waiting
        os.kill(os.getpid(), number)  # a second one changes nothing
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        for one in ENDING:
            loop.remove_signal_handler(one)


def test_what_signals_did_before_they_do_again() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    with ending_at_once(interrupted=1):
        assert all(callable(signal.getsignal(number)) for number in ENDING)
    assert [signal.getsignal(number) for number in ENDING] == before
