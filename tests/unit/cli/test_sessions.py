"""`perene session …` against the real API over fake ports, and against answers made up here."""

import json
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock

import httpx2
import pytest

from perene.cli.exits import REFUSED_BY_SERVICE
from perene.cli.service import JsonObject
from perene.cli.session_text import session_page, sessions_table
from perene.core.causes import Cause
from perene.core.errors import StorageUnavailable
from perene.core.ids import SessionId
from tests.unit.api.fakes import Fakes
from tests.unit.cli.conftest import Shell, json_answer

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
WAITING = {
    "id": "desk",
    "name": "Front desk",
    "desired": "running",
    "connection": "waiting",
    "connected_at": None,
    "alive_at": "2026-05-01T11:00:00Z",
    "paired": True,
    "phone": "5511999991234",
    "cause": "restart_required",
    "attempt": 3,
    "limit": 10,
    "retry_at": (NOW + timedelta(seconds=250)).isoformat(),
    "last_error": "WhatsApp asked for a new stream.",
    "outage_began_at": "2026-05-01T11:00:05Z",
    "ban": {"code": "101", "meaning": "Too many strangers.", "until": "2026-05-02T00:00:00Z"},
    "created_at": "2026-04-01T00:00:00Z",
    "options": {"history_sync": False, "mark_online": None, "proxy": None},
}
OUTAGE = {
    "began_at": "2026-05-01T11:00:00Z",
    "ended_at": None,
    "cause": "restart_required",
    "code": "515",
    "attempts": 3,
    "end": None,
    "attributes": {"code": "515"},
    "sentence": "WhatsApp asked for a new stream.",
    "losses": [
        {"cause": "restart_required", "code": "515", "attributes": {"code": "515"}, "times": 2},
        {"cause": "network", "code": "socket_closed", "attributes": {}, "times": 1},
    ],
}


@pytest.mark.requirement("D11")
def test_the_list_shows_what_a_session_waits_for():
    header, row = sessions_table([WAITING], NOW).splitlines()
    assert header.split("  ")[0] == "ID"
    for told in ("desk", "Front desk", "waiting", "…1234", "restart required", "3 of 10"):
        assert told in row
    assert row.endswith("in 4 min 10 s")
    assert "555119999" not in row.replace("…", "")
    assert "5511999991234" not in row


def test_columns_that_are_empty_are_left_out():
    quiet = {**WAITING, "cause": None, "attempt": 0, "retry_at": None}
    assert "CAUSE" not in sessions_table([quiet], NOW)


def test_a_session_is_shown_with_its_outages():
    page = session_page(WAITING, [OUTAGE], {}, NOW)
    assert "last proof of life  2026-05-01 11:00:00 UTC" in page
    assert "Too many strangers (code 101), until 2026-05-02 00:00:00 UTC" in page
    assert "outage since        2026-05-01 11:00:05 UTC" in page
    assert "history sync        no" in page
    *_, header, first, second = page.splitlines()
    assert header == (
        "BEGAN                    LASTED  ATTEMPTS  END      CAUSE             CODE           TIMES"
        "  EVIDENCE"
    )
    assert first == (
        "2026-05-01 11:00:00 UTC  1 h     3         not yet  restart required  515            2"
        "      code=515"
    )
    assert second.split() == ["network", "socket_closed", "1"]


LIMIT = {
    "code": "463",
    "meaning": "The account may not begin chats.",
    "since": "2026-05-01T10:00:00Z",
    "until": "2026-05-02T10:00:00Z",
    "told": True,
    "count": 1,
}
ACCOUNT: JsonObject = {
    "limits": [LIMIT],
    "ban": None,
    "new_chats_24h": 12,
    "allowance": 30,
    "pause_s": 60.0,
    "next_chat_at": (NOW + timedelta(seconds=45)).isoformat(),
}


def on_page(account: JsonObject) -> list[str]:
    lines = session_page(WAITING, [], account, NOW).splitlines()
    return [" ".join(line.split()) for line in lines if "new chat" in line]


@pytest.mark.requirement("F10")
def test_a_session_is_shown_with_what_its_account_may_do():
    until = "until 2026-05-02 10:00:00 UTC"
    assert on_page(ACCOUNT) == [
        f"new chats limited The account may not begin chats (code 463), WhatsApp says {until}",
        "new chats in 24 h 12 of 30",
        "next new chat in 45 s",
    ]
    assert f"Perene holds them {until}" in on_page({"limits": [{**LIMIT, "told": False}]})[0]


@pytest.mark.requirement("F10")
def test_an_account_that_nothing_holds_back_is_no_reason_for_words():
    free: JsonObject = {"limits": [], "new_chats_24h": 0, "allowance": None, "next_chat_at": None}
    assert on_page(free) == []
    assert on_page({**free, "new_chats_24h": 3}) == ["new chats in 24 h 3"]
    assert on_page({**free, "allowance": 5}) == ["new chats in 24 h 0 of 5"]
    assert on_page({**free, "next_chat_at": NOW.isoformat()}) == []


