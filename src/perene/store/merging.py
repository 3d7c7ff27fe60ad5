"""Learning that two addresses are one person: their conversations, messages and ledger become one.

The LID is canonical. Where both addresses have a copy of the same message, the older row stays. The
caller holds the locks of the sessions.
"""

from collections.abc import Sequence

from sqlalchemy import (
    Connection,
    and_,
    delete,
    exists,
    or_,
    select,
    update,
)

from perene.store.addresses import insert_pairs
from perene.store.conversations import add_addresses, find_conversations
from perene.store.ledger import rename_in_ledger
from perene.store.places import Place, occupied
from perene.store.schema import (
    address_map,
    conversation_addresses,
    conversations,
    ledger,
    messages,
)

Pair = tuple[int, str, str]
"""A session's key, a phone number JID, and the LID JID of the same person."""


def contradict_each_other(pairs: Sequence[Pair]) -> bool:
    """Tell whether two of these pairs give one address two partners."""
    pns = {(session, pn) for session, pn, _lid in pairs}
    lids = {(session, lid) for session, _pn, lid in pairs}
    return len(pns) < len(pairs) or len(lids) < len(pairs)


def learn_pairs(connection: Connection, pairs: Sequence[Pair]) -> None:
    """Store the pairs, in their order, and merge what they show to be one person's.

    Most new pairs name a person who wrote under one address only; those are stored together. A
    pair that contradicts an older one replaces it: numbers change hands.
    """
    if not pairs:
        return
    plain: list[Pair] = []
    if not contradict_each_other(pairs):
        contested = _already_paired(connection, pairs) | _with_traces(connection, pairs)
        plain = [pair for pair in pairs if pair not in contested]
        pairs = [pair for pair in pairs if pair in contested]
        insert_pairs(connection, plain)
        _lead_to_known(connection, plain)
    for pair in pairs:
        _learn_one(connection, pair)


def _already_paired(connection: Connection, pairs: Sequence[Pair]) -> set[Pair]:
    taken_pn = occupied(connection, address_map, "pn", _places(pairs))
    lids = {(session, lid) for session, _pn, lid in pairs}
    taken_lid = occupied(connection, address_map, "lid", lids)
    return {pair for pair in pairs if pair[:2] in taken_pn or (pair[0], pair[2]) in taken_lid}


def _with_traces(connection: Connection, pairs: Sequence[Pair]) -> set[Pair]:
    places = _places(pairs)
    known = occupied(connection, conversation_addresses, "address", places)
    known |= occupied(connection, messages, "sender", places)
    known |= occupied(connection, ledger, "sender", places)
    # What others wrote is known by its sender; the index of chats has our own alone.
    known |= occupied(connection, ledger, "chat", places, only="r.from_me = 1")
    return {pair for pair in pairs if pair[:2] in known}


def _places(pairs: Sequence[Pair]) -> set[Place]:
    return {(session, pn) for session, pn, _lid in pairs}


def _lead_to_known(connection: Connection, pairs: Sequence[Pair]) -> None:
    found = find_conversations(connection, [(session, lid) for session, _pn, lid in pairs])
    add_addresses(
        connection,
        {
            (session, pn): found[session, lid]
            for session, pn, lid in pairs
            if (session, lid) in found
        },
    )


def _learn_one(connection: Connection, pair: Pair) -> None:
    session, pn, lid = pair
    if _replace_pairs(connection, pair):
        _join_conversations(connection, pair)
        _rename_sender(connection, pair)
        rename_in_ledger(connection, session, old=pn, new=lid)


def _replace_pairs(connection: Connection, pair: Pair) -> bool:
    session, pn, lid = pair
    table = address_map.c
    old = connection.execute(
        select(table.pn, table.lid).where(
            table.session == session, or_(table.pn == pn, table.lid == lid)
        )
    ).all()
    if any((row.pn, row.lid) == (pn, lid) for row in old):
        return False
    for row in old:
        # The number was another person's, or the person had another number: it no longer leads to
        # that person's conversation. What they wrote stays theirs, under their LID.
        connection.execute(delete(address_map).where(table.session == session, table.pn == row.pn))
        connection.execute(
            delete(conversation_addresses).where(
                conversation_addresses.c.session == session,
                conversation_addresses.c.address == row.pn,
            )
        )
    insert_pairs(connection, [pair])
    return True


def _join_conversations(connection: Connection, pair: Pair) -> None:
    session, pn, lid = pair
    found = find_conversations(connection, [(session, pn), (session, lid)])
    if not found:
        return
    keep, *rest = sorted(set(found.values()))
    for other in rest:
        _move_messages(connection, session, source=other, target=keep)
        connection.execute(
            update(conversation_addresses)
            .where(
                conversation_addresses.c.session == session,
                conversation_addresses.c.conversation == other,
            )
            .values(conversation=keep)
        )
        connection.execute(delete(conversations).where(conversations.c.id == other))
    connection.execute(update(conversations).where(conversations.c.id == keep).values(chat=lid))
    add_addresses(connection, {(session, pn): keep, (session, lid): keep})


def _move_messages(connection: Connection, session: int, *, source: int, target: int) -> None:
    mine, other = messages.c, messages.alias("other")
    for one, two in ((source, target), (target, source)):
        connection.execute(
            delete(messages).where(
                mine.conversation == one,
                exists().where(
                    other.c.session == session,
                    other.c.sender == mine.sender,
                    other.c.external_id == mine.external_id,
                    other.c.conversation == two,
                    other.c.from_me == mine.from_me,
                    other.c.id < mine.id,
                ),
            )
        )
    connection.execute(
        update(messages).where(mine.conversation == source).values(conversation=target)
    )


def _rename_sender(connection: Connection, pair: Pair) -> None:
    session, pn, lid = pair
    mine, other = messages.c, messages.alias("other")
    for one, two in ((pn, lid), (lid, pn)):
        connection.execute(
            delete(messages).where(
                and_(mine.session == session, mine.sender == one),
                exists().where(
                    other.c.session == session,
                    other.c.sender == two,
                    other.c.external_id == mine.external_id,
                    other.c.conversation == mine.conversation,
                    other.c.from_me == mine.from_me,
                    other.c.id < mine.id,
                ),
            )
        )
    connection.execute(
        update(messages).where(mine.session == session, mine.sender == pn).values(sender=lid)
    )
