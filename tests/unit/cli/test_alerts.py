"""`perene alert test`: the service is asked, and the service sends."""

import json
from collections.abc import Iterator

import httpx2
import pytest
from structlog.testing import capture_logs

from perene.cli.exits import REFUSED, REFUSED_BY_SERVICE
from perene.core.clock import SystemClock
from perene.delivery.alerts import notifiers_for
from perene.delivery.trial import Trial
from perene.process.threads import Threads
from tests.support.receiver import Receiver
from tests.unit.api.fakes import Fakes
from tests.unit.cli.conftest import Shell

HEAD = ["RECEIVER", "ADDRESS", "RESULT"]


@pytest.fixture
def receivers(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Receiver, Receiver]]:
    """The receivers of the service that the commands ask."""
    first, second = Receiver(), Receiver()
    notifiers = notifiers_for(f"{first.url} {second.url}", lambda: Threads(1, "trial"))
    trial = Trial(notifiers, SystemClock(), host="box.example")
    monkeypatch.setattr(fakes.trial, "run", trial.run)
    with capture_logs():  # which a service writes elsewhere
        yield first, second
    first.close()
    second.close()


@pytest.fixture(autouse=True)
def other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the shell are none of the service's, and could not even be used."""
    monkeypatch.setenv("PERENE_ALERT_URLS", "nosuch://s3cret")


def test_what_the_service_sent_is_told_for_each_receiver(
    shell: Shell, receivers: tuple[Receiver, Receiver]
) -> None:
    head, *lines = shell.read("alert", "test").splitlines()
    assert head.split() == HEAD
    for place, (line, receiver) in enumerate(zip(lines, receivers, strict=True), start=1):
        assert line.startswith(f"address {place}  JSON json://127.0.0.1:{receiver.port}/…  ")
        assert "  delivered in " in line
        assert len(receiver.posted) == 1


def test_a_receiver_that_fails_is_told_of_with_the_reason(
    shell: Shell, receivers: tuple[Receiver, Receiver]
) -> None:
    receivers[0].status = 403
    assert shell("alert", "test") == REFUSED_BY_SERVICE
    first, second = shell.out.splitlines()[1:]
    assert first.endswith("not delivered: its host answered HTTP 403")
    assert "  delivered in " in second
    for secret in ("hidden", "hook", "s3cret"):
        assert secret not in shell.out + shell.err


def test_the_results_can_be_read_by_programs(
    shell: Shell, receivers: tuple[Receiver, Receiver]
) -> None:
    receivers[1].status = 500
    assert shell("alert", "test", "--json") == REFUSED_BY_SERVICE
    first, second = json.loads(shell.out)["items"]
    assert first.pop("took_s") >= 0
    assert first == {
        "receiver": "address 1",
        "address": f"JSON json://127.0.0.1:{receivers[0].port}/…",
        "delivered": True,
        "failure": None,
    }
    assert (second["delivered"], second["failure"]) == (False, "its host answered HTTP 500")


def test_a_service_without_a_receiver_fails_the_test(shell: Shell, fakes: Fakes) -> None:
    assert shell("alert", "test") == REFUSED_BY_SERVICE
    assert (shell.out, "PERENE_ALERT_URLS" in shell.err) == ("", True)
    assert shell("alert", "test", "--json") == REFUSED_BY_SERVICE
    assert json.loads(shell.out) == {"items": []}


def test_a_test_that_is_under_way_is_told(shell: Shell, fakes: Fakes) -> None:
    fakes.trial.under_way = True
    assert shell("alert", "test") == REFUSED_BY_SERVICE
    assert "being tested already" in shell.err
    assert "Ask again" in shell.err


def test_without_a_service_it_says_how_to_start_one_and_sends_nothing(shell: Shell) -> None:
    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    shell.answer_with(nobody)
    assert shell("alert", "test") == REFUSED
    assert (shell.out, "perene serve" in shell.err) == ("", True)
