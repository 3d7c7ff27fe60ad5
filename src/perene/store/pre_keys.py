"""One-time pre-keys: the private halves that nobody has used yet."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, select, update

from perene.core.unit import PreKeyWrite
from perene.store.addresses import chunks
from perene.store.batch import Entry, Owned
from perene.store.bulk import BulkInsert, replacing
from perene.store.schema import pre_keys
from perene.store.sealing import Sealer

_INSERT = BulkInsert(
    pre_keys, ("session", "id", "uploaded", "sealed"), replacing("uploaded", "sealed")
)
_MARK = (
    update(pre_keys)
    .where(pre_keys.c.session == bindparam("s"), pre_keys.c.id == bindparam("i"))
    .values(uploaded=1)
)
_CONSUME = delete(pre_keys).where(
    pre_keys.c.session == bindparam("s"), pre_keys.c.id == bindparam("i")
)


@dataclass(slots=True)
class _Last:
    """What a batch leaves of one pre-key. Without a new private half, the stored row is meant."""

    session: Owned
    private: bytes | None = None
    uploaded: bool = False
    consumed: bool = False


def write_pre_keys(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store new pre-keys, mark uploaded ones, delete consumed ones; within a unit in this order."""
    last: dict[tuple[int, int], _Last] = {}
    for entry in entries:
        session, unit = entry.session, entry.unit
        for write in unit.pre_keys_added:
            last[session.key, write.id] = _Last(session, private=write.private)
        for key_id in unit.pre_keys_uploaded:
            last.setdefault((session.key, key_id), _Last(session)).uploaded = True
        for key_id in unit.pre_keys_consumed:
            last[session.key, key_id] = _Last(session, consumed=True)
    _INSERT.run(
        connection,
        [
            (key, key_id, int(one.uploaded), _sealed(one.session, key_id, one.private))
            for (key, key_id), one in last.items()
            if one.private is not None
        ],
    )
    marked = [
        {"s": key, "i": key_id}
        for (key, key_id), one in last.items()
        if one.private is None and not one.consumed
    ]
    if marked:
        connection.execute(_MARK, marked)
    consumed = [{"s": key, "i": key_id} for (key, key_id), one in last.items() if one.consumed]
    if consumed:
        connection.execute(_CONSUME, consumed)


def read_pre_keys(
    connection: Connection, session: int, sealer: Sealer, ids: Collection[int]
) -> dict[int, bytes]:
    """Return the private halves of those of these pre-keys that are not consumed."""
    table = pre_keys.c
    found: dict[int, bytes] = {}
    for chunk in chunks(ids):
        rows = connection.execute(
            select(table.id, table.sealed).where(table.session == session, table.id.in_(chunk))
        )
        found.update((id_, sealer.open("pre_keys", str(id_), sealed)) for id_, sealed in rows)
    return found


def pre_keys_not_uploaded(
    connection: Connection, session: int, sealer: Sealer, limit: int
) -> list[PreKeyWrite]:
    """Return pre-keys that the server has not confirmed, lowest id first."""
    table = pre_keys.c
    rows = connection.execute(
        select(table.id, table.sealed)
        .where(table.session == session, table.uploaded == 0)
        .order_by(table.id)
        .limit(limit)
    )
    return [
        PreKeyWrite(id=key_id, private=sealer.open("pre_keys", str(key_id), sealed))
        for key_id, sealed in rows
    ]


def count_pre_keys(connection: Connection, session: int) -> int:
    """Return how many pre-keys are neither consumed nor forgotten."""
    return connection.execute(
        select(func.count()).where(pre_keys.c.session == session)
    ).scalar_one()


def _sealed(session: Owned, key_id: int, private: bytes) -> bytes:
    return session.sealer.seal("pre_keys", str(key_id), private)
