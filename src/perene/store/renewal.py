"""Making safe what a session sends with, in a database that is older than what it has sent.

Its sending chains stand where they were when the backup was made. To go on with them would use
message keys a second time, and whoever has read a message under such a key drops the next one as a
repetition, without a word: it would be lost. So ratchets are kept for reading only, our own sender
keys go, and the next message to each peer and group begins with new keys.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from sqlalchemy import Connection, delete, select, tuple_

from perene.core.errors import UnreadableState
from perene.core.ids import SessionId
from perene.core.unit import Profile
from perene.store.keyring import Keyring
from perene.store.ownership import own_session
from perene.store.ratchets import RATCHET
from perene.store.schema import ratchets, sender_key_holders, sender_keys

Place = tuple[str, int]
"""The name and device of the last ratchet that was looked at."""

AT_ONCE: Final = 500
"""Ratchets that one transaction looks at, so that no commit waits long for it."""


class Renewal(Protocol):
    """What the stored forms mean; neither method does any I/O."""

    def retired(self, ratchet: bytes) -> bytes | None:
        """Return a ratchet that reads but does not send; None if it needs no change."""
        ...

    def own_sender(self, profile: Profile) -> tuple[str, int] | None:
        """Return the name and device under which our own sender keys are kept, if linked."""
        ...


def renew_keys(
    connection: Connection,
    keyring: Keyring,
    session_id: SessionId,
    renewal: Renewal,
    after: Place | None = None,
    *,
    limit: int = AT_ONCE,
) -> Place | None:
    """Retire the next ratchets behind `after`; return behind which to go on, None at the end.

    At most `limit` are looked at. The first call gives up our own sender keys, too. To do it again
    changes nothing more.
    """
    owned = own_session(connection, keyring, session_id, None)
    if after is None:
        own = renewal.own_sender(owned.profile)
        if own is not None:
            connection.execute(
                delete(sender_keys).where(
                    sender_keys.c.session == owned.key,
                    sender_keys.c.name == own[0],
                    sender_keys.c.device == own[1],
                )
            )
        connection.execute(
            delete(sender_key_holders).where(sender_key_holders.c.session == owned.key)
        )
    place = tuple_(ratchets.c.name, ratchets.c.device)
    query = select(ratchets).where(ratchets.c.session == owned.key)
    if after is not None:
        query = query.where(place > after)
    found = connection.execute(
        query.order_by(ratchets.c.name, ratchets.c.device).limit(limit)
    ).all()

    def changed() -> Iterator[tuple[int, str, int, bytes]]:
        for row in found:
            address = f"{row.name}.{row.device}"
            try:
                state = renewal.retired(owned.sealer.open("ratchets", address, row.sealed))
            except UnreadableState:
                continue  # nothing is sent with it either
            if state is not None:
                sealed = owned.sealer.seal("ratchets", address, state)
                yield owned.key, row.name, row.device, sealed

    RATCHET.run(connection, list(changed()))
    return (found[-1].name, found[-1].device) if len(found) == limit else None
