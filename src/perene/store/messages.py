"""Messages: stored once, read back for the API and for resends."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    func,
    literal_column,
    select,
)

from perene.core.failures import Failure
from perene.core.ids import MessageId, SessionId
from perene.core.messages import Message, MessageKey, Status
from perene.store.addresses import canonical
from perene.store.batch import Entry, Owned, Resolver
from perene.store.bulk import BulkInsert, do_nothing
from perene.store.conversations import create_conversations, find_conversations
from perene.store.moments import micros, moment
from perene.store.schema import conversations, messages
from perene.store.sealing import Sealer
from perene.store.texts import indexable, storable, storable_or_none

_KEY = ("session", "sender", "external_id", "conversation", "from_me")

_COLUMNS = (
    *_KEY,
    "kind",
    "text",
    "sealed",
    "timestamp",
    "status",
    "status_at",
    "error",
    "push_name",
    "sender_device",
    "received_at",
)

_INSERT = BulkInsert(messages, _COLUMNS, do_nothing, tell=_KEY)

_TABLE = "messages"

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message with what the store added to it.

    `row` only grows and is the cursor of lists. `chat` of the key is the conversation's canonical
    address. `status_at` says when the status was reached, `received_at` when Perene stored it.
    `failure` says why the message failed, None also for one that failed before this was kept.
    """

    row: int
    session: SessionId
    conversation: int
    message: Message
    status_at: datetime
    received_at: datetime
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class NewMessages:
    """Which messages a batch added: (row, the position of the unit that brought it)."""

    born: dict[int, int]


def insert_messages(
    connection: Connection, entries: Iterable[Entry], resolver: Resolver, now: int
) -> NewMessages:
    """Insert the messages of a batch that are new; tell the entries, and keep their events."""
    rows: dict[Values, tuple[Values, Entry, Message]] = {}
    for entry in entries:
        for message in entry.unit.messages:
            values = _values(entry.session, message, resolver, now)
            rows.setdefault(values[:5], (values, entry, message))
    ids = _INSERT.run_and_tell(connection, [values for values, _entry, _message in rows.values()])
    born: dict[int, int] = {}
    for row, (_, entry, message) in zip(ids, rows.values(), strict=True):
        if row is None:
            continue
        born[row] = entry.position
        entry.new_messages += 1
        if message.event is not None:
            entry.events.append(message.event)
    return NewMessages(born)


def insert_queued(connection: Connection, session: Owned, message: Message, now: int) -> int | None:
    """Insert one own message; returns its row, or None when it exists. The session is locked."""
    places = [(session.key, canonical(connection, session.key, indexable(message.key.chat)))]
    found = find_conversations(connection, places)
    if not found:
        found = create_conversations(connection, places, now)
    sender = canonical(connection, session.key, indexable(message.key.sender))
    resolver = _Known(
        found[places[0]], {message.key.chat: places[0][1], message.key.sender: sender}
    )
    return _INSERT.run_and_tell(connection, [_values(session, message, resolver, now)])[0]


def select_messages() -> Select[Any]:
    """Return the query that `stored_message` reads the rows of."""
    return select(messages, conversations.c.chat).join_from(
        messages, conversations, messages.c.conversation == conversations.c.id
    )


def stored_message(row: Row[Any], sealer: Sealer) -> StoredMessage:
    """Open one row of `select_messages`; raises UnreadableState."""
    body = sealer.open(_TABLE, _identity(row.external_id, row.from_me, row.timestamp), row.sealed)
    return StoredMessage(
        row=row.id,
        session=sealer.session,
        conversation=row.conversation,
        message=Message(
            key=MessageKey(
                chat=row.chat,
                sender=row.sender,
                id=MessageId(row.external_id),
                from_me=bool(row.from_me),
            ),
            kind=row.kind,
            text=row.text,
            body=body,
            timestamp=moment(row.timestamp),
            status=Status(row.status),
            push_name=row.push_name,
            sender_device=row.sender_device,
        ),
        status_at=moment(row.status_at),
        received_at=moment(row.received_at),
        failure=Failure.stored(row.failure, row.error),
    )


