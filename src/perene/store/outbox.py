"""The outbox: events in the order of their commits."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from perene.core.account import ACCOUNT_EVENTS
from perene.core.events import Event, EventType
from perene.core.ids import CommitId, EventId, SessionId
from perene.store.bulk import BulkInsert, do_nothing
from perene.store.database import after_commit
from perene.store.moments import micros, moment
from perene.store.progress import progress_of
from perene.store.schema import counters, outbox

_COUNTER: Final = "outbox"
_LIFE: Final = "alive_at"
_COMMIT: Final = "commit"

# ASCII: a lone surrogate or a NUL in a payload is escaped, and so can be stored. One encoder for
# all: `json.dumps` makes a new one for each call that names separators.
_encode = json.JSONEncoder(separators=(",", ":")).encode

_INDEXED: Final = frozenset(ACCOUNT_EVENTS)

# Written as the index has it, and not bound: only then is it seen to hold all that is asked for.
_OF_ACCOUNTS: Final = text(
    "outbox.type IN ('session.limited', 'session.limit_lifted', 'session.deleted',"
    " 'session.banned', 'session.connected')"
)

_INSERT = BulkInsert(outbox, ("seq", "id", "type", "session", "payload", "at"), do_nothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event with its place in the order of commits, and the session it belongs to."""

    seq: int
    session: SessionId | None
    event: Event


def append_events(connection: Connection, events: Sequence[tuple[SessionId | None, Event]]) -> None:
    """Put events into the outbox, in this order; one whose id is there already is left out.

    Call it last in a transaction: from here to the commit it holds the lock that makes the order
    of numbers the order of commits.
    """
    if events:
        _insert(connection, events, _take_next(connection, len(events)))


def append_of_commit(
    connection: Connection, events: Sequence[tuple[SessionId, Event]], commit_id: CommitId | None
) -> None:
    """Do what `append_events` does, and let `last_commit` tell of this transaction.

    Without events a number is taken that none gets, so that its loss would be seen: see `progress`.
    """
    first = _take_next(connection, max(1, len(events)), commit_id)
    if events:
        _insert(connection, events, first)


def last_commit(connection: Connection) -> int | None:
    """Return which try was committed last, of those that have an id.

    What it took of the outbox is known to be committed then: see `progress`.
    """
    progress, kept = progress_of(connection), last_seq(connection)
    after_commit(connection, lambda: progress.commit(kept))
    return connection.execute(select(counters.c.value).where(counters.c.name == _COMMIT)).scalar()


def _insert(
    connection: Connection, events: Sequence[tuple[SessionId | None, Event]], first: int
) -> None:
    _INSERT.run(
        connection,
        [
            (
                first + place,
                event.id,
                event.type.value,
                session,
                _encode(dict(event.payload)),
                micros(event.at),
            )
            for place, (session, event) in enumerate(events)
        ],
    )


def require_no_loss(connection: Connection) -> None:
    """Raise ForgottenEpoch if the database has lost what this process has committed."""
    progress = progress_of(connection)
    if progress.reached:
        progress.require(last_seq(connection))


def _take_next(connection: Connection, count: int, commit_id: CommitId | None = None) -> int:
    """Take so many numbers, and return the first; none that was committed is given again."""
    first = _take_numbers(connection, count, commit_id)
    progress = progress_of(connection)
    progress.require(first - 1)
    after_commit(connection, lambda: progress.commit(first + count - 1))
    return first


def events_after(
    connection: Connection,
    seq: int,
    *,
    limit: int,
    session: SessionId | None = None,
    types: Collection[EventType] = (),
    until: int | None = None,
) -> list[StoredEvent]:
    """Return the events behind `seq`, none behind `until`, oldest first.

    Numbers grow, with gaps. A type has no index, but for those of one account (`ACCOUNT_EVENTS`):
    what is seldom is looked for among all.
    """
    query = select(outbox).where(outbox.c.seq > seq).order_by(outbox.c.seq).limit(limit)
    if until is not None:
        query = query.where(outbox.c.seq <= until)
    if session is not None:
        query = query.where(outbox.c.session == session)
    if types:
        query = query.where(outbox.c.type.in_([kind.value for kind in types]))
    if _is_indexed(session, types):
        query = query.where(_OF_ACCOUNTS)
    return [
        StoredEvent(
            seq=row.seq,
            session=row.session,
            event=Event(
                id=EventId(row.id),
                type=EventType(row.type),
                at=moment(row.at),
                payload=json.loads(row.payload),
            ),
        )
        for row in connection.execute(query)
    ]


