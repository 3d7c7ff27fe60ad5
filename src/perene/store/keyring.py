"""The keyring: one data key per session, wrapped by the master key and held open in memory."""

import os
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from perene.core.errors import UnreadableState
from perene.core.ids import SessionId
from perene.store import schema
from perene.store.database import Database
from perene.store.errors import WrongMasterKey
from perene.store.sealing import KEY_SIZE, Sealer, seal, unseal

_CHECK: Final = b"perene keyring"
_CHECK_AAD: Final = b"keyring\0check"
# The master key has no generations: rotating it rewraps every data key at once.
_MASTER_GENERATION: Final = 1
_FIRST: Final = 1


def in_use(connection: Connection) -> bool:
    """Tell whether a master key was ever used with this database."""
    return connection.execute(select(schema.keyring.c.id)).first() is not None


class Keyring:
    """Opens each session's data key once, and hands out what seals and opens its rows.

    Safe to use from several threads: an entry is only ever replaced by an equal one.
    """

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._sealers: dict[int, Sealer] = {}

    @classmethod
    def open(cls, database: Database, master: bytes) -> "Keyring":
        """Check the master key against the database; the first one given becomes its key.

        Raises WrongMasterKey when the database was sealed with another. Blocking.
        """
        database.write_now(_claim, master)
        return cls(master)

    def create(self, connection: Connection, session: int, session_id: SessionId) -> Sealer:
        """Store a fresh data key for a new session, and return its sealer.

        The key is not remembered: the transaction may fail, and the next session may then be
        given the same number.
        """
        # A process that missed a rotation must not wrap a key that nobody could open again.
        check_master(connection, self._master)
        key = os.urandom(KEY_SIZE)
        wrapped = _wrap(self._master, session_id, _FIRST, key)
        connection.execute(
            insert(schema.data_keys).values(session=session, generation=_FIRST, sealed=wrapped)
        )
        return Sealer(session_id, {_FIRST: key}, _FIRST)

    def sealer(self, connection: Connection, session: int, session_id: SessionId) -> Sealer:
        """Return the sealer of one session, reading its keys when they are not open yet."""
        known = self._sealers.get(session)
        return known or self.sealers(connection, {session: session_id})[session]

    def sealers(
        self, connection: Connection, sessions: Mapping[int, SessionId]
    ) -> dict[int, Sealer]:
        """Return the sealers of many sessions by their keys, with at most one query.

        Raises UnreadableState when a session's data key is missing or does not open.
        """
        missing = sessions.keys() - self._sealers.keys()
        if missing:
            self._load(connection, {key: sessions[key] for key in missing})
        return {key: self._sealers[key] for key in sessions}

    def forget(self, session: int) -> None:
        """Drop a deleted session's keys from memory."""
        self._sealers.pop(session, None)

    def _load(self, connection: Connection, sessions: Mapping[int, SessionId]) -> None:
        table = schema.data_keys
        rows = connection.execute(
            select(table.c.session, table.c.generation, table.c.sealed).where(
                table.c.session.in_(sorted(sessions))
            )
        )
        keys: dict[int, dict[int, bytes]] = {}
        for session, generation, sealed in rows:
            opened = _unwrap(self._master, sessions[session], generation, sealed)
            keys.setdefault(session, {})[generation] = opened
        for session, session_id in sessions.items():
            if session not in keys:
                raise UnreadableState(f"session {session_id} has no data key")
            self._sealers[session] = Sealer(session_id, keys[session], max(keys[session]))


def check_master(connection: Connection, master: bytes) -> None:
    """Raise WrongMasterKey unless this key is the one the database was sealed with."""
    sealed = connection.execute(select(schema.keyring.c.sealed)).scalar()
    try:
        known = sealed is not None and unseal(master, _CHECK_AAD, sealed) == _CHECK
    except UnreadableState as error:
        raise WrongMasterKey("the master key does not belong to this database") from error
    if not known:
        raise WrongMasterKey("the database has lost the mark of its master key")


def rotate_master_key(connection: Connection, old: bytes, new: bytes) -> int:
    """Wrap every data key with `new` instead of `old`; returns how many there are.

    Run it in one `write`. Rows stay sealed as they are: only their keys change their wrapping.
    Raises WrongMasterKey when `old` is not the present key. Processes that hold the old key go on
    reading and writing, and must be started again with the new one before they create a session.
    """
    check_master(connection, old)
    keys, sessions = schema.data_keys, schema.sessions
    rows = connection.execute(
        select(keys.c.session, keys.c.generation, keys.c.sealed, sessions.c.id)
        .join_from(keys, sessions, keys.c.session == sessions.c.key)
        .with_for_update(of=keys)
    ).all()
    for session, generation, sealed, session_id in rows:
        key = _unwrap(old, session_id, generation, sealed)
        connection.execute(
            update(keys)
            .where(keys.c.session == session, keys.c.generation == generation)
            .values(sealed=_wrap(new, session_id, generation, key))
        )
    connection.execute(delete(schema.keyring))
    _mark(connection, new)
    return len(rows)


def _claim(connection: Connection, master: bytes) -> None:
    if in_use(connection):
        check_master(connection, master)
    else:
        _mark(connection, master)


def _mark(connection: Connection, master: bytes) -> None:
    sealed = seal(master, _MASTER_GENERATION, _CHECK_AAD, _CHECK)
    connection.execute(insert(schema.keyring).values(id=1, sealed=sealed))


def _wrap(master: bytes, session: SessionId, generation: int, key: bytes) -> bytes:
    return seal(master, _MASTER_GENERATION, _wrap_aad(session, generation), key)


def _unwrap(master: bytes, session: SessionId, generation: int, sealed: bytes) -> bytes:
    return unseal(master, _wrap_aad(session, generation), sealed)


def _wrap_aad(session: SessionId, generation: int) -> bytes:
    return f"{session}\0data_keys\0{generation}".encode()
