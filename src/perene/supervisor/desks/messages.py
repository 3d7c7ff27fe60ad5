"""The messages of a session as the API sends and reads them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from perene.core.clock import Clock
from perene.core.errors import Conflict, StorageError
from perene.core.events import Json
from perene.core.ids import MessageId, SessionId
from perene.core.messages import Message, MessageKey, Status, new_message_id
from perene.core.sessions import SessionRecord
from perene.supervisor.desks.cursors import row_of
from perene.supervisor.ports import (
    Accepted,
    ConversationPage,
    ConversationView,
    MessagePage,
    MessageView,
    NotPaired,
    ReachOutLimited,
)
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.store import MessageRow, Messages

ComposeText = Callable[[str], bytes]
ReadFields = Callable[[bytes], Mapping[str, Json]]
Wake = Callable[[SessionId], None]
Admission = Callable[[SessionRecord, str], AbstractAsyncContextManager[None]]
"""Surrounds the storing of a message to a bare JID; raises ReachOutLimited before it."""


def _anybody(record: SessionRecord, to: str) -> AbstractAsyncContextManager[None]:
    return nullcontext()


class MessageDesk:
    """Implements `ports.Messages` on the store. A message is committed before it is confirmed.

    A database that restarts is waited for: who sends is not refused for it. `retries` have it take
    the message; what is read of `store` is to be asked by them already. `wake` is called with a
    session for which one waits, `doubt` with one for which one may wait.
    """

    def __init__(
        self,
        store: Messages,
        clock: Clock,
        retries: Retries,
        *,
        compose: ComposeText,
        read_fields: ReadFields,
        wake: Wake,
        doubt: Callable[[SessionId], None],
        admission: Admission = _anybody,
    ) -> None:
        self._store = store
        self._clock = clock
        self._retries = retries
        self._compose = compose
        self._read_fields = read_fields
        self._wake = wake
        self._doubt = doubt
        self._admission = admission

    async def send_text(
        self,
        session: SessionId,
        *,
        to: str,
        text: str,
        idempotency_key: str | None,
        request_hash: bytes,
    ) -> Accepted:
        record = await self._store.get_session(session)
        message = self._composed(record, to, text)
        try:
            stored = await self._retries.ask(
                lambda: self._queued(record, message, idempotency_key, request_hash)
            )
        except (StorageError, asyncio.CancelledError):
            self._doubt(session)  # it may wait to be sent all the same
            raise
        self._wake(session)
        repeated = stored.message.key.id != message.key.id
        return Accepted(message=self._view(stored), repeated=repeated)

    async def _queued(
        self, record: SessionRecord, message: Message, key: str | None, request_hash: bytes
    ) -> MessageRow:
        """Store a message, or return what an earlier request has stored, or an earlier attempt."""
        try:
            async with self._admission(record, message.key.chat):
                return await self._store.queue_message(
                    record.id, message, idempotency_key=key, request_hash=request_hash
                )
        except (ReachOutLimited, Conflict):
            # The chat was begun, or the id used, by an attempt that nobody heard of, perhaps.
            earlier = await self._stored_before(record.id, message.key.id, key, request_hash)
            if earlier is None:
                raise
            return earlier

    async def _stored_before(
        self, session: SessionId, message: MessageId, key: str | None, request_hash: bytes
    ) -> MessageRow | None:
        if key is not None:
            return await self._store.message_of_key(session, key, request_hash)
        rows = await self._store.find_messages(session, message)
        return next((row for row in rows if row.message.key.from_me), None)

    def _composed(self, record: SessionRecord, to: str, text: str) -> Message:
        """Return the message to be queued; raises NotPaired."""
        own = record.lid or record.pn
        if own is None or not record.has_credentials:
            raise NotPaired(f"Session {record.id} is not linked to a phone.")
        now = self._clock.now()
        device, _, server = own.partition("@")
        user = device.partition(":")[0]
        return Message(
            key=MessageKey(
                chat=to,
                sender=f"{user}@{server}",
                id=new_message_id(user, now),
                from_me=True,
            ),
            kind="text",
            text=text,
            body=self._compose(text),
            timestamp=now,
            status=Status.QUEUED,
        )

    async def list_messages(
        self,
        session: SessionId,
        *,
        chat: str | None,
        cursor: str | None,
        limit: int,
        newest_first: bool,
    ) -> MessagePage:
        rows = await self._store.list_messages(
            session,
            chat=chat,
            cursor=row_of(cursor),
            limit=limit + 1,
            newest_first=newest_first,
        )
        page = rows[:limit]
        return MessagePage(
            items=[self._view(row) for row in page],
            next_cursor=str(page[-1].row) if len(rows) > limit else None,
        )

    async def messages_with_id(
        self, session: SessionId, message: MessageId
    ) -> Sequence[MessageView]:
        return [self._view(row) for row in await self._store.find_messages(session, message)]

    async def list_conversations(
        self, session: SessionId, *, cursor: str | None, limit: int
    ) -> ConversationPage:
        rows = await self._store.list_conversations(session, cursor=row_of(cursor), limit=limit + 1)
        page = rows[:limit]
        return ConversationPage(
            items=[
                ConversationView(chat=row.chat, last_message_at=row.last_message_at) for row in page
            ],
            next_cursor=str(page[-1].last_row) if len(rows) > limit else None,
        )

    def _view(self, stored: MessageRow) -> MessageView:
        message = stored.message
        # A text is complete in `text`; decoding it again for every list would cost most of it.
        content = None if message.kind == "text" else self._read_fields(message.body)
        return MessageView(message=message, content=content, failure=stored.failure)
