"""Linking a session to a phone from a terminal."""

import shutil
import sys
import time
from collections.abc import Callable

from perene.cli.exits import REFUSED_BY_SERVICE
from perene.cli.service import CannotAsk, JsonObject, Service
from perene.cli.session_text import text, words
from perene.cli.writing import masked, moment

_LOOK_S = 2.0
_WAIT_FOR_CODE_S = "5"
"""Codes come within a second; who waits for longer is told why, and it is asked again."""
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


class Pairing:
    """One session being linked. `path` is the session's; raises CannotAsk."""

    def __init__(self, service: Service, session: str, path: str) -> None:
        self._service = service
        self._session = session
        self._path = path
        self._told = ""

    def prepare(self, name: str | None) -> None:
        """Make the session if there is none, and have it running."""
        try:
            found = self._look()
        except CannotAsk as refusal:
            if refusal.code != "not_found":
                raise
            body = {"id": self._session, "start": True} | ({"name": name} if name else {})
            found = self._service.post("/v1/sessions", body)
            print(f"Made the session {self._session}.")
        if found.get("paired"):
            print("It was linked before; `perene session logout` comes before another phone.")
        elif text(found, "desired") != "running":
            self._service.post(f"{self._path}/start")

    def by_qr(self) -> int:
        """Draw each QR code until one was scanned; return the exit status."""
        shown = ""
        while (found := self._waiting()) is not None:
            drawing = self._offered(found, self._qr)
            if drawing and drawing != shown:
                shown = drawing
                sys.stdout.write(_CLEAR if sys.stdout.isatty() else "")
                print(f"{drawing}Scan this with the phone: WhatsApp, Linked devices, Link a device")
                self._warn_of_width(drawing)
                sys.stdout.flush()
            time.sleep(_LOOK_S)
        return 0

    def by_code(self, phone: str) -> int:
        """Show a code to type on the phone until it was typed; return the exit status."""
        code = good_until = ""
        while (found := self._waiting()) is not None:
            if code and self._is_over(found, good_until):
                code = ""
            if not code:
                code = self._offered(found, lambda: self._pairing_code(phone))
                if code:
                    good_until = text(self._look(), "pairing_code_expires_at")
                    print(f"Type this code on the phone: {code}")
                    print("WhatsApp, Linked devices, Link a device, Link with phone number instead")
                    sys.stdout.flush()
            time.sleep(_LOOK_S)
        return 0

    @staticmethod
    def _warn_of_width(drawing: str) -> None:
        needed, there = len(drawing.partition("\n")[0]), shutil.get_terminal_size().columns
        if sys.stdout.isatty() and there < needed:
            print(f"No phone can read it so: it needs {needed} columns, and there are {there}.")

    @staticmethod
    def _is_over(found: JsonObject, good_until: str) -> bool:
        """Tell whether a code is no longer good; it ends with the connection it was made on."""
        ours, now = moment(good_until), moment(found.get("pairing_code_expires_at"))
        if ours is not None and now is not None and now > ours:
            # Asking for another would in turn end that one, and so on.
            raise CannotAsk(
                "Another code was asked for meanwhile, and this one is no longer good.",
                "Type the other, or pair the session again.",
                status=REFUSED_BY_SERVICE,
            )
        return ours is None or now != ours

    def _look(self) -> JsonObject:
        return self._service.get(self._path)

    def _waiting(self) -> JsonObject | None:
        """Return the session while it is not linked; None, having said so, when it is."""
        found = self._look()
        if not found.get("paired"):
            return found
        phone = masked(found.get("phone")) or "a phone"
        print(f"Session {self._session} is linked to {phone}.")
        return None

    def _qr(self) -> str:
        return self._service.get_text(
            f"{self._path}/qr", format="terminal", wait_s=_WAIT_FOR_CODE_S
        )

    def _pairing_code(self, phone: str) -> str:
        path = f"{self._path}/pairing-code?wait_s={_WAIT_FOR_CODE_S}"
        return text(self._service.post(path, {"phone": phone}), "code")

    def _offered(self, found: JsonObject, ask: Callable[[], str]) -> str:
        """Return what is offered for pairing, "" while the chat server offers nothing yet."""
        if text(found, "desired") != "running":
            raise CannotAsk(
                f"Session {self._session} was stopped meanwhile.",
                "Pair it again when it may run.",
                status=REFUSED_BY_SERVICE,
            )
        try:
            return ask()
        except CannotAsk as refusal:
            if refusal.code not in {"pairing_not_ready", "already_paired"}:
                raise
        reason = text(found, "last_error") or f"{words(found, 'connection')} …"
        if reason != self._told:
            self._told = reason
            print(f"Waiting for WhatsApp: {reason}")
        return ""
