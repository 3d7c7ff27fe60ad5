"""Outages: how each connection was lost and found again."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from perene.core.causes import Cause, Kind
from perene.core.ids import SessionId
from perene.core.outage_json import losses_from_json, losses_to_json
from perene.core.outages import Outage, OutageEnd, OutageId
from perene.store.batch import Entry, Owned
from perene.store.bulk import BulkInsert, replacing
from perene.store.moments import micros, micros_or_none, moment, moment_or_none
from perene.store.schema import outages
from perene.store.texts import storable

_COLUMNS = (
    "id",
    "session",
    "began_at",
    "ended_at",
    "cause",
    "kind",
    "code",
    "sentence",
    "attributes",
    "attempts",
    "last_attempt_at",
    "last_cause",
    "last_code",
    "retry_at",
    "end",
    "losses",
)
_UPSERT = BulkInsert(outages, _COLUMNS, replacing(*_COLUMNS[2:], on=("id",)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageRow:
    """A stored outage; `row` only grows and is the cursor of lists."""

    row: int
    outage: Outage


def write_outages(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store the last state that a batch gives each outage, over what was stored of it before."""
    last: dict[OutageId, tuple[Owned, Outage]] = {}
    for entry in entries:
        if entry.unit.outage is not None:
            last[entry.unit.outage.id] = (entry.session, entry.unit.outage)
    _UPSERT.run(connection, [_values(session.key, outage) for session, outage in last.values()])


def end_outages(connection: Connection, session: int, end: OutageEnd, now: datetime) -> None:
    """End every outage of a session that is still open. The caller holds the session's lock."""
    table = outages.c
    connection.execute(
        update(outages)
        .where(table.session == session, table.ended_at.is_(None))
        .values(ended_at=micros(now), end=end.value, retry_at=None)
    )


def list_outages(
    connection: Connection, session: int, session_id: SessionId, *, before: int | None, limit: int
) -> list[OutageRow]:
    """Return a session's outages, newest first, from behind the row `before`."""
    table = outages.c
    query = select(outages).where(table.session == session).order_by(table.key.desc()).limit(limit)
    if before is not None:
        query = query.where(table.key < before)
    return [
        OutageRow(row=row.key, outage=_outage(row, session_id)) for row in connection.execute(query)
    ]


def purge_outages(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete at most `limit` outages that ended before; returns how many. Call until it is 0."""
    table = outages.c
    old = select(table.key).where(table.ended_at < micros(before)).limit(limit)
    return connection.execute(delete(outages).where(table.key.in_(old))).rowcount


def _values(session: int, outage: Outage) -> tuple[object, ...]:
    return (
        outage.id,
        session,
        micros(outage.began_at),
        micros_or_none(outage.ended_at),
        outage.cause.value,
        outage.kind.value,
        storable(outage.code),
        storable(outage.sentence),
        # ASCII: what a text column refuses is escaped.
        json.dumps(dict(outage.attributes)),
        outage.attempts,
        micros_or_none(outage.last_attempt_at),
        outage.last_cause.value,
        storable(outage.last_code),
        micros_or_none(outage.retry_at),
        None if outage.end is None else outage.end.value,
        json.dumps(losses_to_json(outage.losses)),
    )


def _outage(row: Row[Any], session_id: SessionId) -> Outage:
    return Outage(
        id=OutageId(row.id),
        session=session_id,
        began_at=moment(row.began_at),
        cause=Cause(row.cause),
        kind=Kind(row.kind),
        code=row.code,
        sentence=row.sentence,
        attributes=json.loads(row.attributes),
        attempts=row.attempts,
        last_attempt_at=moment_or_none(row.last_attempt_at),
        last_cause=Cause(row.last_cause),
        last_code=row.last_code,
        losses=losses_from_json(json.loads(row.losses)),
        retry_at=moment_or_none(row.retry_at),
        ended_at=moment_or_none(row.ended_at),
        end=None if row.end is None else OutageEnd(row.end),
    )
