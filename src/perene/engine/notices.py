"""What a connection tells its owner while it lives. Notices are not stored; events are."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from perene.engine.pairing import QrCode


@dataclass(frozen=True, slots=True, kw_only=True)
class QrShown:
    """A QR code to draw; it replaces the one before."""

    code: QrCode


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneLinked:
    """The pairing is committed and confirmed; a restart of the stream follows."""

    pn: str
    lid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginStarted:
    """The handshake is done, and the server has been told who we are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Logged in; stanzas flow."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The server answered a keepalive."""

    at: datetime


Notice = QrShown | PhoneLinked | LoginStarted | Opened | Alive


class Observer(Protocol):
    """Takes notices; must return at once and raise nothing."""

    def notice(self, notice: Notice) -> None: ...
