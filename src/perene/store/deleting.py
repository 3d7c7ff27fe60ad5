"""The end of a session: gone at once, and what it has left behind is removed bit by bit.

A session may have millions of rows. To delete them in one transaction would hold the one writer for
as long, and to delete some before the session itself would leave a session that WhatsApp knows,
without what it needs to read, whenever the service ends in between.
"""

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select, tuple_

from perene.core.events import Event
from perene.core.ids import SessionId
from perene.store import schema
from perene.store.outbox import append_events, last_seq
from perene.store.ownership import lock_session, outlive
from perene.store.schema import outbox, remains, sessions


def delete_session(connection: Connection, session_id: SessionId, *, event: Event | None) -> int:
    """Delete a session with its keys and alerts, by which it is no session any more.

    The rest is left to `remove_remains`. `event` is put into the outbox, so that listeners learn of
    the deletion. Returns the key that the session had; raises NotFound.
    """
    locked = lock_session(connection, session_id)
    key = locked.key
    outlive(connection, locked.epoch)
    left = {"session": key, "id": session_id, "last_event": last_seq(connection)}
    connection.execute(insert(remains).values(left))
    for table in (schema.alerts, schema.alert_conditions):
        connection.execute(delete(table).where(table.c.subject == session_id))
    for table in reversed(schema.metadata.sorted_tables):
        if "session" in table.c and table.c.session.foreign_keys:
            connection.execute(delete(table).where(table.c.session == key))
    connection.execute(delete(sessions).where(sessions.c.key == key))
    if event is not None:
        append_events(connection, [(session_id, event)])
    return key


def remove_remains(connection: Connection, *, limit: int) -> int:
    """Remove at most `limit` rows that one deleted session has left behind; returns how many.

    Call it until it is 0: then no deleted session has left anything. Events go first, told or not,
    for they are seen under an id that may be another session's by now; that one's own stay.
    """
    left = connection.execute(select(remains).order_by(remains.c.session).limit(1)).first()
    if left is None:
        return 0
    own_events = (outbox.c.session == left.id) & (outbox.c.seq <= left.last_event)
    room = limit - _remove(connection, outbox, own_events, limit)
    for table in reversed(schema.metadata.sorted_tables):
        if "session" in table.c and table not in (outbox, remains):
            room -= _remove(connection, table, table.c.session == left.session, room)
    if room:
        connection.execute(delete(remains).where(remains.c.session == left.session))
        room -= 1
    return limit - room


def _remove(connection: Connection, table: Table, which: ColumnElement[bool], limit: int) -> int:
    if not limit:
        return 0
    names = tuple(table.primary_key.columns)
    some = select(*names).where(which).limit(limit)
    return connection.execute(delete(table).where(tuple_(*names).in_(some))).rowcount
