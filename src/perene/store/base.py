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


class StoreBase:
    """What every part of the Store works with: one database, its keyring, and the time."""

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self.database = database
        self.keyring = keyring
        self.caches = Caches()
        self._clock = clock

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
