"""The sessions, as their user drives them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from perene.core.errors import Conflict
from perene.core.ids import SessionId
from perene.core.machines.outlook import Outlook
from perene.core.outages import Outage
from perene.core.sessions import Connection, SessionOptions, SessionRecord


class AlreadyExists(Conflict):
    """A session with this id exists already."""

    code = "already_exists"
    remedy = "Use the session that exists, or choose another id."


class AlreadyPaired(Conflict):
    """The session is linked to a phone, so there is nothing to pair."""

    code = "already_paired"
    remedy = "Use the session as it is; to link another phone log it out, then start it again."


class NotPaired(Conflict):
    """The session is not linked to a phone yet, so it can neither send nor receive."""

    code = "not_paired"
    remedy = "Pair it first: start it, then scan its QR code or enter a pairing code."


class NotRunning(Conflict):
    """The session is stopped; what was asked for needs a running one."""

    code = "not_running"
    remedy = "Start the session, then ask again."


class PairingNotReady(Conflict):
    """The server has not offered what is needed for pairing yet."""

    code = "pairing_not_ready"
    remedy = "Ask again in a few seconds; the session's last error says what it is waiting for."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session, stored half and live half. `last_error` is one sentence for a person."""

    record: SessionRecord
    connection: Connection
    connected_at: datetime | None = None
    """When the present login was completed; None unless `connection` is OPEN."""
    last_error: str | None = None
    qr_available: bool = False
    code_expires_at: datetime | None = None
    """Until when the code that was asked for last can be typed; None when there is none."""
    alive_at: datetime | None = None
    """When the server last proved to be there."""
    phone_seen_at: datetime | None = None
    """When the phone was last heard of."""
    outlook: Outlook = field(default_factory=Outlook)
    deaf_suspicions: int = 0
    """How often since the start an open connection seemed to deliver nothing, and was reopened."""
    twins: Sequence[SessionId] = ()
    """Other sessions that are linked to the same account; each receives every message."""
    as_of: datetime | None = None
    """When the stored half (twins belong to it) was read, if the database gives no answer now; None
    for one that was read just now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutagePage:
    """Some outages of a session, newest first, and the cursor of the next page."""

    items: Sequence[Outage]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QrView:
    """The text to be drawn as a QR code, and when the next one replaces it."""

    text: str
    expires_at: datetime


class Gateway(Protocol):
    """The sessions, as their user drives them. Every method but `current_qr` returns promptly."""

    async def create_session(
        self, session: SessionId | None, *, name: str | None, options: SessionOptions, start: bool
    ) -> SessionView:
        """Create a session, and start it when asked to; None lets Perene choose the id.

        Raises AlreadyExists.
        """
        ...

    async def list_sessions(self) -> Sequence[SessionView]:
        """Return every session, oldest first.

        While the database gives no answer, the stored half is told from memory (`as_of`), within a
        few seconds. Raises StorageUnavailable only before they were read for the first time.
        """
        ...

    async def session(self, session: SessionId) -> SessionView:
        """Return one session, as `list_sessions` does. Raises NotFound."""
        ...

    async def start(self, session: SessionId) -> SessionView:
        """Want the session running; nothing happens when it is. Raises NotFound."""
        ...

    async def stop(self, session: SessionId) -> SessionView:
        """Want the session stopped, credentials kept; nothing happens when it is.

        Raises NotFound.
        """
        ...

    async def restart(self, session: SessionId) -> SessionView:
        """Close the connection, forget counts and waits, and connect anew at once.

        The session runs afterwards, also one that was stopped or needed a person. Raises NotFound.
        """
        ...

    async def logout(self, session: SessionId) -> SessionView:
        """Unlink the device, as far as WhatsApp can be reached, and destroy its credentials.

        The session is stopped afterwards; its messages are kept. Nothing happens to the phone's
        list of devices when the session is not connected. Raises NotFound.
        """
        ...

    async def outages(self, session: SessionId, *, cursor: str | None, limit: int) -> OutagePage:
        """Return up to `limit` outages of a session, newest first, from a cursor on.

        The cursor is opaque. Raises NotFound, and InvalidRequest with field "cursor" for one that
        this method did not make.
        """
        ...

    async def delete(self, session: SessionId) -> None:
        """Delete the session and all that belongs to it. Raises NotFound."""
        ...

    async def current_qr(self, session: SessionId, *, wait_s: float) -> QrView:
        """Return the QR code to scan now, waiting up to `wait_s` seconds for one.

        Raises NotFound, AlreadyPaired, NotRunning; PairingNotReady when the wait was in vain.
        """
        ...

    async def request_pairing_code(self, session: SessionId, phone: str) -> str:
        """Return a code to be typed on the phone with this number (digits with country code).

        Raises NotFound, AlreadyPaired, NotRunning, PairingNotReady.
        """
        ...
