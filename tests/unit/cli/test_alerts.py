"""`perene alert test`: real messages to receivers on this machine."""

import json
import socket
from collections.abc import Iterator

import pytest

from perene.cli.exits import REFUSED, REFUSED_BY_SERVICE
from tests.support.receiver import Receiver
from tests.unit.cli.conftest import Shell

HEAD = ["RECEIVER", "ADDRESS", "RESULT"]


@pytest.fixture
def receivers() -> Iterator[tuple[Receiver, Receiver]]:
    first, second = Receiver(), Receiver()
    yield first, second
    first.close()
    second.close()


@pytest.fixture(autouse=True)
def urls(monkeypatch: pytest.MonkeyPatch, receivers: tuple[Receiver, Receiver]) -> None:
    monkeypatch.setenv("PERENE_ALERT_URLS", " ".join(one.url for one in receivers))


def port(receiver: Receiver) -> int:
    return receiver.server.server_port


def test_each_receiver_gets_a_message_that_says_that_it_is_a_test(
    shell: Shell, receivers: tuple[Receiver, Receiver]
):
    head, *lines = shell.read("alert", "test").splitlines()
    assert head.split() == HEAD
    for place, (line, receiver) in enumerate(zip(lines, receivers, strict=True), start=1):
        assert line.startswith(f"address {place}  JSON json://127.0.0.1:{port(receiver)}/…  ")
        assert "  delivered in " in line
        (posted,) = receiver.posted
        assert posted["title"] == "Test: nothing is wrong with Perene"
        assert posted["type"] == "info"
        assert socket.gethostname() in posted["message"]
        assert "There is nothing to do." in posted["message"]


def test_a_receiver_that_fails_is_told_of_with_the_reason_and_keeps_no_other(
    shell: Shell, receivers: tuple[Receiver, Receiver]
):
    receivers[0].status = 403
    assert shell("alert", "test") == REFUSED_BY_SERVICE
    first, second = shell.out.splitlines()[1:]
    assert first.endswith("not delivered: its host answered HTTP 403")
    assert "  delivered in " in second
    assert len(receivers[1].posted) == 1
    for secret in ("hidden", "hook"):
        assert secret not in shell.out + shell.err


def test_the_results_can_be_read_by_programs(shell: Shell, receivers: tuple[Receiver, Receiver]):
    receivers[1].status = 500
    assert shell("alert", "test", "--json") == REFUSED_BY_SERVICE
    first, second = json.loads(shell.out)["items"]
    assert first.pop("took_s") >= 0
    assert first == {
        "receiver": "address 1",
        "address": f"JSON json://127.0.0.1:{port(receivers[0])}/…",
        "failure": None,
        "delivered": True,
    }
    assert (second["delivered"], "HTTP 500" in second["failure"]) == (False, True)


def test_without_a_receiver_it_says_which_variable_sets_one(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PERENE_ALERT_URLS", " ")
    assert shell("alert", "test") == REFUSED
    assert (shell.out, "PERENE_ALERT_URLS" in shell.err) == ("", True)


def test_an_address_that_cannot_be_used_is_named_and_nobody_is_told(
    shell: Shell, receivers: tuple[Receiver, Receiver], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PERENE_ALERT_URLS", f"{receivers[0].url} nosuch://s3cret")
    assert shell("alert", "test") == REFUSED
    assert shell.err.startswith("Address 2 in PERENE_ALERT_URLS cannot be used: ")
    assert "s3cret" not in shell.err
    assert receivers[0].posted == []


def test_a_setting_that_cannot_be_read_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_PORT", "abc")
    assert shell("alert", "test") == REFUSED
    assert "PERENE_PORT" in shell.err
