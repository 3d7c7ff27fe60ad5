"""The service's own steps at a start."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from perene.app import serve
from perene.app.announcing import announce
from perene.app.watch import hold_watch
from perene.app.web import most_connections
from perene.core.alert_overrides import WrongAlertRules
from perene.core.errors import StorageUnavailable
from perene.delivery.addresses import WrongAlertUrl
from perene.process.threads import NoMoreThreads
from perene.settings import Settings, WrongSetting
from tests.support.record import PATIENCE_S
from tests.support.virtual_clock import VirtualClock


async def test_a_start_goes_on_when_the_database_falls_silent_before_the_first_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Mock(list_api_keys=AsyncMock(side_effect=StorageUnavailable("no answer within 10 s")))
    await announce(Settings(data_dir=tmp_path), store, 8080)
    told = capsys.readouterr().out
    assert "serves at http://127.0.0.1:8080" in told
    assert "pk_" not in told


async def test_a_bug_in_making_the_first_key_is_told_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Mock(list_api_keys=AsyncMock(side_effect=ZeroDivisionError))
    with capture_logs() as lines:
        await announce(Settings(data_dir=tmp_path), store, 8080)
    (told,) = [line for line in lines if line["event"] == "first_key_not_made"]
    assert told["log_level"] == "error"
    assert told["exc_info"]
    assert "serves at http://127.0.0.1:8080" in capsys.readouterr().out


async def test_a_start_without_a_thread_left_to_tell_of_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Mock(list_api_keys=AsyncMock(return_value=["a key"]))
    no_thread = Mock(side_effect=NoMoreThreads("none"))
    monkeypatch.setattr("perene.app.announcing.in_thread", no_thread)
    with capture_logs() as lines:
        await announce(Settings(data_dir=tmp_path), store, 8080)
    assert [line["event"] for line in lines] == ["serving"]
    no_thread.assert_called_once()


@pytest.mark.parametrize(("files", "most"), [(1024, 512), (2**20, 10_100), (None, 10_100)])
def test_the_api_leaves_half_of_what_may_be_open_to_sessions_and_takes_no_endless_number(
    tmp_path: Path, files: int | None, most: int
) -> None:
    assert most_connections(Settings(data_dir=tmp_path, max_event_streams=100), files) == most


@pytest.mark.requirement("D9")
async def test_names_that_nobody_resolves_do_not_keep_the_service_from_holding_its_database() -> (
    None
):
    answered, loop = threading.Event(), asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as resolvers:
        loop.set_default_executor(resolvers)
        resolving = loop.run_in_executor(None, answered.wait, 2 * PATIENCE_S)
        lock = Mock(keep=Mock(return_value=False))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await hold_watch(lock, VirtualClock()).look()
        finally:
            answered.set()
            await resolving
    lock.keep.assert_called_once()


async def test_a_start_goes_on_when_nobody_can_be_shown_the_first_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Mock(
        list_api_keys=AsyncMock(return_value=[]),
        create_api_key=AsyncMock(return_value=(None, "pk_unseen")),
    )
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "w") as full, capture_logs() as lines:
        monkeypatch.setattr("sys.stdout", full)
        await announce(Settings(data_dir=tmp_path, host="::1"), store, 8080)
    told = {line["event"]: line for line in lines}
    assert "perene key create" in told["first_key_not_shown"]["remedy"]
    assert told["serving"]["url"] == "http://[::1]:8080"
    assert "pk_unseen" not in repr(lines)


@pytest.mark.parametrize("content", [None, b"no certificate"])
async def test_a_file_of_tls_authorities_that_no_dial_could_use_refuses_the_start(
    tmp_path: Path, content: bytes | None
) -> None:
    named, folder = tmp_path / "ca.pem", tmp_path / "data"
    if content is not None:
        named.write_bytes(content)
    with pytest.raises(WrongSetting, match=r"PERENE_TLS_CA_FILE names .*ca\.pem"):
        await serve(Settings(data_dir=folder, tls_ca_file=named))
    assert not folder.exists()


async def test_wrong_rules_or_receivers_of_alerts_refuse_the_start_before_anything_is_made(
    tmp_path: Path,
) -> None:
    rules, folder = tmp_path / "rules.toml", tmp_path / "data"
    rules.write_text("[rules.session_down]\nabov = 1\n")
    with pytest.raises(WrongAlertRules):
        await serve(Settings(data_dir=folder, alert_rules_file=rules))
    with pytest.raises(WrongAlertUrl):
        await serve(Settings(data_dir=folder, alert_urls=SecretStr("nosuch://a")))
    assert not folder.exists()
