"""What every connection reads when it opens, read for many sessions at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, select

from perene.core.errors import ForgottenEpoch, NotFound, StaleEpoch, UnreadableState
from perene.core.ids import Epoch, SessionId
from perene.store import ownership
from perene.store.credentials import open_credentials
from perene.store.database import Database
from perene.store.gathering import Gathering
from perene.store.keyring import Keyring
from perene.store.messages import queued_of
from perene.store.schema import credentials, sessions
from perene.store.sealing import Sealer

Credentials = tuple[int, bytes | None]
"""A session's key, and its serialised credentials."""

_Row = Row[Any, Any, Any, Any]

_ASKED = sessions.c.id.in_(bindparam("ids", expanding=True))

# Made once: building them takes longer than running them.
_CREDENTIALS = (
    select(sessions.c.key, sessions.c.id, sessions.c.pn, credentials.c.sealed)
    .join_from(sessions, credentials, isouter=True)
    .where(_ASKED)
)
_QUEUED = select(sessions.c.id).where(_ASKED, exists().where(queued_of(sessions.c.key)))


class OpeningReads:
    """Reads for connections that open together, one statement for all that ask meanwhile."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._credentials = Gathering[SessionId, Credentials](self._read_credentials)
        self._queued = Gathering[SessionId, bool](self._read_queued)
        self._owned = Gathering[tuple[SessionId, Epoch], None](self._read_owned)

    async def credentials(self, session: SessionId) -> Credentials:
        """Return a session's key and credentials; NotFound, UnreadableState."""
        return await self._credentials.ask(session)

    async def has_queued(self, session: SessionId) -> bool:
        """Tell whether a session has messages of its own that the server has not answered."""
        return await self._queued.ask(session)

    async def require_owner(self, session: SessionId, epoch: Epoch) -> None:
        """Raise StaleEpoch or ForgottenEpoch if a session is not owned under an epoch."""
        await self._owned.ask((session, epoch))

    async def _read_credentials(
        self, asked: Sequence[SessionId]
    ) -> list[Credentials | NotFound | UnreadableState]:
        return await self._database.read(_credentials_of, self._keyring, asked)

    async def _read_queued(self, asked: Sequence[SessionId]) -> list[bool]:
        return await self._database.read(_queued_of, asked)

    async def _read_owned(
        self, asked: Sequence[tuple[SessionId, Epoch]]
    ) -> list[StaleEpoch | ForgottenEpoch | None]:
        return await self._database.read(ownership.not_owned, asked)


def _queued_of(connection: Connection, asked: Sequence[SessionId]) -> list[bool]:
    found = set(connection.execute(_QUEUED, {"ids": asked}).scalars())
    return [session in found for session in asked]


def _credentials_of(
    connection: Connection, keyring: Keyring, asked: Sequence[SessionId]
) -> list[Credentials | NotFound | UnreadableState]:
    rows = connection.execute(_CREDENTIALS, {"ids": asked})
    found: dict[SessionId, _Row] = {row.id: row for row in rows}
    sealers = _sealers(connection, keyring, {row.key: row.id for row in found.values()})
    return [
        _open(found[session], sealers[found[session].key])
        if session in found
        else NotFound(f"there is no session {session}")
        for session in asked
    ]


def _open(row: _Row, sealer: Sealer | UnreadableState) -> Credentials | UnreadableState:
    if isinstance(sealer, UnreadableState):
        return sealer
    if row.sealed is None:
        if row.pn is not None:
            # Both are written, and go, together. To link it anew would cost whoever restores the
            # rest a phone in hand.
            return UnreadableState(f"session {row.id} is linked, and its credentials are missing")
        return row.key, None
    try:
        return row.key, open_credentials(sealer, row.sealed)
    except UnreadableState as error:
        return error


def _sealers(
    connection: Connection, keyring: Keyring, sessions: Mapping[int, SessionId]
) -> dict[int, Sealer | UnreadableState]:
    """Return the sealers; a session whose key does not open takes no other with it."""
    try:
        return {**keyring.sealers(connection, sessions)}
    except UnreadableState:
        return {key: _sealer(connection, keyring, key, id_) for key, id_ in sessions.items()}


def _sealer(
    connection: Connection, keyring: Keyring, key: int, session: SessionId
) -> Sealer | UnreadableState:
    try:
        return keyring.sealer(connection, key, session)
    except UnreadableState as error:
        return error
