"""The store as the engine sees it: the reads of one session, and a lane for what it commits."""

import asyncio

from perene.core.ids import Epoch, SessionId
from perene.core.unit import Committed, Unit
from perene.store.session_store import SessionReader, Source
from perene.store.store import Store
from perene.supervisor.storage.committer import Lane


class OwnedStores:
    """Opens a session's store for each of its connections."""

    def __init__(self, store: Store) -> None:
        self._source = Source(store.database, store.keyring)

    def __call__(self, session: SessionId, epoch: Epoch, lane: Lane) -> "OwnedStore":
        return OwnedStore(self._source, session, epoch, lane)


class OwnedStore(SessionReader):
    """The engine's SessionStore for one connection."""

    __slots__ = ("_lane",)

    def __init__(self, source: Source, session: SessionId, epoch: Epoch, lane: Lane) -> None:
        super().__init__(source, session, epoch)
        self._lane = lane

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        """Hand a unit to the committer; see `perene.engine.ports.SessionStore.submit`."""
        return self._lane.submit(unit)
