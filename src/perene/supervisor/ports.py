"""What faces outward needs of the sessions: a few narrow, total protocols.

"Total" means that every method answers for every argument of its type: with a value, or with one
of the PereneErrors that its docstring names. StorageUnavailable may come from any of them and is
not repeated. All of them may be cancelled at any await without an effect on a session.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from perene.core.alerts import Alert
from perene.core.causes import Cause
from perene.core.errors import Conflict
from perene.core.events import Event, EventType, Json
from perene.core.ids import MessageId, SessionId
from perene.core.messages import Message
from perene.core.outages import Outage
from perene.core.sessions import Connection, SessionOptions, SessionRecord


class AlreadyExists(Conflict):
    """A session with this id exists already."""

    code = "already_exists"
    remedy = "Use the session that exists, or choose another id."


class AlreadyPaired(Conflict):
    """The session is linked to a phone, so there is nothing to pair."""

    code = "already_paired"
    remedy = "Use the session as it is, or delete it and create a new one to link another phone."


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
class BanView:
    """A temporary ban: WhatsApp's sub-code, what it says to a person, and when it ends."""

    code: str | None
    meaning: str
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session, stored half and live half. `last_error` is one sentence for a person.

    `cause` is why the last connection ended. `attempt` counts the connections tried since the last
    stable one, of at most `limit` (None without one) before a person is asked.
    """

    record: SessionRecord
    connection: Connection
    connected_at: datetime | None = None
    """When the present login was completed; None unless `connection` is OPEN."""
    last_error: str | None = None
    qr_available: bool = False
    alive_at: datetime | None = None
    """When the server last proved to be there."""
    cause: Cause | None = None
    attempt: int = 0
    limit: int | None = None
    retry_at: datetime | None = None
    """When the next attempt will be made; None unless one is planned."""
    outage_began_at: datetime | None = None
    deaf_suspicions: int = 0
    """How often since the start an open connection seemed to deliver nothing, and was reopened."""
    ban: BanView | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A stored message with its decoded fields.

    `content` holds what could be decoded of `message.body`, None where nothing could.
    """

    message: Message
    content: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A message that was queued; `repeated` when an earlier request had already done so."""

    message: MessageView
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """Some messages, and the cursor of the next page; None when there is none."""

    items: Sequence[MessageView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationView:
    """One chat of a session, under its canonical bare JID."""

    chat: str
    last_message_at: datetime | None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationPage:
    """Some conversations, latest first, and the cursor of the next page."""

    items: Sequence[ConversationView]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event under the sequence number that it can be read again with."""

    seq: int
    session: SessionId
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events in order of `seq`, and how far the outbox was searched for them.

    `position` is at least the last item's seq and at least the seq that was asked from. All
    matching events up to it are in the page, so the next page is read from it.
    """

    items: Sequence[StoredEvent]
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentHealth:
    """One part of the service. `detail` is a sentence for a person, without secrets."""

    name: str
    ok: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the service is. `sessions` counts them by the state of their connection."""

    components: Sequence[ComponentHealth]
    sessions: Mapping[Connection, int] = field(default_factory=dict[Connection, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHealth:
    """How one session's connection is; the fields mean what they mean in `SessionView`."""

    id: SessionId
    connection: Connection
    connected_at: datetime | None = None
    alive_at: datetime | None = None
    cause: Cause | None = None
    attempt: int = 0
    limit: int | None = None
    retry_at: datetime | None = None
    outage_began_at: datetime | None = None
    deaf_suspicions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedHealth:
    """Every component, and every session."""

    components: Sequence[ComponentHealth]
    sessions: Sequence[SessionHealth]


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
        """Return every session, oldest first."""
        ...

    async def session(self, session: SessionId) -> SessionView:
        """Return one session. Raises NotFound."""
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


class Messages(Protocol):
    """The messages of a session."""

    async def send_text(
        self,
        session: SessionId,
        *,
        to: str,
        text: str,
        idempotency_key: str | None,
        request_hash: bytes,
    ) -> Accepted:
        """Queue a text to a bare JID; committed when this returns.

        The same key with the same 32-byte hash returns the first message again. Raises NotFound,
        NotPaired, IdempotencyConflict. A stopped session queues too: it sends when started.
        """
        ...

    async def list_messages(
        self,
        session: SessionId,
        *,
        chat: str | None,
        cursor: str | None,
        limit: int,
        newest_first: bool,
    ) -> MessagePage:
        """Return up to `limit` messages in the order they were stored, from a cursor on.

        The cursor is opaque. Raises NotFound, and InvalidRequest with field "cursor" for one that
        this method did not make.
        """
        ...

    async def messages_with_id(
        self, session: SessionId, message: MessageId
    ) -> Sequence[MessageView]:
        """Return every message with WhatsApp's id; it is unique only within chat and sender.

        Raises NotFound for the session, never for the message.
        """
        ...

    async def list_conversations(
        self, session: SessionId, *, cursor: str | None, limit: int
    ) -> ConversationPage:
        """Return up to `limit` conversations. Raises as `list_messages` does."""
        ...


class Events(Protocol):
    """The outbox, read with a cursor. Reading changes nothing."""

    async def after(
        self,
        seq: int,
        *,
        session: SessionId | None,
        types: Collection[EventType],
        limit: int,
    ) -> EventPage:
        """Return events behind `seq` (0 for all); no types means every type.

        No event ever appears later at or before a position that was returned.
        """
        ...

    async def latest(self) -> int:
        """Return the position behind the newest event, 0 when there is none."""
        ...

    async def wait_for_new(self, seq: int) -> None:
        """Return once there may be an event behind `seq`; at once when there is.

        Waiting costs a small, fixed amount of memory; a waiter is forgotten when cancelled.
        """
        ...


class Alerts(Protocol):
    """What needs a person, and what did."""

    async def alerts(
        self, *, open_only: bool, session: SessionId | None, limit: int
    ) -> Sequence[Alert]:
        """Return up to `limit` alerts, the one that fired last first; None for every subject.

        What is open is told from memory, also while the database is away.
        """
        ...


class Keys(Protocol):
    """The API keys."""

    async def verify(self, key: str) -> str | None:
        """Return the name of the key's owner; None for an unknown key.

        The time taken tells nothing about how much of the key was right.
        """
        ...


class HealthSource(Protocol):
    """How the service is, for those who watch it."""

    async def health(self) -> Health:
        """Return the present health, from memory; never raises."""
        ...

    async def detailed(self) -> DetailedHealth:
        """Return the present health of every part and session, from memory; never raises."""
        ...


class MetricsSource(Protocol):
    """The numbers of the service, for those who plot them."""

    def exposition(self) -> bytes:
        """Return every metric in Prometheus' text format (version 0.0.4, UTF-8)."""
        ...
