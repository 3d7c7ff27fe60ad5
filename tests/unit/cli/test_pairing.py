"""`perene session pair`: from nothing to a linked session."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx2
import pytest

from perene.cli.exits import INTERRUPTED
from perene.core.ids import SessionId
from tests.unit.api.fakes import QR, Fakes
from tests.unit.cli.conftest import Shell, json_answer

DESK = SessionId("desk")


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let things happen while the command waits between two looks, one at each wait."""

    def script(*happenings: Callable[[], None]) -> None:
        left = list(happenings)

        def sleep(seconds: float) -> None:
            assert left, "the command waits for ever"
            left.pop(0)()

        monkeypatch.setattr("perene.cli.pairing.time.sleep", sleep)

    return script


def link(fakes: Fakes) -> None:
    view = fakes.gateway.sessions[DESK]
    record = replace(view.record, has_credentials=True, pn="5511999991234:2@s.whatsapp.net")
    fakes.gateway.sessions[DESK] = replace(view, record=record)


def offer(fakes: Fakes, text: str) -> None:
    fakes.gateway.qr[DESK] = text


def nothing() -> None:
    pass


def test_a_session_is_made_and_its_code_drawn_until_it_is_scanned(
    shell: Shell, fakes: Fakes, meanwhile: Callable[..., None]
):
    fakes.gateway.add("other")
    meanwhile(
        lambda: offer(fakes, QR),
        nothing,
        lambda: offer(fakes, QR.replace("x", "y")),
        lambda: link(fakes),
    )
    printed = shell.read("session", "pair", "desk", "--name", "Front desk")
    assert "Made the session desk." in printed
    assert printed.count("Scan this") == 2  # a code that stands is drawn once
    assert "█" in printed
    assert printed.endswith("Session desk is linked to …1234.\n")
    assert fakes.gateway.sessions[DESK].record.name == "Front desk"


def test_a_stopped_session_is_started(shell: Shell, fakes: Fakes, meanwhile: Callable[..., None]):
    fakes.gateway.add("desk", paired=False, running=False)
    offer(fakes, QR)
    meanwhile(lambda: link(fakes))
    assert shell("session", "pair", "desk") == 0
    assert fakes.gateway.calls == ["running"]


def test_a_linked_session_is_left_as_it_is(shell: Shell, fakes: Fakes):
    fakes.gateway.add("desk", running=False)
    assert "is linked to …0000" in shell.read("session", "pair", "desk")
    assert fakes.gateway.calls == []


def test_a_code_to_type_is_renewed_when_it_is_over(
    shell: Shell, fakes: Fakes, meanwhile: Callable[..., None]
):
    fakes.gateway.add("desk", paired=False)
    offer(fakes, QR)

    def reconnect() -> None:
        # It is pairing again by the next look: that it was not shows only in the code's end.
        fakes.gateway.sessions[DESK] = replace(fakes.gateway.sessions[DESK], code_expires_at=None)

    meanwhile(nothing, reconnect, nothing, lambda: link(fakes))
    printed = shell.read("session", "pair", "desk", "--phone", "5511999991234")
    assert printed.count("CODE-1234") == 2
    assert "is linked" in printed


def test_a_code_that_somebody_else_asked_for_is_not_taken_from_them(
    shell: Shell, fakes: Fakes, meanwhile: Callable[..., None]
):
    fakes.gateway.add("desk", paired=False)
    offer(fakes, QR)
    meanwhile(nothing, lambda: asyncio.run(other(fakes)))
    assert shell("session", "pair", "desk", "--phone", "5511999991234") == 1
    assert shell.out.count("CODE-1234") == 1
    assert "Another code was asked for meanwhile" in shell.err


async def other(fakes: Fakes) -> None:
    await fakes.gateway.request_pairing_code(DESK, "5511999995678")


def test_a_session_that_is_stopped_meanwhile_ends_the_pairing(
    shell: Shell, fakes: Fakes, meanwhile: Callable[..., None]
):
    fakes.gateway.add("desk", paired=False)
    offer(fakes, QR)
    view = fakes.gateway.add("twin", paired=False, running=False)
    stopped = replace(view, record=replace(view.record, id=DESK))
    meanwhile(lambda: fakes.gateway.sessions.__setitem__(DESK, stopped))
    assert shell("session", "pair", "desk") == 1
    assert "stopped meanwhile" in shell.err


def test_ctrl_c_leaves_in_order(shell: Shell, fakes: Fakes, meanwhile: Callable[..., None]):
    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile(interrupt)
    assert shell("session", "pair", "desk") == 130
    assert "perene session stop desk" in shell.out
    assert shell.err == ""


def test_a_number_that_is_none_is_refused(shell: Shell, fakes: Fakes):
    fakes.gateway.add("desk", paired=False)
    assert shell("session", "pair", "desk", "--phone", "abc") == 2
    assert '"abc" is not a phone number' in shell.err


def test_a_wrong_number_makes_no_session(shell: Shell, fakes: Fakes):
    assert shell("session", "pair", "desk", "--phone", "123") == 2
    assert fakes.gateway.calls == []


def test_a_number_may_be_written_as_people_write_it(
    shell: Shell, fakes: Fakes, meanwhile: Callable[..., None]
):
    fakes.gateway.add("desk", paired=False)
    offer(fakes, QR)
    meanwhile(lambda: link(fakes))
    assert "CODE-1234" in shell.read("session", "pair", "desk", "--phone", "+55 (11) 99999-1234")


def test_who_asks_for_another_phone_is_told_that_one_is_linked(shell: Shell, fakes: Fakes):
    fakes.gateway.add("desk")
    printed = shell.read("session", "pair", "desk", "--phone", "5511999991234")
    assert printed.startswith("It was linked before; `perene session logout` comes before another")


@pytest.mark.parametrize(("columns", "told"), [(40, True), (200, False)])
def test_a_terminal_that_is_too_narrow_for_the_code_is_told_of(
    shell: Shell,
    fakes: Fakes,
    meanwhile: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    told: bool,
):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    fakes.gateway.add("desk", paired=False)
    offer(fakes, QR)
    meanwhile(lambda: link(fakes))
    assert ("and there are 40" in shell.read("session", "pair", "desk")) is told


@pytest.mark.parametrize("how", [(), ("--phone", "5511999991234")])
def test_who_waits_for_a_code_is_soon_told_why(
    shell: Shell, meanwhile: Callable[..., None], how: tuple[str, ...]
):
    waits: list[str] = []
    found = {"id": "desk", "paired": False, "desired": "running", "connection": "waiting"}

    def answer(request: httpx2.Request) -> httpx2.Response:
        if "wait_s" not in request.url.params:
            return json_answer({**found, "last_error": "The network is down."})
        waits.append(request.url.params["wait_s"])
        return httpx2.Response(
            409,
            json={"code": "pairing_not_ready"},
            headers={"content-type": "application/problem+json"},
        )

    def interrupt() -> None:
        raise KeyboardInterrupt

    shell.answer_with(answer)
    meanwhile(nothing, interrupt)
    assert shell("session", "pair", "desk", *how) == INTERRUPTED
    assert shell.out.count("Waiting for WhatsApp: The network is down.") == 1
    assert waits == ["5", "5"]
