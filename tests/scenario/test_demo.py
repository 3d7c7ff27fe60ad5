"""`perene demo` as a newcomer runs it."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

_DEMO = [str(Path(sys.executable).parent / "perene"), "demo"]


@pytest.mark.requirement("F1")
@pytest.mark.timeout(180)
@pytest.mark.slow
def test_the_demo_kills_perene_and_finds_nothing_lost_or_doubled() -> None:
    done = subprocess.run([*_DEMO, "--exit"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "kill -9" in done.stdout
    rows = re.findall(r"(?:people →|→ people).*?(\d+) +(\d+) +(\d+) +(\d+)\n", done.stdout)
    assert len(rows) == 4
    assert all(sent == arrived != "0" for sent, arrived, _, _ in rows)
    assert all((doubled, lost) == ("0", "0") for _, _, doubled, lost in rows)
    assert not _folder(done.stdout).exists()


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_the_demo_leaves_nothing_behind_when_it_is_stopped() -> None:
    with subprocess.Popen(_DEMO, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        printed = ""
        while "2. Link" not in printed:
            line = demo.stdout.readline()
            assert line, printed
            printed += line
        demo.send_signal(signal.SIGINT)
        printed += demo.stdout.read()

    assert demo.returncode == 130
    assert not _folder(printed).exists()
    ports = set(re.findall(r"http://127\.0\.0\.1:(\d+)", printed))
    assert len(ports) == 2
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def _folder(printed: str) -> Path:
    found = re.search(r"Files and logs: (\S+)", printed)
    assert found, printed
    return Path(found[1])
