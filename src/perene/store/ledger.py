"""The ledger: the fate of every inbound message id."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    SmallInteger,
    Text,
    and_,
    case,
    delete,
    func,
    literal_column,
    select,
)

from perene.core.ids import MessageId
from perene.core.messages import Fate, LedgerEntry, MessageKey
from perene.store.addresses import canonical
from perene.store.batch import Entry, Resolver
from perene.store.bulk import BulkInsert, Upsert
from perene.store.moments import micros, moment
from perene.store.schema import ledger
from perene.store.texts import indexable, storable_or_none

_KEY = ("session", "sender", "external_id", "chat", "from_me")
_OPEN = tuple(fate for fate in Fate if fate.is_open)

_Key = tuple[int, str, str, str, int]


@dataclass(frozen=True, slots=True)
class _Line:
    fate: str
    reason: str | None
    retries: int
    first_seen: int
    updated: int
    wants_phone: int | None


def _keep_the_better(statement: Upsert) -> Upsert:
    # `_fold` in SQL: a settled fate stays, and what comes after an open one was recovered. What the
    # phone was asked for (0) is not wanted of it again.
    old, new = ledger.c, statement.excluded
    return statement.on_conflict_do_update(
        index_elements=_KEY,
        set_={
            "fate": case(
                (new.fate == _word(Fate.DELIVERED), _word(Fate.RECOVERED)), else_=new.fate
            ),
            "reason": func.coalesce(new.reason, old.reason),
            "retries": case((new.retries > old.retries, new.retries), else_=old.retries),
            "updated": new.updated,
            "wants_phone": case(
                (old.wants_phone == _number(0), old.wants_phone),
                else_=func.coalesce(new.wants_phone, old.wants_phone),
            ),
        },
        where=old.fate.in_([_word(fate) for fate in _OPEN]),
    )


def _word(fate: Fate) -> ColumnElement[str]:
    return literal_column(f"'{fate.value}'", Text)


def _number(value: int) -> ColumnElement[int]:
    return literal_column(str(value), SmallInteger)


_UPSERT = BulkInsert(
    ledger,
    (*_KEY, "fate", "reason", "retries", "first_seen", "updated", "wants_phone"),
    _keep_the_better,
)


def write_ledger(connection: Connection, entries: Iterable[Entry], resolver: Resolver) -> None:
    """Store the ledger entries of a batch, one row for each message key."""
    lines: dict[_Key, _Line] = {}
    for entry in entries:
        session = entry.session
        for line in entry.unit.ledger:
            key = (
                session.key,
                resolver.canonical(session, line.key.sender),
                indexable(line.key.id),
                resolver.canonical(session, line.key.chat),
                int(line.key.from_me),
            )
            at = micros(line.at)
            wants = None if line.wants_phone is None else int(line.wants_phone)
            new = _Line(line.fate, storable_or_none(line.reason), line.retries, at, at, wants)
            old = lines.get(key)
            lines[key] = new if old is None else _fold(old, new)
    _UPSERT.run(connection, [_row(key, line) for key, line in lines.items()])


def rename_in_ledger(connection: Connection, session: int, *, old: str, new: str) -> None:
    """Give a person's entries their canonical address; entries that then meet are folded."""
    table = ledger.c
    rows = _read(connection, and_(table.session == session, table.sender == old))
    # The keys alone come from the small index of own entries; asked for whole rows, SQLite would
    # rather search the entire ledger of the session.
    own = connection.execute(
        select(*(table[name] for name in _KEY)).where(
            table.session == session, table.chat == old, _own()
        )
    ).all()
    for key in own:
        rows |= _read(connection, _is(tuple(key)))
    if not rows:
        return
    for key in {_renamed(key, old, new) for key in rows}:
        rows |= _read(connection, _is(key))
    merged: dict[_Key, _Line] = {}
    for key, line in sorted(rows.items(), key=lambda row: row[1].updated):
        target = _renamed(key, old, new)
        before = merged.get(target)
        merged[target] = line if before is None else _fold(before, line)
    for key in rows:
        connection.execute(delete(ledger).where(_is(key)))
    _UPSERT.run(connection, [_row(key, line) for key, line in merged.items()])


