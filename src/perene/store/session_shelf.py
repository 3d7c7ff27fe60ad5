"""Sessions in the store: made, owned, changed, unlinked, deleted."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from perene.core.clock import Clock
from perene.core.errors import NotFound, StaleEpoch
from perene.core.events import Event
from perene.core.ids import Epoch, SessionId
from perene.core.sessions import Desired, SessionOptions, SessionRecord
from perene.store import credentials, deleting, outbox, ownership, sessions, twins
from perene.store.base import Guard, StoreBase
from perene.store.credentials import ArchivedCredentials
from perene.store.database import Database
from perene.store.gathering import Gathering
from perene.store.keyring import Keyring
from perene.store.unlinking import Farewell, log_out, unlink

_REMOVED_AT_ONCE = 1000
"""Rows that one transaction removes; it holds the writer for some hundredths of a
second, and no commit waits longer for it."""


class SessionShelf(StoreBase):
    """The part of the Store that knows what sessions there are, whose they are, and their keys.

    No session is acquired, and nothing is wanted of one, in a transaction that `guard` refuses.
    """

    def __init__(
        self, database: Database, keyring: Keyring, clock: Clock, guard: Guard | None = None
    ) -> None:
        super().__init__(database, keyring, clock, guard)
        self._acquiring = Gathering[tuple[SessionId, Epoch | None], Epoch](self._acquire)

    async def create_session(
        self,
        session: SessionId,
        *,
        name: str | None = None,
        desired: Desired = Desired.RUNNING,
        options: SessionOptions | None = None,
        event: Event | None = None,
    ) -> SessionRecord:
        """Create a session; raises Conflict when the id is taken.

        The same call with the same `event` may be made again, and changes nothing then.
        """
        return await self._write_as_holder(
            sessions.create_session,
            self.keyring,
            session,
            name=name,
            desired=desired,
            options=options or SessionOptions(),
            now=self._clock.now(),
            event=event,
        )

    async def list_sessions(self) -> list[SessionRecord]:
        """Return every session, oldest first."""
        return await self.database.read(sessions.list_sessions, self.keyring)

    async def get_session(self, session: SessionId) -> SessionRecord:
        """Return one session."""
        found = await self.database.read(sessions.get_session, self.keyring, session)
        if found is None:
            raise NotFound(f"there is no session {session}")
        return found

    async def linked_accounts(self) -> dict[SessionId, str]:
        """Return the number of each session that is linked, oldest session first."""
        return await self.database.read(twins.read_accounts)

    async def twins(self, session: SessionId) -> list[SessionId]:
        """Return the other sessions that are linked to a session's account, oldest first."""
        return await self.database.read(twins.read_twins, session)

    async def set_desired(self, session: SessionId, desired: Desired) -> None:
        """Store what is wanted of a session."""
        await self._write_as_holder(sessions.set_desired, session, desired)

    async def set_name(self, session: SessionId, name: str | None) -> None:
        """Give a session another name."""
        await self._write_as_holder(sessions.set_name, session, name)

    async def set_options(self, session: SessionId, options: SessionOptions) -> None:
        """Replace a session's options."""
        await self._write_as_holder(sessions.set_options, self.keyring, session, options)

    async def delete_session(self, session: SessionId, *, event: Event | None = None) -> None:
        """Delete a session, in one transaction; `event` is put into the outbox by it.

        What it leaves behind is for `remove_remains`; only its events can be read till then.
        """
        key = await self._write_as_holder(deleting.delete_session, session, event=event)
        self.keyring.forget(key)

    async def remove_remains(self, *, at_once: int = _REMOVED_AT_ONCE) -> int:
        """Remove what deleted sessions have left behind; returns how many rows that was.

        At most `at_once` rows at a time, so that others are served in between. If it ends early, it
        can be called again.
        """
        gone = 0
        while found := await self.database.write(deleting.remove_remains, limit=at_once):
            gone += found
        return gone

    async def acquire(self, session: SessionId, held: Epoch | None = None) -> Epoch:
        """Become the session's owner; every earlier owner's writes are refused from now on.

        With `held` only while that is still the epoch, else StaleEpoch is raised.
        """
        return await self._acquiring.ask((session, held))

    async def epochs(self) -> Mapping[SessionId, Epoch]:
        """Return the epoch of every session."""
        return await self.database.read(ownership.read_epochs)

    async def fence(self, found: Mapping[SessionId, Epoch]) -> bool:
        """Refuse every earlier owner's writes from now on; see `ownership.fence`."""
        return await self._write_as_holder(ownership.fence, found)

    async def _acquire(
        self, asked: Sequence[tuple[SessionId, Epoch | None]]
    ) -> list[Epoch | StaleEpoch | NotFound]:
        return await self._write_as_holder(_acquire, asked)

    async def archive_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        reason: str,
        *,
        events: Sequence[Event] = (),
    ) -> bool:
        """Move a session's credentials to the archive, with the end of all that belonged to them.

        `events` are committed with it, and an outage that is open ends as logged out. The same
        call again repeats no event. Returns whether there were any credentials. Raises StaleEpoch
        when the caller is not the owner.
        """
        farewell = Farewell(events=events, now=self._clock.now())
        return await self.database.write(unlink, self.keyring, session, epoch, reason, farewell)

    async def destroy_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        *,
        events: Sequence[Event] = (),
    ) -> None:
        """Delete a session's credentials, archived ones too, with all that belonged to them.

        For an explicit logout only. `events`, outage and error as in `archive_credentials`.
        """
        farewell = Farewell(events=events, now=self._clock.now())
        await self.database.write(log_out, session, epoch, farewell)

    async def archived_credentials(self, session: SessionId) -> list[ArchivedCredentials]:
        """Return the session's unlinked credentials, newest first."""
        return await self._read_sealed(session, credentials.read_archive)


def _acquire(
    connection: Connection, asked: Sequence[tuple[SessionId, Epoch | None]]
) -> list[Epoch | StaleEpoch | NotFound]:
    outbox.require_no_loss(connection)
    return ownership.acquire(connection, asked)
