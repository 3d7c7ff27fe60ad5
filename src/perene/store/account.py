"""What an account has done and been told: chats begun by us, and the limits that followed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, exists, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from perene.core.account import LIMIT_EVENTS, ChatStanding
from perene.core.events import Event
from perene.core.ids import SessionId
from perene.core.messages import Status
from perene.store.addresses import canonical
from perene.store.conversations import find_conversations
from perene.store.moments import micros, moment
from perene.store.outbox import events_after, last_seq
from perene.store.schema import conversations, messages
from perene.store.texts import indexable

_ACCEPTED: Final = tuple(
    status.value for status in (Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED)
)

_PERSONS: Final = ("%@lid", "%@s.whatsapp.net", "%@hosted", "%@hosted.lid")

_MANY: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitHistory:
    """Events about limits, oldest first; the next look goes on behind `position`."""

    events: tuple[Event, ...]
    position: int


def limit_history(connection: Connection, session: SessionId, after: int) -> LimitHistory:
    """Return what was said of a session's limits behind a position of the outbox."""
    last = last_seq(connection)
    found: list[Event] = []
    position = after
    while True:
        page = events_after(connection, position, limit=_MANY, session=session, types=LIMIT_EVENTS)
        found += [one.event for one in page]
        if len(page) < _MANY:
            return LimitHistory(events=tuple(found), position=max(last, after))
        position = page[-1].seq


def chat_standing(connection: Connection, session: int, chat: str) -> ChatStanding:
    """Return how far a chat has come, under any of its addresses."""
    place = (session, canonical(connection, session, indexable(chat)))
    conversation = find_conversations(connection, [place]).get(place)
    if conversation is None:
        return ChatStanding.NEW
    heard = or_(messages.c.from_me == 0, messages.c.status.in_(_ACCEPTED))
    if _has(connection, conversation, heard):
        return ChatStanding.ESTABLISHED
    if _has(connection, conversation, messages.c.status == Status.QUEUED.value):
        return ChatStanding.STARTED
    return ChatStanding.NEW


def chats_started(
    connection: Connection, session: int, since: datetime, own: Collection[str]
) -> list[datetime]:
    """Return when chats with people were begun by us after `since`, oldest first.

    A chat is begun by its first message, whichever own device wrote it; `own` are the account's
    own bare addresses, a note to which begins nothing.
    """
    earliest = messages.alias()
    first = (
        select(func.min(earliest.c.id))
        .where(earliest.c.conversation == conversations.c.id)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(messages.c.timestamp)
        .join_from(conversations, messages, messages.c.id == first)
        .where(
            conversations.c.session == session,
            conversations.c.created_at > micros(since),
            or_(*(conversations.c.chat.like(pattern) for pattern in _PERSONS)),
            conversations.c.chat.not_in([indexable(chat) for chat in own]),
            messages.c.from_me == 1,
            messages.c.timestamp > micros(since),
        )
        .order_by(messages.c.timestamp)
    )
    return [moment(at) for (at,) in rows]


def _has(connection: Connection, conversation: int, condition: ColumnElement[bool]) -> bool:
    query = exists().where(messages.c.conversation == conversation, condition)
    return bool(connection.execute(select(query)).scalar())