@pytest.mark.requirement("D9")
def test_a_session_whose_number_is_linked_twice_names_the_other():
    assert "linked as well" not in session_page(WAITING, [], {}, NOW)
    page = session_page({**WAITING, "twins": ["home", "shop"]}, [], {}, NOW)
    assert "linked as well      in home, shop: each receives every message" in page


def test_an_outage_of_a_service_that_lists_no_losses_is_shown_by_its_cause():
    older = {name: value for name, value in OUTAGE.items() if name != "losses"}
    row = " ".join(session_page(WAITING, [older], {}, NOW).splitlines()[-1].split())
    assert row == "2026-05-01 11:00:00 UTC 1 h 3 not yet restart required 515 code=515"


def test_the_list_of_a_service_names_each_session(shell: Shell, fakes: Fakes):
    fakes.gateway.add("one")
    fakes.gateway.add("two", paired=False)
    lines = shell.read("session", "list").splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "one", "two"]
    assert "…0000" in lines[1]


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        (None, None, "http://127.0.0.1:8080"),
        (None, "8791", "http://127.0.0.1:8791"),
        ("0.0.0.0", "8791", "http://127.0.0.1:8791"),  # noqa: S104  # nothing is bound
        ("::", None, "http://[::1]:8080"),
        ("10.1.2.3", "9000", "http://10.1.2.3:9000"),
    ],
)
def test_a_service_is_asked_where_the_settings_have_it_listen(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, host: str | None, port: str | None, url: str
):
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(200, json={"items": []})

    shell.answer_with(answer)
    for name, value in (("PERENE_HOST", host), ("PERENE_PORT", port)):
        if value is not None:
            monkeypatch.setenv(name, value)
    shell.read("session", "list")
    assert asked == [f"{url}/v1/sessions"]


def test_an_empty_list_says_how_to_begin(shell: Shell, fakes: Fakes):
    assert "perene session pair" in shell.read("session", "list")


def test_json_is_the_answer_of_the_service(shell: Shell, fakes: Fakes):
    fakes.gateway.add("one")
    assert json.loads(shell.read("session", "list", "--json"))["items"][0]["id"] == "one"


def test_a_session_is_stopped_and_started(shell: Shell, fakes: Fakes):
    fakes.gateway.add("one")
    assert "wanted stopped; its connection is: stopped." in shell.read("session", "stop", "one")
    assert "wanted running; its connection is: open." in shell.read("session", "start", "one")
    assert fakes.gateway.calls == ["stopped", "running"]


def test_a_session_that_does_not_exist_is_refused_in_sentences(shell: Shell, fakes: Fakes):
    assert shell("session", "start", "nobody") == 1
    assert "There is no such session." in shell.err
    assert "`perene session list` shows the sessions that exist." in shell.err


def test_an_id_that_cannot_be_one_reaches_no_other_address(shell: Shell, fakes: Fakes):
    assert shell("session", "start", "../events?x") == 2
    assert '"../events?x" is not the id of a session.' in shell.err
    assert fakes.gateway.calls == []


def test_a_wrong_key_is_told(shell: Shell, fakes: Fakes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_API_KEY", "pk_wrong")
    assert shell("session", "list") == 1
    assert "does not know this API key" in shell.err
    assert "pk_wrong" not in shell.err


def test_the_key_can_be_in_a_file(
    shell: Shell, fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PERENE_API_KEY", "pk_wrong")
    file = tmp_path / "key"
    file.write_text("pk_right\n")
    assert shell("session", "list", "--api-key-file", str(file)) == 0


@pytest.mark.parametrize("content", [None, "", "two words", "schlüssel"])
def test_a_file_without_a_key_is_refused_without_quoting_it(
    shell: Shell, tmp_path: Path, content: str | None
):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    assert shell("session", "list", "--api-key-file", str(file)) == 2
    assert len(shell.err.splitlines()) == 2
    assert not content or content not in shell.err


def test_a_missing_key_is_told(shell: Shell):
    assert shell("session", "list") == 2
    assert "PERENE_API_KEY" in shell.err


def test_a_service_that_does_not_run_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_API_KEY", "pk_right")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        assert shell("session", "list", "--url", f"http://127.0.0.1:{port}") == 2
    assert "No service answers" in shell.err
    assert "perene serve" in shell.err


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://localhost", "http://", "http://[::1", "http://localhost:abc"]
)
def test_an_address_that_is_none_is_refused(shell: Shell, url: str):
    assert shell("session", "list", "--url", url) == 2
    assert "not the address" in shell.err


def test_a_port_that_is_none_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_PORT", "abc")
    assert shell("session", "list") == 2
    assert '"http://127.0.0.1:abc" is not the address' in shell.err
    assert "PERENE_PORT" in shell.err


def test_an_address_with_a_path_too_many_is_told(shell: Shell, fakes: Fakes):
    assert shell("session", "list", "--url", "http://127.0.0.1:8080/v1") == 1
    assert "There is nothing of this at http://127.0.0.1:8080/v1/v1/sessions." in shell.err
    assert "without a path" in shell.err


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("[Errno 111] Connection refused", "Connection refused"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:992)", "wrong version number"),
        ("", "ConnectError"),
    ],
)
def test_why_no_service_answers_is_told(shell: Shell, error: str, reason: str):
    def handle(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(error, request=request)

    shell.answer_with(handle)
    assert shell("session", "list") == 2
    assert shell.err.startswith(f"No service answers at http://127.0.0.1:8080 ({reason}).")


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, content="<html>", headers={"content-type": "text/html"}),
        httpx2.Response(502, content="bad gateway"),
        httpx2.Response(400, content="[]", headers={"content-type": "application/problem+json"}),
    ],
)
def test_another_server_is_not_taken_for_perene(shell: Shell, answer: httpx2.Response):
    shell.answer_with(lambda request: answer)
    assert shell("session", "list") == 2
    assert "is not Perene" in shell.err


