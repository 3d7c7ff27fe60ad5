"""What sessions have learned of their own traffic, kept over restarts of the service."""

from collections.abc import Mapping

from sqlalchemy import Connection, LargeBinary, cast, select

from perene.core.ids import SessionId
from perene.store.bulk import BulkInsert, replacing
from perene.store.ownership import lock_sessions
from perene.store.schema import hearing, sessions

_UPSERT = BulkInsert(hearing, ("session", "learned"), replacing("learned"))


# SQLite keeps the type of a value beside it, which can be damaged as well: a text that is none ends
# the whole reading.
_LEARNED = select(sessions.c.id, cast(hearing.c.learned, LargeBinary).label("learned")).join_from(
    hearing, sessions, hearing.c.session == sessions.c.key
)


def read_hearing(connection: Connection) -> dict[SessionId, bytes]:
    """Return what every session has learned; a few kilobytes each."""
    return {SessionId(row.id): row.learned or b"" for row in connection.execute(_LEARNED)}


def read_hearing_of(connection: Connection, session: SessionId) -> bytes | None:
    """Return what a session has learned, None if nothing is stored of it."""
    row = connection.execute(_LEARNED.where(sessions.c.id == session)).first()
    return None if row is None else row.learned or b""


def write_hearing(connection: Connection, learned: Mapping[SessionId, bytes]) -> None:
    """Store what sessions have learned; one that does not exist (any more) is left out."""
    locked = lock_sessions(connection, learned)
    _UPSERT.run(
        connection, [(locked[id_].key, data) for id_, data in learned.items() if id_ in locked]
    )
