"""A command that turns a session somewhere: it waits for that, and tells what came of it."""

import time
from datetime import UTC, datetime
from typing import Literal

from perene.cli.exits import INTERRUPTED, NOT_YET
from perene.cli.service import JsonObject, Service, TookTooLong
from perene.cli.session_text import next_attempt, state_line, text
from perene.cli.writing import moment

Action = Literal["start", "stop", "restart", "logout"]

WAIT_S = 30.0
"""How long a command waits; logins that take longer are rare."""

_LOOK_S = 0.25
_LINGER_S = 2.0
"""A state that was there before the command may be about to change: it counts after so long."""
_ASKED_S = 5.0
"""The least time that the service gets to answer, also when nothing is to be waited for."""
_MOVING = ("connection", "connected_at", "retry_at")


class Turning:
    """One command at work on one session. `path` is the session's; raises CannotAsk.

    The service answers when it has taken a wish, which may be before anything came of it: what is
    printed is what was reached afterwards.
    """

    def __init__(self, service: Service, path: str, action: Action, *, wait_s: float) -> None:
        self._service = service
        self._path = path
        self._action: Action = action
        self._wait_s = wait_s
        self._before: JsonObject = {}
        self._began = 0.0

    def run(self) -> int:
        """Ask, wait, tell; return the exit status."""
        self._before = self._service.get(self._path)
        self._began = time.monotonic()
        try:
            found = self._ask()
            while not self._has_settled(found) and self._left_s() > 0:
                time.sleep(min(_LOOK_S, self._left_s()))
                found = self._service.get(self._path)
        except KeyboardInterrupt:
            print("\nIt goes on without this command.")
            return INTERRUPTED
        print(state_line(found))
        if not self._wait_s:
            return 0
        if self._is_there(found):
            if text(found, "connection") == "pairing":
                print(f"`perene session pair {text(found, 'id')}` shows the code to scan.")
            if self._action == "logout" and text(found, "last_error"):
                print(text(found, "last_error"))
            return 0
        self._explain(found)
        return NOT_YET

    def _ask(self) -> JsonObject:
        try:
            return self._service.post(
                f"{self._path}/{self._action}", patience_s=max(self._wait_s, _ASKED_S)
            )
        except TookTooLong:
            # It waits for a connection to close in order, or to say goodbye on a new one.
            return self._service.get(self._path)

    def _left_s(self) -> float:
        return self._began + self._wait_s - time.monotonic()

    def _has_settled(self, found: JsonObject) -> bool:
        """Tell whether the session is there, or will not get there while we wait."""
        if self._is_there(found):
            return True
        return self._is_no_remnant(found) and self._is_stuck(found)

    def _is_there(self, found: JsonObject) -> bool:
        connection, paired = text(found, "connection"), bool(found.get("paired"))
        match self._action:
            case "stop":
                return connection == "stopped"
            case "logout":
                return connection == "stopped" and not paired
            case "start" if connection == "open":
                return True
            case "restart" if connection == "open":
                return found.get("connected_at") != self._before.get("connected_at")
            case _:
                offers = connection == "pairing" and bool(found.get("qr_available"))
                return offers and self._is_no_remnant(found)

    def _is_stuck(self, found: JsonObject) -> bool:
        """Tell whether no attempt is made while we wait."""
        match text(found, "connection"):
            case "needs_attention":
                return True
            case "waiting":
                at = moment(found.get("retry_at"))
                return at is not None and (at - datetime.now(UTC)).total_seconds() > self._left_s()
            case _:
                return False

    def _is_no_remnant(self, found: JsonObject) -> bool:
        """Tell whether a state is no longer that from before the command."""
        if any(found.get(name) != self._before.get(name) for name in _MOVING):
            return True
        return time.monotonic() - self._began >= min(_LINGER_S, self._wait_s)

    def _explain(self, found: JsonObject) -> None:
        if text(found, "last_error"):
            print(text(found, "last_error"))
        if coming := next_attempt(found, datetime.now(UTC)):
            print(f"Next attempt: {coming}.")
        print(f"`perene session show {text(found, 'id')}` tells how it goes on.")
