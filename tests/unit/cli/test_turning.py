"""`perene session start|stop|restart|logout`: what is printed is what was reached."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.unit.cli.conftest import Shell, json_answer

OPEN: Mapping[str, object] = {
    "id": "desk",
    "desired": "running",
    "connection": "open",
    "connected_at": "2026-05-01T12:00:00Z",
    "paired": True,
    "qr_available": False,
}
OPEN_ANEW = {**OPEN, "connected_at": "2026-05-01T12:00:07Z"}
CONNECTING = {**OPEN, "connection": "connecting", "connected_at": None}
STOPPED = {**CONNECTING, "connection": "stopped"}
UNWANTED = {**STOPPED, "desired": "stopped"}
LEAVING = {**CONNECTING, "desired": "logged_out"}
LOGGED_OUT = {**UNWANTED, "paired": False}
PAIRING = {**CONNECTING, "connection": "pairing", "paired": False, "qr_available": True}
NO_CODE_YET = {**PAIRING, "qr_available": False}
HELD = {
    **CONNECTING,
    "connection": "needs_attention",
    "last_error": "Another program uses this device.",
}


def waiting(seconds: float, error: str = "The network is unreachable.") -> dict[str, object]:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return {
        **CONNECTING,
        "connection": "waiting",
        "retry_at": at.isoformat(),
        "last_error": error,
    }


class Told:
    """A service that shows a session in one state after the other, and then in the last."""

    def __init__(self, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.slept_s = 0.0
        self._shell = shell
        self._states: list[Mapping[str, object] | None] = []
        monkeypatch.setattr("perene.cli.turning.time.monotonic", lambda: self.slept_s)
        monkeypatch.setattr("perene.cli.turning.time.sleep", self._sleep)

    def shows(self, *states: Mapping[str, object] | None) -> None:
        """Take what is shown; None for an answer that does not come in time."""
        self._states = list(states)
        self._shell.answer_with(self._answer)

    def _sleep(self, seconds: float) -> None:
        self.slept_s += seconds

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(f"{request.method} {request.url.path.rpartition('/')[2]}")
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if state is None:
            raise httpx2.ReadTimeout("slow", request=request)
        return json_answer(state)


@pytest.fixture
def told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(shell, monkeypatch)


def test_a_restart_tells_of_the_new_connection_not_of_the_old_one(shell: Shell, told: Told):
    told.shows(OPEN, OPEN, OPEN, CONNECTING, OPEN_ANEW)
    printed = shell.read("session", "restart", "desk")
    assert printed == "Session desk is wanted running; its connection is: open.\n"
    assert told.asked == ["GET desk", "POST restart", *["GET desk"] * 3]


def test_a_start_tells_of_the_connection_that_it_led_to(shell: Shell, told: Told):
    told.shows(UNWANTED, STOPPED, CONNECTING, OPEN)
    assert "is: open." in shell.read("session", "start", "desk")


def test_a_start_of_an_open_session_has_nothing_to_wait_for(shell: Shell, told: Told):
    told.shows(OPEN)
    assert "is: open." in shell.read("session", "start", "desk")
    assert told.slept_s == 0


def test_a_session_that_is_not_linked_is_up_once_it_offers_a_code(shell: Shell, told: Told):
    told.shows(UNWANTED, STOPPED, CONNECTING, NO_CODE_YET, PAIRING)
    printed = shell.read("session", "start", "desk")
    assert "is: pairing." in printed
    assert "`perene session pair desk` shows the code" in printed


def test_the_stop_that_a_restart_is_to_end_is_not_taken_for_its_outcome(shell: Shell, told: Told):
    told.shows(HELD, HELD, HELD, CONNECTING, OPEN)
    assert "is: open." in shell.read("session", "restart", "desk")


def test_a_session_that_stays_held_is_told_before_the_wait_is_over(shell: Shell, told: Told):
    told.shows(HELD)
    assert shell("session", "restart", "desk") == 1
    assert "is: needs attention." in shell.out
    assert "Another program uses this device." in shell.out
    assert "`perene session show desk`" in shell.out
    assert told.slept_s < 5


def test_a_session_that_waits_for_longer_than_the_command_is_told_at_once(shell: Shell, told: Told):
    told.shows(UNWANTED, STOPPED, CONNECTING, waiting(300))
    assert shell("session", "start", "desk") == 1
    assert "is: waiting." in shell.out
    assert "The network is unreachable." in shell.out
    assert "Next attempt: in " in shell.out
    assert told.slept_s < 1


def test_a_session_that_tries_again_soon_is_waited_for(shell: Shell, told: Told):
    told.shows(UNWANTED, STOPPED, waiting(2), waiting(1), CONNECTING, OPEN)
    assert "is: open." in shell.read("session", "start", "desk")


def test_the_wait_has_an_end(shell: Shell, told: Told):
    told.shows(UNWANTED, STOPPED, CONNECTING)
    assert shell("session", "start", "desk", "--wait", "7") == 1
    assert "is: connecting." in shell.out
    assert told.slept_s == pytest.approx(7)


def test_who_does_not_wait_is_only_told_that_it_was_asked_for(shell: Shell, told: Told):
    told.shows(OPEN)
    assert "is: open." in shell.read("session", "restart", "desk", "--wait", "0")
    assert told.asked == ["GET desk", "POST restart"]


@pytest.mark.parametrize("wait", ["-1", "86401", "1e12", "inf", "nan"])
def test_no_wait_is_shorter_than_none_or_longer_than_a_day(shell: Shell, told: Told, wait: str):
    assert shell("session", "start", "desk", "--wait", wait) != 0
    assert told.asked == []


def test_a_stop_that_takes_long_tells_how_it_stands(shell: Shell, told: Told):
    told.shows(OPEN, None, {**OPEN, "desired": "stopped"})
    assert shell("session", "stop", "desk") == 1
    assert "wanted stopped; its connection is: open." in shell.out
    assert "`perene session show desk` tells how it goes on." in shell.out


def test_a_logout_is_over_when_the_credentials_are_gone(shell: Shell, told: Told):
    told.shows(OPEN, None, LEAVING, UNWANTED, LOGGED_OUT)
    assert "wanted stopped; its connection is: stopped." in shell.read(
        "session", "logout", "desk", "--yes"
    )
    assert told.asked[-1] == "GET desk"
    assert len(told.asked) == 5


def test_a_logout_that_takes_long_tells_how_it_stands(shell: Shell, told: Told):
    told.shows(OPEN, None, LEAVING)
    assert shell("session", "logout", "desk", "--yes") == 1
    assert "wanted logged out; its connection is: connecting." in shell.out


def test_a_logout_that_whatsapp_did_not_confirm_is_done_and_says_so(shell: Shell, told: Told):
    left_behind = "WhatsApp did not confirm the logout."
    told.shows(OPEN, {**LOGGED_OUT, "last_error": left_behind})
    printed = shell.read("session", "logout", "desk", "--yes")
    assert printed.splitlines() == [
        "Session desk is wanted stopped; its connection is: stopped.",
        left_behind,
    ]


def test_whoever_interrupts_the_wait_does_not_interrupt_the_session(
    shell: Shell, told: Told, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perene.cli.turning.time.sleep", interrupt)
    told.shows(UNWANTED, STOPPED)
    assert shell("session", "start", "desk") == 130
    assert "goes on without this command" in shell.out


def test_a_code_that_was_there_before_counts_at_the_end_of_a_short_wait(shell: Shell, told: Told):
    told.shows(PAIRING)
    printed = shell.read("session", "start", "desk", "--wait", "1")
    assert "`perene session pair desk` shows the code" in printed
    assert told.slept_s == pytest.approx(1)