def ledger_entry(connection: Connection, session: int, key: MessageKey) -> LedgerEntry | None:
    """Return the fate of one inbound message id, under whichever address it is asked for."""
    place = (
        session,
        canonical(connection, session, indexable(key.sender)),
        indexable(key.id),
        canonical(connection, session, indexable(key.chat)),
        int(key.from_me),
    )
    found = _read(connection, _is(place)).get(place)
    return None if found is None else _entry(place, found)


def open_entries(
    connection: Connection, session: int, *, limit: int, fate: Fate = Fate.PENDING
) -> list[LedgerEntry]:
    """Return entries that are still pending (or were given up as lost), oldest first."""
    table = ledger.c
    rows = _read(
        connection,
        and_(table.session == session, _is_open(), table.fate == fate.value),
        limit=limit,
    )
    return [_entry(key, line) for key, line in rows.items()]


def wanted_of_phone(
    connection: Connection, session: int, *, since: datetime, limit: int
) -> list[LedgerEntry]:
    """Return open entries for which the account's phone is still to be asked, newest first.

    Only those first seen from `since` on.
    """
    table = ledger.c
    rows = _read(
        connection,
        and_(
            table.session == session,
            _is_open(),
            table.wants_phone == _number(1),
            table.first_seen >= micros(since),
        ),
        limit=limit,
        newest_first=True,
    )
    return [_entry(key, line) for key, line in rows.items()]


def count_ledger(
    connection: Connection, session: int, *, since: datetime | None = None
) -> dict[Fate, int]:
    """Return how many message ids have each fate; `since` counts those first seen from then on."""
    table = ledger.c
    query = select(table.fate, func.count()).where(table.session == session).group_by(table.fate)
    if since is not None:
        query = query.where(table.first_seen >= micros(since))
    counts = {Fate(fate): int(count) for fate, count in connection.execute(query)}
    return {fate: counts.get(fate, 0) for fate in Fate}


def _fold(old: _Line, new: _Line) -> _Line:
    if old.fate not in _OPEN:
        return old
    return replace(
        new,
        fate=Fate.RECOVERED if new.fate == Fate.DELIVERED else new.fate,
        reason=new.reason or old.reason,
        retries=max(new.retries, old.retries),
        first_seen=old.first_seen,
        wants_phone=0 if old.wants_phone == 0 else _first(new.wants_phone, old.wants_phone),
    )


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _renamed(key: _Key, old: str, new: str) -> _Key:
    session, sender, external_id, chat, from_me = key
    return (
        session,
        new if sender == old else sender,
        external_id,
        new if chat == old else chat,
        from_me,
    )


def _own() -> ColumnElement[bool]:
    # Literals, not parameters: only then does a partial index serve the query.
    return ledger.c.from_me == literal_column("1")


def _is_open() -> ColumnElement[bool]:
    return ledger.c.fate.in_([_word(Fate.PENDING), _word(Fate.LOST)])


def _is(key: _Key) -> ColumnElement[bool]:
    return and_(*(ledger.c[name] == value for name, value in zip(_KEY, key, strict=True)))


def _read(
    connection: Connection,
    condition: ColumnElement[bool],
    *,
    limit: int | None = None,
    newest_first: bool = False,
) -> dict[_Key, _Line]:
    table = ledger.c
    rows = connection.execute(
        select(
            *(table[name] for name in _KEY),
            table.fate,
            table.reason,
            table.retries,
            table.first_seen,
            table.updated,
            table.wants_phone,
        )
        .where(condition)
        .order_by(table.first_seen.desc() if newest_first else table.first_seen)
        .limit(limit)
    )
    return {
        (row.session, row.sender, row.external_id, row.chat, row.from_me): _Line(
            row.fate, row.reason, row.retries, row.first_seen, row.updated, row.wants_phone
        )
        for row in rows
    }


def _row(key: _Key, line: _Line) -> tuple[Any, ...]:
    progress = (line.fate, line.reason, line.retries, line.first_seen, line.updated)
    return (*key, *progress, line.wants_phone)


def _entry(key: _Key, line: _Line) -> LedgerEntry:
    _session, sender, external_id, chat, from_me = key
    return LedgerEntry(
        key=MessageKey(chat=chat, sender=sender, id=MessageId(external_id), from_me=bool(from_me)),
        fate=Fate(line.fate),
        at=moment(line.updated),
        reason=line.reason,
        retries=line.retries,
        wants_phone=None if line.wants_phone is None else bool(line.wants_phone),
    )
