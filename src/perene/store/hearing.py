"""What sessions have learned of their own traffic, kept over restarts of the service."""

from collections.abc import Mapping

from sqlalchemy import Connection, select

from perene.core.ids import SessionId
from perene.store.bulk import BulkInsert, replacing
from perene.store.ownership import lock_sessions
from perene.store.schema import hearing, sessions

_UPSERT = BulkInsert(hearing, ("session", "learned"), replacing("learned"))


def read_hearing(connection: Connection) -> dict[SessionId, bytes]:
    """Return what every session has learned; a few kilobytes each."""
    rows = connection.execute(
        select(sessions.c.id, hearing.c.learned).join_from(
            hearing, sessions, hearing.c.session == sessions.c.key
        )
    )
    return {SessionId(row.id): bytes(row.learned) for row in rows}


def write_hearing(connection: Connection, learned: Mapping[SessionId, bytes]) -> None:
    """Store what sessions have learned; one that does not exist (any more) is left out."""
    locked = lock_sessions(connection, learned)
    _UPSERT.run(
        connection, [(locked[id_].key, data) for id_, data in learned.items() if id_ in locked]
    )
