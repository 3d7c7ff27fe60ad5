"""Sessions: what the user created, who owns it, and what is wanted of it."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, Row, Select, delete, exists, insert, select, update

from perene.core.errors import Conflict, NotFound, StaleEpoch
from perene.core.events import Event
from perene.core.ids import Epoch, SessionId
from perene.core.sessions import Desired, SessionOptions, SessionRecord
from perene.core.unit import Profile
from perene.store import schema
from perene.store.batch import Entry, Owned
from perene.store.keyring import Keyring
from perene.store.moments import micros, moment
from perene.store.outbox import append_events
from perene.store.schema import sessions
from perene.store.sealing import Sealer
from perene.store.texts import storable_or_none


@dataclass(frozen=True, slots=True)
class LockedSession:
    """A session's key and the epoch of its owner, while its row is locked."""

    key: int
    epoch: Epoch


def lock_sessions(
    connection: Connection, ids: Collection[SessionId]
) -> dict[SessionId, LockedSession]:
    """Lock the rows of sessions, always in the same order, until the transaction ends.

    Everything that writes a session's data holds this lock (on SQLite, the whole database's).
    """
    found: dict[SessionId, LockedSession] = {}
    rows = connection.execute(
        select(sessions.c.key, sessions.c.id, sessions.c.epoch)
        .where(sessions.c.id.in_(list(ids)))
        .order_by(sessions.c.key)
        .with_for_update(key_share=True)
    )
    for key, id_, epoch in rows:
        found[id_] = LockedSession(key, epoch)
    return found


def lock_session(connection: Connection, session_id: SessionId) -> LockedSession:
    """Lock one session's row, or raise NotFound."""
    found = lock_sessions(connection, [session_id]).get(session_id)
    if found is None:
        raise NotFound(f"there is no session {session_id}")
    return found


def session_key(connection: Connection, session_id: SessionId) -> int:
    """Return the key of a session, or raise NotFound."""
    key = connection.execute(select(sessions.c.key).where(sessions.c.id == session_id)).scalar()
    if key is None:
        raise NotFound(f"there is no session {session_id}")
    return int(key)


def lock_as_owner(
    connection: Connection, session_id: SessionId, epoch: Epoch | None
) -> LockedSession:
    """Lock one session's row; with an epoch, raise StaleEpoch unless it is the owner's."""
    locked = lock_session(connection, session_id)
    if epoch is not None and locked.epoch != epoch:
        raise StaleEpoch(f"session {session_id} has another owner since epoch {locked.epoch}")
    return locked


def own_session(
    connection: Connection, keyring: Keyring, session_id: SessionId, epoch: Epoch | None
) -> Owned:
    """Lock a session for writing; with an epoch, raise StaleEpoch unless it is the owner's."""
    locked = lock_as_owner(connection, session_id, epoch)
    sealer = keyring.sealer(connection, locked.key, session_id)
    return Owned(key=locked.key, id=session_id, epoch=locked.epoch, sealer=sealer)


def create_session(
    connection: Connection,
    keyring: Keyring,
    session_id: SessionId,
    *,
    name: str | None,
    desired: Desired,
    options: SessionOptions,
    now: datetime,
    event: Event | None,
) -> SessionRecord:
    """Create a session with its data key, at epoch 0; raises Conflict when the id is taken."""
    taken = select(sessions.c.key).where(sessions.c.id == session_id)
    if connection.execute(taken).first() is not None:
        raise Conflict(f"there is a session {session_id} already")
    key = connection.execute(
        insert(sessions)
        .values(
            id=session_id,
            name=storable_or_none(name),
            desired=desired.value,
            epoch=0,
            created_at=micros(now),
            options=_options_text(options),
        )
        .returning(sessions.c.key)
    ).scalar_one()
    sealer = keyring.create(connection, key, session_id)
    if options.proxy is not None:
        _write_options(connection, sealer, key, options)
    if event is not None:
        append_events(connection, [(session_id, event)])
    return SessionRecord(
        id=session_id,
        name=storable_or_none(name),
        desired=desired,
        epoch=Epoch(0),
        created_at=now,
        has_credentials=False,
        options=options,
    )


def get_session(
    connection: Connection, keyring: Keyring, session_id: SessionId
) -> SessionRecord | None:
    """Return one session."""
    row = connection.execute(_select().where(sessions.c.id == session_id)).first()
    return None if row is None else _record(connection, keyring, row)


def list_sessions(connection: Connection, keyring: Keyring) -> list[SessionRecord]:
    """Return every session, oldest first."""
    rows = connection.execute(_select().order_by(sessions.c.key)).all()
    return [_record(connection, keyring, row) for row in rows]


def set_desired(connection: Connection, session_id: SessionId, desired: Desired) -> None:
    """Store what is wanted of a session, or raise NotFound."""
    _update(connection, session_id, desired=desired.value)


