"""The command: it says how to be used, and keeps its root key."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from perene.sim import Simulator, main, serve
from perene.sim.main import describe, read_root


def test_a_root_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    made = read_root(path)
    assert read_root(path) == made
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    path.write_text("abcd")
    with pytest.raises(ValueError, match="64 hex digits"):
        read_root(path)


async def test_what_is_printed_is_enough_to_connect() -> None:
    simulator = Simulator()
    server = await serve(simulator)
    text = describe(server)
    await server.close()
    for part in (server.ws_url, server.admin_url, server.root_key.hex()):
        assert part in text


async def test_the_command_runs_until_it_is_told_to_stop(
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = asyncio.create_task(main(port=0))
    while not capsys.readouterr().out:  # noqa: ASYNC110  # a command has no event to wait for
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    await running
