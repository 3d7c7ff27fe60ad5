"""The end of a session's link to its phone: its credentials, its outage and its events, at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from perene.core.events import Event
from perene.core.ids import Epoch, SessionId
from perene.core.outages import OutageEnd
from perene.core.sessions import Desired
from perene.core.standing import Standing
from perene.store.credentials import archive_credentials, destroy_credentials
from perene.store.keyring import Keyring
from perene.store.outages import end_outages
from perene.store.outbox import append_events
from perene.store.ownership import lock_as_owner, own_session
from perene.store.sessions import set_desired, set_standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Farewell:
    """What is told of an unlinked session, and when it was."""

    events: Sequence[Event]
    now: datetime


def unlink(
    connection: Connection,
    keyring: Keyring,
    session_id: SessionId,
    epoch: Epoch,
    reason: str,
    farewell: Farewell,
) -> bool:
    """Archive a session's credentials; returns whether there were any. Raises StaleEpoch."""
    session = own_session(connection, keyring, session_id, epoch)
    found = archive_credentials(connection, session, reason, farewell.now)
    _tell(connection, session_id, session.key, session.standing, farewell)
    return found


def log_out(
    connection: Connection, session_id: SessionId, epoch: Epoch, farewell: Farewell
) -> None:
    """Destroy a session's credentials, archived ones too; nothing more is wanted. Or StaleEpoch."""
    locked = lock_as_owner(connection, session_id, epoch)
    destroy_credentials(connection, locked.key)
    set_desired(connection, session_id, Desired.STOPPED)
    _tell(connection, session_id, locked.key, locked.standing, farewell)


def _tell(
    connection: Connection,
    session_id: SessionId,
    key: int,
    standing: str | None,
    farewell: Farewell,
) -> None:
    # Also one that nobody remembers any more: what is not linked has nothing to recover.
    end_outages(connection, key, OutageEnd.LOGGED_OUT, farewell.now)
    # At once, or a crash before the next commit leaves a session in an outage that has ended.
    before = Standing.parse(standing)
    left = replace(before.emptied(), outage=None)
    if left != before:
        set_standing(connection, key, left.serialize())
    append_events(connection, [(session_id, event) for event in farewell.events])