def set_name(connection: Connection, session_id: SessionId, name: str | None) -> None:
    """Give a session another name, or raise NotFound."""
    _update(connection, session_id, name=storable_or_none(name))


def set_options(
    connection: Connection, keyring: Keyring, session_id: SessionId, options: SessionOptions
) -> None:
    """Replace a session's options, or raise NotFound."""
    key = lock_session(connection, session_id).key
    _write_options(connection, keyring.sealer(connection, key, session_id), key, options)


def acquire(connection: Connection, session_id: SessionId, held: Epoch | None = None) -> Epoch:
    """Become the owner of a session: every earlier owner's writes are refused from now on.

    With `held`, only while that is still the epoch: StaleEpoch when somebody else owns it by now.
    """
    present = lock_session(connection, session_id).epoch
    if held is not None and present != held:
        raise StaleEpoch(f"session {session_id} has another owner")
    epoch = Epoch(present + 1)
    connection.execute(update(sessions).where(sessions.c.id == session_id).values(epoch=epoch))
    return epoch


def delete_session(connection: Connection, session_id: SessionId, *, event: Event | None) -> int:
    """Delete a session and everything of it, its undelivered events too; returns its old key.

    `event` is put into the outbox afterwards, so that listeners learn of the deletion. Raises
    NotFound.
    """
    key = lock_session(connection, session_id).key
    for table in reversed(schema.metadata.sorted_tables):
        if table is schema.outbox:
            connection.execute(delete(table).where(table.c.session == session_id))
        elif table is schema.alerts:
            connection.execute(delete(table).where(table.c.subject == session_id))
        elif "session" in table.c:
            connection.execute(delete(table).where(table.c.session == key))
    connection.execute(delete(sessions).where(sessions.c.key == key))
    if event is not None:
        append_events(connection, [(session_id, event)])
    return key


def write_profiles(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store what a batch tells about the sessions' own accounts; unknown fields stay."""
    changes: dict[int, dict[str, str]] = {}
    for entry in entries:
        if entry.unit.profile is not None:
            changes.setdefault(entry.session.key, {}).update(_known(entry.unit.profile))
    for key, values in changes.items():
        if values:
            connection.execute(update(sessions).where(sessions.c.key == key).values(**values))


def write_standings(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store the last standing that a batch gives each session; an empty one clears it."""
    last = {
        entry.session.key: entry.unit.standing
        for entry in entries
        if entry.unit.standing is not None
    }
    for key, standing in last.items():
        connection.execute(
            update(sessions)
            .where(sessions.c.key == key)
            .values(standing=storable_or_none(standing or None))
        )


def _known(profile: Profile) -> dict[str, str]:
    fields = {
        "pn": profile.pn,
        "lid": profile.lid,
        "push_name": storable_or_none(profile.push_name),
        "platform": storable_or_none(profile.platform),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _select() -> Select[Any]:
    linked = exists().where(schema.credentials.c.session == sessions.c.key)
    return select(sessions, linked.label("has_credentials"))


def _record(connection: Connection, keyring: Keyring, row: Row[Any]) -> SessionRecord:
    proxy = None
    if row.proxy_sealed is not None:
        sealer = keyring.sealer(connection, row.key, row.id)
        proxy = sealer.open("sessions", "proxy", row.proxy_sealed).decode()
    return SessionRecord(
        id=row.id,
        name=row.name,
        desired=Desired(row.desired),
        epoch=row.epoch,
        created_at=moment(row.created_at),
        has_credentials=bool(row.has_credentials),
        pn=row.pn,
        lid=row.lid,
        push_name=row.push_name,
        platform=row.platform,
        options=_options(row.options, proxy),
        standing=row.standing,
    )


def _options_text(options: SessionOptions) -> str:
    return json.dumps({"history_sync": options.history_sync, "mark_online": options.mark_online})


def _options(text: str, proxy: str | None) -> SessionOptions:
    stored = cast("dict[str, bool | None]", json.loads(text))
    return SessionOptions(
        history_sync=stored.get("history_sync"),
        mark_online=stored.get("mark_online"),
        proxy=proxy,
    )


def _write_options(
    connection: Connection, sealer: Sealer, key: int, options: SessionOptions
) -> None:
    proxy = None
    if options.proxy is not None:
        proxy = sealer.seal("sessions", "proxy", options.proxy.encode())
    connection.execute(
        update(sessions)
        .where(sessions.c.key == key)
        .values(options=_options_text(options), proxy_sealed=proxy)
    )


def _update(connection: Connection, session_id: SessionId, **values: object) -> None:
    changed = connection.execute(
        update(sessions).where(sessions.c.id == session_id).values(**values)
    )
    if not changed.rowcount:
        raise NotFound(f"there is no session {session_id}")
