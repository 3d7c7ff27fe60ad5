"""Messages and conversations in the store, as the API asks for them."""

from collections.abc import Sequence
from datetime import datetime

from perene.core.account import ChatStanding
from perene.core.errors import NotFound
from perene.core.ids import MessageId, SessionId
from perene.core.messages import Message
from perene.core.unit import PeerMessage
from perene.store import account, conversations, messages, peer_messages, sending
from perene.store.base import StoreBase
from perene.store.conversations import Conversation
from perene.store.messages import StoredMessage


class MessageShelf(StoreBase):
    """The part of the Store that the API reads conversations from, and queues messages in."""

    async def queue_message(
        self,
        session: SessionId,
        message: Message,
        *,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
    ) -> StoredMessage:
        """Store a message to be sent, once for each idempotency key: see `sending`."""
        return await self._write_as_holder(
            sending.queue_message,
            self.keyring,
            session,
            message,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            now=self._clock.now(),
        )

    async def message_of_key(
        self, session: SessionId, idempotency_key: str, request_hash: bytes
    ) -> StoredMessage | None:
        """Return the message that an idempotency key has queued, None if it was not used."""
        return await self._read_sealed(
            session, sending.message_of_key, idempotency_key, request_hash
        )

    async def chat_standing(self, session: SessionId, chat: str) -> ChatStanding:
        """Return how far a chat with a person has come, by any of its addresses."""
        return await self._read(session, account.chat_standing, chat)

    async def chats_started(
        self, session: SessionId, since: datetime, own: Sequence[str] = ()
    ) -> list[datetime]:
        """Return when we began chats with people after `since`, oldest first."""
        return await self._read(session, account.chats_started, since, own)

    async def get_message(self, session: SessionId, row: int) -> StoredMessage:
        """Return one message by its row."""
        found = await self._read_sealed(session, messages.get_message, row)
        if found is None:
            raise NotFound(f"there is no message {row} in session {session}")
        return found

    async def find_messages(self, session: SessionId, message_id: MessageId) -> list[StoredMessage]:
        """Return every message with this WhatsApp id, oldest first."""
        return await self._read_sealed(session, messages.find_messages, message_id)

    async def list_messages(
        self,
        session: SessionId,
        *,
        chat: str | None = None,
        cursor: int | None = None,
        limit: int = 50,
        newest_first: bool = True,
    ) -> list[StoredMessage]:
        """Return a page of messages behind `cursor` (a row); `chat` is any of its addresses."""
        return await self._read_sealed(
            session,
            messages.list_messages,
            chat=chat,
            cursor=cursor,
            limit=limit,
            newest_first=newest_first,
        )

    async def list_conversations(
        self, session: SessionId, *, cursor: int | None = None, limit: int = 50
    ) -> list[Conversation]:
        """Return a page of conversations, the most recently used first."""
        return await self._read(
            session, conversations.list_conversations, cursor=cursor, limit=limit
        )

    async def peer_messages(self, session: SessionId, *, limit: int) -> list[PeerMessage]:
        """Return stored messages between own devices, oldest first."""
        return await self._read_sealed(session, peer_messages.read_peer_messages, limit=limit)
