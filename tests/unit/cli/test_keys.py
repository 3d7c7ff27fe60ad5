"""The commands that make and revoke API keys, on a real database."""

import asyncio
import errno
import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from perene.cli.exits import INTERRUPTED, REFUSED, REFUSED_BY_SERVICE
from perene.core.clock import SystemClock
from perene.settings import Settings
from perene.store.store import Store
from tests.unit.cli.conftest import Shell


def open_store(folder: Path) -> Store:
    settings = Settings(data_dir=folder)
    return Store.open(settings.database, clock=SystemClock(), key_file=settings.master_key_path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of a service that is stopped."""
    monkeypatch.setenv("PERENE_DATA_DIR", str(tmp_path))
    asyncio.run(open_store(tmp_path).close())
    return tmp_path


def owner(folder: Path, text: str) -> str | None:
    async def ask() -> str | None:
        store = open_store(folder)
        try:
            found = await store.verify_api_key(text)
            return None if found is None else found.name
        finally:
            await store.close()

    return asyncio.run(ask())


def made(shell: Shell, name: str) -> tuple[str, str]:
    """Make a key and return its id and its text."""
    text = shell.read("key", "create", name).strip()
    told = json.loads(shell.read("key", "list", "--json"))["items"]
    return told[-1]["id"], text


def test_a_key_is_made_listed_and_revoked(shell: Shell, folder: Path) -> None:
    assert "no API keys" in shell.read("key", "list")
    text = shell.read("key", "create", "help desk").strip()
    assert shell.out == f"{text}\n"
    assert "shown only now" in shell.err
    assert owner(folder, text) == "help desk"
    head, line = shell.read("key", "list").splitlines()
    assert head.split() == ["ID", "NAME", "MADE"]
    key_id = line.split()[0]
    assert "help desk" in line
    assert text not in line
    assert shell.read("key", "revoke", key_id, "--yes").startswith(
        f"The key {key_id} of help desk is revoked.\nNo key is left"
    )
    assert owner(folder, text) is None
    assert shell("key", "revoke", key_id, "--yes") == REFUSED_BY_SERVICE
    assert (
        shell.err == f"There is no API key {key_id}.\n`perene key list` shows those that exist.\n"
    )


def test_other_keys_stay_when_one_is_revoked(shell: Shell, folder: Path) -> None:
    revoked, _ = made(shell, "left us")
    _, kept = made(shell, "board")
    assert "No key is left" not in shell.read("key", "revoke", revoked, "--yes")
    assert owner(folder, kept) == "board"


@pytest.mark.parametrize(("answer", "status"), [("", 0), ("n", 0), (None, INTERRUPTED)])
def test_without_a_yes_nothing_is_revoked(
    shell: Shell,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str | None,
    status: int,
) -> None:
    def ask(question: str) -> str:
        assert "desk" in question
        if answer is None:
            raise KeyboardInterrupt
        return answer

    key_id, text = made(shell, "desk")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ask)
    assert shell("key", "revoke", key_id) == status
    assert "Nothing was changed." in shell.out
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert shell("key", "revoke", key_id) == REFUSED
    assert "--yes" in shell.err
    assert owner(folder, text) == "desk"


def test_what_is_no_id_is_refused_without_being_shown(shell: Shell, folder: Path) -> None:
    _, text = made(shell, "desk")
    assert shell("key", "revoke", text, "--yes") == REFUSED
    assert text not in shell.out + shell.err
    assert owner(folder, text) == "desk"


def test_a_key_that_could_not_be_shown_is_not_kept(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout.write", Mock(side_effect=full))
        assert shell("key", "create", "desk") == REFUSED
    assert "cannot be written" in shell.err
    assert json.loads(shell.read("key", "list", "--json")) == {"items": []}


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201, "\x1b[31m"])
def test_a_name_that_cannot_be_shown_is_refused(shell: Shell, folder: Path, name: str) -> None:
    assert shell("key", "create", name) == REFUSED
    assert shell.out == ""
    assert "cannot be the name" in shell.err


def test_nothing_is_made_where_no_service_was(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENE_DATA_DIR", str(tmp_path / "typo"))
    for arguments in (("list",), ("create", "desk"), ("revoke", "k_0123456789ab", "--yes")):
        assert shell("key", *arguments) == REFUSED
        assert "does not exist yet" in shell.err
        assert "variables" in shell.err
    assert not (tmp_path / "typo").exists()


def test_a_wrong_setting_is_told_in_a_sentence(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENE_PORT", "abc")
    assert shell("key", "list") == REFUSED
    assert shell.err.startswith('PERENE_PORT is "abc"')
