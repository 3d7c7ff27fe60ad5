"""The store as the engine sees it: the reads of one session, and a lane for what it commits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from perene.core.ids import Epoch, SessionId
from perene.core.unit import Committed, Unit
from perene.store.database import Database
from perene.store.session_store import SessionReader, Source
from perene.store.store import Store
from perene.supervisor.storage.committer import Lane
from perene.supervisor.storage.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")


class OwnedStores:
    """Opens a session's store for each of its connections."""

    def __init__(self, store: Store, retries: Retries) -> None:
        self._source = Source(_DatabaseReads(store.database, retries), store.keyring)

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


class _DatabaseReads:
    """The database's reads, asked again while it is away."""

    def __init__(self, database: Database, retries: Retries) -> None:
        self._database = database
        self._retries = retries

    async def read(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def question() -> Awaitable[T]:
            return self._database.read(fn, *args, **kwargs)

        return await self._retries.ask(question)