def test_a_service_that_takes_too_long_is_told(shell: Shell):
    def handle(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("slow", request=request)

    shell.answer_with(handle)
    assert shell("session", "list") == 2
    assert "did not answer in time" in shell.err


def test_show_asks_for_the_outages_and_the_account_too(shell: Shell):
    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/account"):
            return json_answer(ACCOUNT)
        if request.url.path.endswith("/outages"):
            return json_answer({"items": [OUTAGE], "next_cursor": None})
        return json_answer(WAITING)

    shell.answer_with(handle)
    printed = shell.read("session", "show", "desk")
    assert "515" in printed
    assert "12 of 30" in printed
    told = json.loads(shell.read("session", "show", "desk", "--json"))
    assert (told["outages"], told["account"]) == ([OUTAGE], ACCOUNT)


def test_the_api_shows_an_outage_as_it_is(shell: Shell, fakes: Fakes):
    fakes.gateway.add("one")
    assert "No outage is on record" in shell.read("session", "show", "one")
    fakes.gateway.lose("one", Cause.DNS)
    printed = shell.read("session", "show", "one")
    assert "not yet" in printed
    assert "reason=***" in printed


def test_the_api_restarts_and_logs_out(shell: Shell, fakes: Fakes):
    fakes.gateway.add("one", running=False)
    assert "wanted running" in shell.read("session", "restart", "one")
    assert "wanted stopped" in shell.read("session", "logout", "one", "--yes")
    assert not fakes.gateway.sessions[SessionId("one")].record.has_credentials


def test_nothing_is_logged_out_without_a_person(shell: Shell, fakes: Fakes):
    fakes.gateway.add("one")
    assert shell("session", "logout", "one") == 2
    assert "--yes" in shell.err
    assert fakes.gateway.calls == []


@pytest.mark.parametrize("typed", ["", "n", "no", "one"])
def test_anything_but_yes_logs_nothing_out(
    shell: Shell, fakes: Fakes, monkeypatch: pytest.MonkeyPatch, typed: str
):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: typed)
    assert "Nothing was changed" in shell.read("session", "logout", "one")
    assert fakes.gateway.calls == []


def test_a_database_that_is_away_is_told_for_a_person(
    shell: Shell, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = AsyncMock(side_effect=StorageUnavailable("the database is away (its disk is full)"))
    monkeypatch.setattr(fakes.gateway, "list_sessions", away)
    assert shell("session", "list") == REFUSED_BY_SERVICE
    first, second = shell.err.splitlines()
    assert first == "The database is away (its disk is full)."
    assert "perene doctor" in second


@pytest.mark.requirement("E8")
def test_sessions_that_memory_tells_of_say_how_old_their_stored_half_is(
    shell: Shell, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.gateway.add("one")
    fakes.gateway.sessions[SessionId("one")] = replace(
        fakes.gateway.sessions[SessionId("one")], as_of=NOW
    )
    away = AsyncMock(side_effect=StorageUnavailable("the database is away"))
    monkeypatch.setattr(fakes.gateway, "outages", away)
    for command in (("list",), ("show", "one")):
        told = shell.read("session", *command)
        assert "The database does not answer" in told
        assert "as of 2026-05-01 12:00:00 UTC" in told
        assert "No outage is on record" not in told
    told = json.loads(shell.read("session", "show", "one", "--json"))
    assert (told["outages"], told["account"]) == (None, None)
    assert json.loads(shell.read("session", "list", "--json"))["items"][0]["as_of"] is not None
