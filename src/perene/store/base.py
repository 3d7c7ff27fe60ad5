"""What the parts of the store share: reading one session's rows."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from perene.core.clock import Clock
from perene.core.ids import SessionId
from perene.store import sessions
from perene.store.caches import Caches
from perene.store.database import Database
from perene.store.keyring import Keyring
from perene.store.sealing import Sealer
from perene.store.sessions import session_key

P = ParamSpec("P")
T = TypeVar("T")

Guard = Callable[[Connection], None]
"""Raises a StorageError in a transaction that must not be committed."""


class StoreBase:
    """What every part of the Store works with: one database, its keyring, and the time.

    What a service that has lost the database may not change any more, is written by way of `guard`.
    """

    def __init__(
        self, database: Database, keyring: Keyring, clock: Clock, guard: Guard | None = None
    ) -> None:
        self.database = database
        self.keyring = keyring
        self.caches = Caches()
        self._clock = clock
        self._guard = guard

    async def _write_as_holder(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what `Database.write` does, unless `guard` refuses.

        For writes that no epoch fences: a service may come back, with requests in hand, after
        another one has taken the database.
        """

        def write(connection: Connection) -> T:
            result = fn(connection, *args, **kwargs)
            # Last: who takes the database from now on waits for the rows that this has locked.
            if self._guard is not None:
                self._guard(connection)
            return result

        return await self.database.write(write)

    async def _read(
        self,
        session: SessionId,
        fn: Callable[Concatenate[Connection, int, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def read(connection: Connection) -> T:
            return fn(connection, session_key(connection, session), *args, **kwargs)

        return await self.database.read(read)

    async def _read_sealed(
        self,
        session: SessionId,
        fn: Callable[Concatenate[Connection, int, Sealer, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def read(connection: Connection) -> T:
            key = sessions.session_key(connection, session)
            sealer = self.keyring.sealer(connection, key, session)
            return fn(connection, key, sealer, *args, **kwargs)

        return await self.database.read(read)
