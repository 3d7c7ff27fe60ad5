"""The store of one session as its owner's connection has it: reads, and a lane for units."""

import asyncio

from perene.core.ids import Epoch, SessionId
from perene.core.unit import Committed, Unit
from perene.store.database import Database
from perene.store.keyring import Keyring
from perene.store.session_store import SessionReader
from perene.supervisor.committer import Lane


class OwnedStore(SessionReader):
    """The engine's SessionStore, for one connection. A new connection gets a new one."""

    __slots__ = ("_lane",)

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        session: SessionId,
        epoch: Epoch,
        lane: Lane,
    ) -> None:
        super().__init__(database, keyring, session, epoch)
        self._lane = lane

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        """Hand a unit to the committer; see `perene.engine.ports.SessionStore.submit`."""
        return self._lane.submit(unit)
