"""Messages between own devices that belong to no conversation."""

from collections.abc import Iterable

from sqlalchemy import Connection, Select, select

from perene.core.unit import PeerMessage
from perene.store.batch import Entry
from perene.store.bulk import BulkInsert, do_nothing
from perene.store.schema import peer_messages
from perene.store.sealing import Sealer
from perene.store.texts import indexable, storable

_INSERT = BulkInsert(peer_messages, ("session", "id", "kind", "sealed", "at"), do_nothing)
_TABLE = "peer_messages"


def write_peer_messages(connection: Connection, entries: Iterable[Entry], now: int) -> None:
    """Store the peer messages of a batch; one whose id is stored already is left as it is."""
    rows: list[tuple[int, str, str, bytes, int]] = []
    for entry in entries:
        session = entry.session
        for message in entry.unit.peer_messages:
            id_ = indexable(message.id)
            sealed = session.sealer.seal(_TABLE, id_, message.body)
            rows.append((session.key, id_, storable(message.kind), sealed, now))
    _INSERT.run(connection, rows)


def read_peer_messages(
    connection: Connection, session: int, sealer: Sealer, *, limit: int
) -> list[PeerMessage]:
    """Return stored peer messages, oldest first."""
    table = peer_messages.c
    wanted = _of_session(session).order_by(table.at, table.id).limit(limit)
    return _opened(connection, wanted, sealer)


def newest_peer_messages(
    connection: Connection, session: int, sealer: Sealer, kind: str, *, limit: int
) -> list[PeerMessage]:
    """Return stored peer messages of one kind, newest first."""
    table = peer_messages.c
    wanted = (
        _of_session(session)
        .where(table.kind == storable(kind))
        .order_by(table.at.desc(), table.id.desc())
        .limit(limit)
    )
    return _opened(connection, wanted, sealer)


def _of_session(session: int) -> Select[str, str, bytes]:
    table = peer_messages.c
    return select(table.id, table.kind, table.sealed).where(table.session == session)


def _opened(
    connection: Connection, wanted: Select[str, str, bytes], sealer: Sealer
) -> list[PeerMessage]:
    return [
        PeerMessage(id=id_, kind=kind, body=sealer.open(_TABLE, id_, sealed))
        for id_, kind, sealed in connection.execute(wanted)
    ]
