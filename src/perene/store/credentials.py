"""A session's credentials, and those that WhatsApp has unlinked."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, exists, insert, select, update

from perene.core.ids import SessionId
from perene.core.unit import Serializable
from perene.store.batch import Entry, Owned
from perene.store.bulk import BulkInsert, replacing
from perene.store.moments import micros, moment
from perene.store.schema import (
    archived_credentials,
    credentials,
    pre_keys,
    privacy_tokens,
    ratchets,
    sender_key_holders,
    sender_keys,
    sessions,
)
from perene.store.sealing import Sealer

_UPSERT = BulkInsert(credentials, ("session", "sealed"), replacing("sealed"))
_TABLE = "credentials"
_ARCHIVE = "archived_credentials"

# What was made with the identity that the credentials hold, and is worthless without it.
_OF_THE_IDENTITY = (ratchets, sender_keys, sender_key_holders, pre_keys, privacy_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedCredentials:
    """Credentials that are no longer used: when and why, and the engine's serialised bytes."""

    at: datetime
    reason: str
    data: bytes


def write_credentials(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store the last credentials of a batch, per session."""
    last: dict[int, tuple[Owned, Serializable]] = {}
    for entry in entries:
        if entry.unit.credentials is not None:
            last[entry.session.key] = (entry.session, entry.unit.credentials)
    _UPSERT.run(
        connection,
        [
            (key, session.sealer.seal(_TABLE, "", state.serialize()))
            for key, (session, state) in last.items()
        ],
    )


def read_credentials(connection: Connection, session: int, sealer: Sealer) -> bytes | None:
    """Return the serialised credentials, None when there are none."""
    sealed = connection.execute(
        select(credentials.c.sealed).where(credentials.c.session == session)
    ).scalar()
    return None if sealed is None else open_credentials(sealer, sealed)


def lacking_credentials(connection: Connection) -> tuple[SessionId, ...]:
    """Return the linked sessions that have no credentials: both are written, and go, together."""
    found = connection.execute(
        select(sessions.c.id)
        .where(sessions.c.pn.is_not(None))
        .where(~exists().where(credentials.c.session == sessions.c.key))
        .order_by(sessions.c.id)
    )
    return tuple(found.scalars())


def open_credentials(sealer: Sealer, sealed: bytes) -> bytes:
    """Return what a row of credentials holds, or raise UnreadableState."""
    return sealer.open(_TABLE, "", sealed)


def archive_credentials(connection: Connection, session: Owned, reason: str, now: datetime) -> bool:
    """Move a session's credentials to the archive; returns whether there were any.

    Its ratchets, sender keys and pre-keys are deleted with them: they belong to the identity that
    WhatsApp has unlinked, and would break the next one. The session counts as not linked from then
    on. Messages, conversations, addresses and the ledger stay. The caller holds the session's lock.
    """
    data = read_credentials(connection, session.key, session.sealer)
    _forget_identity(connection, session.key)
    if data is None:
        return False
    at = micros(now)
    connection.execute(
        insert(archived_credentials).values(
            session=session.key,
            at=at,
            reason=reason,
            sealed=session.sealer.seal(_ARCHIVE, f"{at}\0{reason}", data),
        )
    )
    return True


def destroy_credentials(connection: Connection, session: int) -> None:
    """Delete a session's credentials, the archived ones too, with all that was made with them.

    The session counts as never linked from then on. Messages, conversations, addresses, the ledger
    and outages stay. Nothing is read: what no longer opens is destroyed like the rest. The caller
    holds the session's lock.
    """
    _forget_identity(connection, session)
    connection.execute(
        delete(archived_credentials).where(archived_credentials.c.session == session)
    )
    connection.execute(update(sessions).where(sessions.c.key == session).values(standing=None))


def read_archive(connection: Connection, session: int, sealer: Sealer) -> list[ArchivedCredentials]:
    """Return what was archived of a session, newest first."""
    table = archived_credentials.c
    rows = connection.execute(
        select(table.at, table.reason, table.sealed)
        .where(table.session == session)
        .order_by(table.id.desc())
    )
    return [
        ArchivedCredentials(
            at=moment(at), reason=reason, data=sealer.open(_ARCHIVE, f"{at}\0{reason}", sealed)
        )
        for at, reason, sealed in rows
    ]


def _forget_identity(connection: Connection, session: int) -> None:
    for table in (*_OF_THE_IDENTITY, credentials):
        connection.execute(delete(table).where(table.c.session == session))
    connection.execute(
        update(sessions)
        .where(sessions.c.key == session)
        .values(pn=None, lid=None, push_name=None, platform=None)
    )
