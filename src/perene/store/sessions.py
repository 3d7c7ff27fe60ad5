"""Sessions: what the user created, what is wanted of it, and what is known of its account."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from perene.core.errors import Conflict, NotFound, UnreadableState
from perene.core.events import Event
from perene.core.ids import SessionId
from perene.core.sessions import Desired, SessionOptions, SessionRecord
from perene.core.unit import Profile
from perene.store import schema
from perene.store.batch import Entry
from perene.store.bulk import update_rows
from perene.store.keyring import Keyring
from perene.store.moments import micros, moment
from perene.store.outbox import append_events, holds_event
from perene.store.ownership import first_epoch, lock_session
from perene.store.schema import sessions
from perene.store.sealing import Sealer
from perene.store.texts import storable_or_none

_INSERT: Mapping[str, Callable[[Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def session_key(connection: Connection, session_id: SessionId) -> int:
    """Return the key of a session, or raise NotFound."""
    key = connection.execute(select(sessions.c.key).where(sessions.c.id == session_id)).scalar()
    if key is None:
        raise NotFound(f"there is no session {session_id}")
    return int(key)


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
    """Create a session with its data key, that nobody owns; raises Conflict when the id is taken.

    The same call again, known by the id of its event, returns what it has created.
    """
    epoch = first_epoch(connection)
    insert = _INSERT[connection.dialect.name]
    key = connection.execute(
        insert(sessions)
        .values(
            id=session_id,
            name=storable_or_none(name),
            desired=desired.value,
            epoch=epoch,
            created_at=micros(now),
            options=_options_text(options),
        )
        # Not looked for before: a transaction that nobody heard of may be committed in between.
        .on_conflict_do_nothing(index_elements=["id"])
        .returning(sessions.c.key)
    ).scalar()
    if key is None:
        known = get_session(connection, keyring, session_id)
        if known is None or event is None or not holds_event(connection, session_id, event.id):
            raise Conflict(f"there is a session {session_id} already")
        return known
    sealer = keyring.create(connection, key, session_id)
    if options.proxy is not None:
        _write_options(connection, sealer, key, options)
    if event is not None:
        append_events(connection, [(session_id, event)])
    return SessionRecord(
        id=session_id,
        name=storable_or_none(name),
        desired=desired,
        epoch=epoch,
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


def write_profiles(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store what a batch tells about the sessions' own accounts; unknown fields stay."""
    told: dict[int, Profile] = {}
    before: dict[int, Profile] = {}
    for entry in entries:
        if entry.unit.profile is not None:
            key = entry.session.key
            known = told.get(key, entry.session.profile)
            before[key] = entry.session.profile
            told[key] = replace(known, **_known(entry.unit.profile))
    # Every login tells it again; a row that says so already is not written.
    update_rows(
        connection,
        sessions,
        ("key", "pn", "lid", "push_name", "platform"),
        [
            (key, profile.pn, profile.lid, profile.push_name, profile.platform)
            for key, profile in told.items()
            if profile != before[key]
        ],
    )


def write_standings(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store the last standing that a batch gives each session; an empty one clears it."""
    last: dict[int, tuple[str | None, str | None]] = {}
    for entry in entries:
        if entry.unit.standing is not None:
            text = storable_or_none(entry.unit.standing or None)
            last[entry.session.key] = (entry.session.standing, text)
    update_rows(
        connection,
        sessions,
        ("key", "standing"),
        [(key, text) for key, (before, text) in last.items() if text != before],
    )


def set_standing(connection: Connection, key: int, standing: str) -> None:
    """Store the standing of a session that the caller has locked; an empty one clears it."""
    row = (key, storable_or_none(standing or None))
    update_rows(connection, sessions, ("key", "standing"), [row])


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
    unlinked = exists().where(schema.archived_credentials.c.session == sessions.c.key)
    return select(sessions, linked.label("has_credentials"), unlinked.label("was_linked"))


def _record(connection: Connection, keyring: Keyring, row: Row[Any]) -> SessionRecord:
    """Return a session; one whose options do not open says so, and keeps nobody from the others."""
    options, readable = SessionOptions(), True
    try:
        options = _options(connection, keyring, row)
    except UnreadableState:
        readable = False
    return SessionRecord(
        id=row.id,
        name=row.name,
        desired=Desired(row.desired),
        epoch=row.epoch,
        created_at=moment(row.created_at),
        has_credentials=bool(row.has_credentials),
        was_linked=bool(row.was_linked),
        pn=row.pn,
        lid=row.lid,
        push_name=row.push_name,
        platform=row.platform,
        options=options,
        readable=readable,
        standing=row.standing,
    )


def _options_text(options: SessionOptions) -> str:
    return json.dumps(
        {
            "history_sync": options.history_sync,
            "mark_online": options.mark_online,
            "query_timeout_s": options.query_timeout_s,
        }
    )


def _options(connection: Connection, keyring: Keyring, row: Row[Any]) -> SessionOptions:
    proxy = None
    if row.proxy_sealed is not None:
        sealer = keyring.sealer(connection, row.key, row.id)
        proxy = sealer.open("sessions", "proxy", row.proxy_sealed).decode()
    stored = json.loads(row.options)
    return SessionOptions(
        history_sync=stored.get("history_sync"),
        mark_online=stored.get("mark_online"),
        query_timeout_s=stored.get("query_timeout_s"),
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
