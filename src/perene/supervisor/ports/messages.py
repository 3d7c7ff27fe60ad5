"""The messages of a session."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from perene.core.events import Json
from perene.core.failures import Failure
from perene.core.ids import MessageId, SessionId
from perene.core.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A stored message with its decoded fields.

    `content` holds what could be decoded of `message.body`, None where nothing could. `failure`
    says why the message failed, None if it did not, or before such was kept.
    """

    message: Message
    content: Mapping[str, Json] | None = None
    failure: Failure | None = None


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
