"""Taking a message of the user's: stored as queued, once for each idempotency key."""

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, tuple_

from perene.core.errors import Conflict, IdempotencyConflict
from perene.core.ids import MessageId, SessionId
from perene.core.messages import Message
from perene.store.keyring import Keyring
from perene.store.messages import StoredMessage, get_message, insert_queued, own_message
from perene.store.moments import micros
from perene.store.outbox import append_events
from perene.store.ownership import own_session
from perene.store.schema import idempotency_keys
from perene.store.sealing import Sealer
from perene.store.texts import indexable


def queue_message(
    connection: Connection,
    keyring: Keyring,
    session_id: SessionId,
    message: Message,
    *,
    idempotency_key: str | None,
    request_hash: bytes,
    now: datetime,
) -> StoredMessage:
    """Store a message to be sent, with its idempotency key, in one transaction.

    A key that was used with the same `request_hash` returns the message of then, whose id is
    another unless this very message is asked for again; with another one, IdempotencyConflict is
    raised. Conflict when the message's own id exists in that chat; NotFound when there is no such
    session. `message.event` is put into the outbox when it is new.
    """
    session = own_session(connection, keyring, session_id, None)
    if idempotency_key is not None:
        earlier = _earlier(connection, session.key, idempotency_key, request_hash)
        if earlier is not None:
            found = own_message(connection, session.key, session.sealer, earlier)
            if found is None:
                raise Conflict("the message of this idempotency key was deleted")
            return found
        connection.execute(
            insert(idempotency_keys).values(
                session=session.key,
                key=indexable(idempotency_key),
                request_hash=request_hash,
                external_id=indexable(message.key.id),
                at=micros(now),
            )
        )
    row = insert_queued(connection, session, message, micros(now))
    stored = None if row is None else get_message(connection, session.key, session.sealer, row)
    if stored is None:
        raise Conflict(f"message {message.key.id} exists already")
    if message.event is not None:
        append_events(connection, [(session_id, message.event)])
    return stored


def message_of_key(
    connection: Connection, session: int, sealer: Sealer, idempotency_key: str, request_hash: bytes
) -> StoredMessage | None:
    """Return the message that this key has queued, None if it was not used.

    Raises IdempotencyConflict when it was used with another `request_hash`.
    """
    earlier = _earlier(connection, session, idempotency_key, request_hash)
    return None if earlier is None else own_message(connection, session, sealer, earlier)


def purge_idempotency_keys(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete at most `limit` keys older than `before`; returns how many. Call until it is 0."""
    table = idempotency_keys.c
    old = select(table.session, table.key).where(table.at < micros(before)).limit(limit)
    return connection.execute(
        delete(idempotency_keys).where(tuple_(table.session, table.key).in_(old))
    ).rowcount


def _earlier(
    connection: Connection, session: int, key: str, request_hash: bytes
) -> MessageId | None:
    table = idempotency_keys.c
    row = connection.execute(
        select(table.request_hash, table.external_id).where(
            table.session == session, table.key == indexable(key)
        )
    ).first()
    if row is None:
        return None
    if bytes(row.request_hash) != request_hash:
        raise IdempotencyConflict("this Idempotency-Key was used with another request")
    return MessageId(row.external_id)