def own_message(
    connection: Connection, session: int, sealer: Sealer, message_id: MessageId
) -> StoredMessage | None:
    """Return a message of ours by its id; with several chats under one id, the newest."""
    row = connection.execute(
        select_messages()
        .where(
            messages.c.session == session,
            messages.c.external_id == indexable(message_id),
            messages.c.from_me == 1,
        )
        .order_by(messages.c.id.desc())
        .limit(1)
    ).first()
    return None if row is None else stored_message(row, sealer)


def queued_messages(
    connection: Connection, session: int, sealer: Sealer, limit: int
) -> list[StoredMessage]:
    """Return own messages that the server has not answered, oldest first."""
    rows = connection.execute(
        select_messages().where(queued_of(session)).order_by(messages.c.id).limit(limit)
    )
    return [stored_message(row, sealer) for row in rows]


def queued_of(session: int | Column[int]) -> ColumnElement[bool]:
    """Return the clause of a session's messages that the server has not answered."""
    # Written out, not bound: SQLite then sees that the index of queued messages holds them all.
    queued = literal_column(f"'{Status.QUEUED.value}'", Text)
    return and_(messages.c.session == session, messages.c.status == queued)


def get_message(
    connection: Connection, session: int, sealer: Sealer, row_id: int
) -> StoredMessage | None:
    """Return one message by its row."""
    row = connection.execute(
        select_messages().where(messages.c.session == session, messages.c.id == row_id)
    ).first()
    return None if row is None else stored_message(row, sealer)


def find_messages(
    connection: Connection, session: int, sealer: Sealer, message_id: MessageId
) -> list[StoredMessage]:
    """Return every message with this WhatsApp id, oldest first; chats and senders may share one."""
    rows = connection.execute(
        select_messages()
        .where(messages.c.session == session, messages.c.external_id == indexable(message_id))
        .order_by(messages.c.id)
    )
    return [stored_message(row, sealer) for row in rows]


def list_messages(
    connection: Connection,
    session: int,
    sealer: Sealer,
    *,
    chat: str | None,
    cursor: int | None,
    limit: int,
    newest_first: bool,
) -> list[StoredMessage]:
    """Return a page of messages: those behind `cursor` in the order asked for.

    `chat` may be any address of the conversation; an unknown one yields an empty page.
    """
    query = select_messages().where(messages.c.session == session).limit(limit)
    if chat is not None:
        place = (session, canonical(connection, session, indexable(chat)))
        conversation = find_conversations(connection, [place]).get(place)
        if conversation is None:
            return []
        query = query.where(messages.c.conversation == conversation)
    if cursor is not None:
        query = query.where(messages.c.id < cursor if newest_first else messages.c.id > cursor)
    query = query.order_by(messages.c.id.desc() if newest_first else messages.c.id)
    return [stored_message(row, sealer) for row in connection.execute(query)]


def count_messages(connection: Connection, session: int) -> dict[Status, int]:
    """Return how many messages of a session have each status."""
    rows = connection.execute(
        select(messages.c.status, func.count())
        .where(messages.c.session == session)
        .group_by(messages.c.status)
    )
    counts = {Status(status): int(count) for status, count in rows}
    return {status: counts.get(status, 0) for status in Status}


@dataclass(frozen=True, slots=True)
class _Known:
    """The addresses of one message, resolved already."""

    found: int
    forms: dict[str, str]

    def canonical(self, session: Owned, jid: str) -> str:
        return self.forms[jid]

    def conversation(self, session: Owned, chat: str) -> int:
        return self.found


def _identity(external_id: str, from_me: int, timestamp: int) -> str:
    # Neither chat nor sender: they change when two addresses turn out to be one person.
    return f"{external_id}\0{int(from_me)}\0{timestamp}"


def _values(session: Owned, message: Message, resolver: Resolver, now: int) -> Values:
    key = message.key
    external_id = indexable(key.id)
    timestamp = micros(message.timestamp)
    from_me = int(key.from_me)
    return (
        session.key,
        resolver.canonical(session, key.sender),
        external_id,
        resolver.conversation(session, key.chat),
        from_me,
        storable(message.kind),
        storable_or_none(message.text),
        session.sealer.seal(_TABLE, _identity(external_id, from_me, timestamp), message.body),
        timestamp,
        message.status.value,
        now,
        None,
        storable_or_none(message.push_name),
        message.sender_device,
        now,
    )