def holds_event(connection: Connection, session: SessionId, event: EventId) -> bool:
    """Tell whether a session's event is there: then the transaction that put it was committed."""
    found = select(outbox.c.seq).where(outbox.c.id == event, outbox.c.session == session)
    return connection.execute(found).first() is not None


def reach(
    connection: Connection,
    seq: int,
    *,
    count: int,
    session: SessionId | None = None,
    types: Collection[EventType] = (),
) -> int | None:
    """Return the `until` up to which `events_after` looks at `count` events.

    None when there are fewer, or when an index leads to those of these types.
    """
    if _is_indexed(session, types):
        return None
    query = select(outbox.c.seq).where(outbox.c.seq > seq).order_by(outbox.c.seq)
    if session is not None:
        query = query.where(outbox.c.session == session)
    return connection.execute(query.offset(count - 1).limit(1)).scalar()


def _is_indexed(session: SessionId | None, types: Collection[EventType]) -> bool:
    # Without a session SQLite would rather read the whole table in its order.
    return session is not None and bool(types) and _INDEXED.issuperset(types)


def last_seq(connection: Connection) -> int:
    """Return the number of the newest event, 0 when there was none yet."""
    found = connection.execute(select(counters.c.value).where(counters.c.name == _COUNTER)).scalar()
    return 0 if found is None else int(found)


def skip_to(connection: Connection, seq: int) -> None:
    """Let the next event have a number behind `seq`."""
    missing = seq - last_seq(connection)
    if missing > 0:
        _take_numbers(connection, missing)


def purge_events(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete at most `limit` of the oldest events, as far as they are older than `before`."""
    oldest = connection.execute(
        select(outbox.c.seq, outbox.c.at).order_by(outbox.c.seq).limit(limit)
    ).all()
    cutoff = micros(before)
    gone = 0
    for seq, at in oldest:
        if at >= cutoff:
            break
        gone = seq
    return connection.execute(delete(outbox).where(outbox.c.seq <= gone)).rowcount


def note_life(connection: Connection, now: datetime) -> None:
    """Write that the service runs now; whether that can be committed is what is asked mostly."""
    connection.execute(_NOTE[connection.dialect.name], {"name": _LIFE, "value": micros(now)})


def last_life(connection: Connection) -> datetime | None:
    """Return when a service is known to have run last: by its events, or by what it noted."""
    latest = select(outbox.c.at).order_by(outbox.c.seq.desc()).limit(1)
    noted = select(counters.c.value).where(counters.c.name == _LIFE)
    found = [connection.execute(query).scalar() for query in (latest, noted)]
    return max((moment(at) for at in found if at is not None), default=None)


def _take_numbers(connection: Connection, count: int, commit_id: CommitId | None = None) -> int:
    if commit_id is None:
        counting = {"name": _COUNTER, "value": count}
        taken = connection.execute(_COUNT[connection.dialect.name], counting).scalar_one()
    else:
        rows = connection.execute(_COUNT_AND_NOTE, {"count": count, "commit": commit_id})
        taken = next(value for name, value in rows if name == _COUNTER)
    return int(taken) - count + 1


def _count_on(insert: sqlite.Insert | postgresql.Insert) -> ReturningInsert[int]:
    return insert.on_conflict_do_update(
        index_elements=["name"],
        set_={"value": counters.c.value + insert.excluded.value},
    ).returning(counters.c.value)


def _note(insert: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    return insert.on_conflict_do_update(
        index_elements=["name"], set_={"value": insert.excluded.value}
    )


# Made once: building and hashing them for every commit took a third of its time.
_COUNT: Final = {
    "sqlite": _count_on(sqlite.insert(counters)),
    "postgresql": _count_on(postgresql.insert(counters)),
}
# One statement, for every commit pays for it; as text, for `values` of several rows would be
# compiled anew each time.
_COUNT_AND_NOTE: Final = text(
    "INSERT INTO counters (name, value) VALUES ('outbox', :count), ('commit', :commit)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    " + CASE counters.name WHEN 'outbox' THEN counters.value ELSE 0 END RETURNING name, value"
)
_NOTE: Final = {
    "sqlite": _note(sqlite.insert(counters)),
    "postgresql": _note(postgresql.insert(counters)),
}
