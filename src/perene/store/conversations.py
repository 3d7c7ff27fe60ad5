"""Conversations, and every address that leads to one (C9)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from perene.store.addresses import pns_of
from perene.store.bulk import BulkInsert, do_nothing
from perene.store.moments import moment
from perene.store.places import Place, rows_at
from perene.store.schema import address_map, conversation_addresses, conversations, messages

_INSERT = BulkInsert(
    conversations, ("session", "chat", "created_at"), do_nothing, tell=("session", "chat")
)
_ADDRESS = BulkInsert(conversation_addresses, ("session", "address", "conversation"), do_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One chat. `chat` is its canonical address, `pn` the phone number behind a LID if known.

    `last_row` is the row of its newest message, and the cursor of the list.
    """

    id: int
    chat: str
    pn: str | None
    created_at: datetime
    last_row: int
    last_message_at: datetime | None


def list_conversations(
    connection: Connection, session: int, *, cursor: int | None, limit: int
) -> list[Conversation]:
    """Return a page of conversations, the most recently used first.

    `cursor` is the `last_row` of the page before. One that is used meanwhile moves to the front.
    """
    table = conversations.c
    last = (
        select(func.coalesce(func.max(messages.c.id), 0))
        .where(messages.c.conversation == table.id)
        .scalar_subquery()
    )
    ranked = (
        select(table.id, table.chat, table.created_at, last.label("last_row"))
        .where(table.session == session)
        .subquery()
    )
    query = (
        select(ranked, address_map.c.pn, messages.c.timestamp)
        .join_from(
            ranked,
            address_map,
            and_(address_map.c.session == session, address_map.c.lid == ranked.c.chat),
            isouter=True,
        )
        .join(messages, messages.c.id == ranked.c.last_row, isouter=True)
        .order_by(ranked.c.last_row.desc(), ranked.c.id.desc())
        .limit(limit)
    )
    if cursor is not None:
        query = query.where(ranked.c.last_row < cursor)
    return [
        Conversation(
            id=row.id,
            chat=row.chat,
            pn=row.pn,
            created_at=moment(row.created_at),
            last_row=row.last_row,
            last_message_at=None if row.timestamp is None else moment(row.timestamp),
        )
        for row in connection.execute(query)
    ]


def count_conversations(connection: Connection, session: int) -> int:
    """Return how many conversations a session has."""
    return connection.execute(
        select(func.count()).where(conversations.c.session == session)
    ).scalar_one()


def find_conversations(connection: Connection, places: Collection[Place]) -> dict[Place, int]:
    """Return the conversation of each (session, address) that leads to one."""
    rows = rows_at(connection, conversation_addresses, "address", ("conversation",), places)
    return {(session, address): conversation for session, address, conversation in rows}


def create_conversations(
    connection: Connection, places: Sequence[Place], now: int
) -> dict[Place, int]:
    """Create a conversation for each (session, canonical address), which must have none.

    Both of a person's addresses lead to it from then on. The caller holds the sessions' locks.
    """
    ids = _INSERT.run_and_tell(connection, [(*place, now) for place in places])
    created = {place: id_ for place, id_ in zip(places, ids, strict=True) if id_ is not None}
    add_addresses(connection, created)
    others = pns_of(connection, places)
    add_addresses(connection, {(place[0], pn): created[place] for place, pn in others.items()})
    return created


def add_addresses(connection: Connection, addresses: dict[Place, int]) -> None:
    """Let more addresses lead to existing conversations."""
    _ADDRESS.run(connection, [(*place, id_) for place, id_ in addresses.items()])
