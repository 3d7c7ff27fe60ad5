"""What the supervisor needs of a store, so that another one can take its place."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from perene.core.events import Event, EventType
from perene.core.failures import Failure
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import Message
from perene.core.outages import Outage
from perene.core.sessions import Desired, SessionOptions, SessionRecord
from perene.engine.ports import SessionStore
from perene.supervisor.storage.committer import Lane


class MessageRow(Protocol):
    """A stored message; `row` only grows and is the cursor of lists."""

    @property
    def row(self) -> int: ...

    @property
    def message(self) -> Message: ...

    @property
    def failure(self) -> Failure | None: ...


class ConversationRow(Protocol):
    """A stored conversation; `last_row` is the cursor of the list."""

    @property
    def chat(self) -> str: ...

    @property
    def last_row(self) -> int: ...

    @property
    def last_message_at(self) -> datetime | None: ...


class EventRow(Protocol):
    """An event of the outbox under its number."""

    @property
    def seq(self) -> int: ...

    @property
    def session(self) -> SessionId | None: ...

    @property
    def event(self) -> Event: ...


class OutageRow(Protocol):
    """A stored outage; `row` only grows and is the cursor of lists."""

    @property
    def row(self) -> int: ...

    @property
    def outage(self) -> Outage: ...


class Sessions(Protocol):
    """The sessions of a store. Each method raises NotFound for one that does not exist."""

    async def create_session(
        self,
        session: SessionId,
        *,
        name: str | None,
        desired: Desired,
        options: SessionOptions,
        event: Event,
    ) -> SessionRecord:
        """Create a session, or return the one that was created with this very event."""
        ...

    async def list_sessions(self) -> Sequence[SessionRecord]: ...

    async def get_session(self, session: SessionId) -> SessionRecord: ...

    async def twins(self, session: SessionId) -> Sequence[SessionId]:
        """Return the other sessions that are linked to a session's account."""
        ...

    async def set_desired(self, session: SessionId, desired: Desired) -> None: ...

    async def delete_session(self, session: SessionId, *, event: Event) -> None: ...

    async def epochs(self) -> Mapping[SessionId, Epoch]:
        """Return the epoch of every session."""
        ...

    async def fence(self, found: Mapping[SessionId, Epoch]) -> bool:
        """Refuse every earlier owner's writes from now on; tell whether none was missed.

        Only of sessions that are still at the epoch that was `found`.
        """
        ...

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch:
        """Become the owner; every earlier owner's writes are refused from now on.

        With `held` only while that is still the epoch, else StaleEpoch is raised.
        """
        ...

    async def archive_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        reason: str,
        *,
        events: Sequence[Event] = (),
    ) -> bool:
        """Move credentials to the archive; returns whether there were any. StaleEpoch if late.

        Events come true with it, and an outage that is open ends as logged out.
        """
        ...

    async def destroy_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        *,
        events: Sequence[Event] = (),
    ) -> None:
        """Delete credentials, archived ones too, for an explicit logout; else as archiving."""
        ...

    async def outages(
        self, session: SessionId, *, before: int | None, limit: int
    ) -> Sequence[OutageRow]:
        """Return outages, newest first, from behind a row."""
        ...


class Messages(Protocol):
    """The messages of a store."""

    async def get_session(self, session: SessionId) -> SessionRecord: ...

    async def queue_message(
        self,
        session: SessionId,
        message: Message,
        *,
        idempotency_key: str | None,
        request_hash: bytes,
    ) -> MessageRow:
        """Store a message to be sent, and return it, or that which the key has queued before.

        Raises IdempotencyConflict, and Conflict when the message's id exists.
        """
        ...

    async def message_of_key(
        self, session: SessionId, idempotency_key: str, request_hash: bytes
    ) -> MessageRow | None:
        """Return the message that a key has queued before, or raise IdempotencyConflict."""
        ...

    async def list_messages(
        self,
        session: SessionId,
        *,
        chat: str | None,
        cursor: int | None,
        limit: int,
        newest_first: bool,
    ) -> Sequence[MessageRow]: ...

    async def find_messages(
        self, session: SessionId, message_id: MessageId
    ) -> Sequence[MessageRow]: ...

    async def list_conversations(
        self, session: SessionId, *, cursor: int | None, limit: int
    ) -> Sequence[ConversationRow]: ...


class Outbox(Protocol):
    """The outbox of a store."""

    async def events_after(
        self,
        seq: int,
        *,
        limit: int,
        session: SessionId | None,
        types: Collection[EventType],
        until: int | None,
    ) -> Sequence[EventRow]: ...

    async def reach(
        self,
        seq: int,
        *,
        count: int,
        session: SessionId | None,
        types: Collection[EventType],
    ) -> int | None: ...

    async def last_seq(self) -> int: ...


class ApiKey(Protocol):
    """What is known of an API key: its id, and whom it was given to."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


class ApiKeys(Protocol):
    """The API keys of a store."""

    async def verify_api_key(self, key: str) -> ApiKey | None: ...

    async def list_api_keys(self) -> Sequence[ApiKey]: ...


OpenStore = Callable[[SessionId, Epoch, Lane], SessionStore]
"""Binds the store to one session, for one connection."""
