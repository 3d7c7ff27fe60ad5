"""`perene doctor`: lines for people, JSON for programs, and the exit status."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell


def test_each_finding_has_a_line_and_a_remedy_below(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PERENE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PERENE_PORT", "0")
    lines = shell.read("doctor", "--offline").splitlines()
    assert lines[0].startswith("ok    settings        ")
    assert lines[1].startswith("warn  data directory  ")
    assert lines[2].strip() == "`perene serve` makes it."
    assert list(tmp_path.iterdir()) == []


def test_a_failed_check_is_the_exit_status(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_PORT", "abc")
    assert shell("doctor") == 1
    assert shell.out.startswith("fail  settings  PERENE_PORT")


def test_the_findings_can_be_read_by_programs(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PERENE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PERENE_PORT", "0")
    found = json.loads(shell.read("doctor", "--offline", "--json"))
    assert found[0] == {
        "level": "ok",
        "name": "settings",
        "sentence": "Every variable can be read.",
        "remedy": None,
    }
