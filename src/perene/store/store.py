"""The store as one object: everything that the application asks of the database, awaited."""

import copy
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection, text

from perene.core.clock import Clock
from perene.core.errors import ForgottenEpoch
from perene.core.events import Event, EventType
from perene.core.ids import CommitId, Epoch, SessionId
from perene.core.unit import Outcome, Unit
from perene.store import outbox, units
from perene.store.database import LIMIT_S, Asking, Database
from perene.store.evidence import Evidence
from perene.store.keyring import Keyring, in_use
from perene.store.master_key import find_master_key
from perene.store.message_shelf import MessageShelf
from perene.store.outbox import StoredEvent
from perene.store.session_shelf import Guard, SessionShelf
from perene.store.session_store import SessionReader, Source
from perene.store.upkeep import Upkeep


class Store(SessionShelf, MessageShelf, Evidence, Upkeep):
    """One database with its keyring.

    Every method raises StorageUnavailable when the database cannot be used at this moment, and
    UnreadableState when a sealed row does not open. Methods that name a session raise NotFound
    when there is none.
    """

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Clock,
        key_file: Path,
        master_key: str | None = None,
        migrate: bool = True,
        guard: Guard | None = None,
        limit_s: float = LIMIT_S,
    ) -> "Store":
        """Open the database and its keyring, or raise a RefusedToStart and leave both as found.

        `master_key` is base64; without it the key file is used, and made for a fresh database.
        Nothing that is asked of the store takes longer than `limit_s`; see `database`.
        `guard` is asked before a session is acquired: see `InstanceLock`. Blocking.
        """
        database = Database.open(url, migrate=migrate, limit_s=limit_s)
        try:
            used = database.write_now(in_use)
            key = find_master_key(master_key, key_file, database_in_use=used)
            return cls(database, Keyring.open(database, key), clock, guard)
        except BaseException:  # whatever refused the start, its file must be let go
            database.close_now()
            raise

    def aside(self) -> "Store":
        """Return this store for those who may keep no session waiting: see `Database.aside`."""
        other = copy.copy(self)
        other.database = self.database.aside()
        return other

    def asked_by(self, asking: Asking) -> "Store":
        """Return this store, whose reads `asking` asks: see `Database.asked_by`."""
        other = copy.copy(self)
        other.database = self.database.asked_by(asking)
        return other

    async def close(self) -> None:
        """Let running work end and close the database."""
        await self.database.close()

    async def ping(self) -> None:
        """Return when the database answers, or raise StorageUnavailable."""
        await self.database.read(_ping)

    async def commit(
        self, batch: Sequence[Unit], commit_id: CommitId | None = None
    ) -> list[Outcome]:
        """Commit units in one transaction: see `units.commit_units`."""
        now = self._clock.now()
        try:
            return await self.database.write(
                units.commit_units, self.keyring, self.caches, batch, now=now, commit_id=commit_id
            )
        except ForgottenEpoch as error:
            # To try the same again would only tell the same: whoever holds a session is behind.
            return [ForgottenEpoch(str(error)) for _ in batch]

    async def recall(self, tried: Mapping[CommitId, Sequence[Unit]]) -> list[Outcome] | None:
        """Find out what a `commit` did that was not heard of: see `units.recall_commit`."""
        return await self.database.write(units.recall_commit, tried)

    def reader(self, session: SessionId, epoch: Epoch) -> SessionReader:
        """Return the reads of the engine's SessionStore for one session."""
        return SessionReader(Source(self.database, self.keyring), session, epoch)

    async def events_after(
        self,
        seq: int,
        *,
        limit: int = 100,
        session: SessionId | None = None,
        types: Collection[EventType] = (),
        until: int | None = None,
    ) -> list[StoredEvent]:
        """Return events behind `seq`, none behind `until`, in the order of their commits."""
        return await self.database.read(
            outbox.events_after, seq, limit=limit, session=session, types=types, until=until
        )

    async def reach(
        self,
        seq: int,
        *,
        count: int,
        session: SessionId | None = None,
        types: Collection[EventType] = (),
    ) -> int | None:
        """Return the `until` up to which `events_after` looks at `count` events.

        None when all that there is may be looked at.
        """
        return await self.database.read(
            outbox.reach, seq, count=count, session=session, types=types
        )

    async def last_seq(self) -> int:
        """Return the number of the newest event, 0 before the first."""
        return await self.database.read(outbox.last_seq)

    async def loss(self) -> tuple[int, int] | None:
        """Return up to where the events reach, and reached before, if the database went back."""
        reached = self.database.progress.reached
        kept = await self.last_seq()
        return (kept, reached) if kept < reached else None

    async def append_events(self, events: Sequence[tuple[SessionId | None, Event]]) -> None:
        """Put events into the outbox that belong to no unit."""
        await self.database.write(outbox.append_events, events)


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))
