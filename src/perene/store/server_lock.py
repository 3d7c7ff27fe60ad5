"""The lock of a PostgreSQL database: a connection of its own that holds an advisory lock.

The lock lives as long as the server's end of the connection. A pooler that gives a connection to
several clients in turn breaks that: it must be left out, or pool by session, and is looked for
before the lock is taken. A mark on the connection then tells that what holds the lock is ours.

A server that is silent has it wait for as long as it holds the lock, for to give up the connection
is to give up the lock. Only to take it, or to let it go, has a limit.
"""

import contextlib
import threading
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Row, exc, text

from perene.core.errors import DatabaseTaken, StorageError, StorageUnavailable
from perene.process.threads import NoMoreThreads
from perene.store.database_url import describe
from perene.store.engines import make_lock_engine
from perene.store.errands import Errand, within
from perene.store.errors import CannotConnect, PooledByTransaction
from perene.store.failures import classify, is_database_error
from perene.store.holder import Holder, new_name
from perene.store.pooling import leave_mark, refuse_pooling_by_transaction

# Two numbers name the lock, in every database anew: "pere" in ASCII, and which of ours it is.
_KEYS: Final = (int.from_bytes(b"pere"), 1)

# `objsubid` is 2 for a lock of two numbers (PostgreSQL's documentation, pg_locks).
_HELD = f"""
    FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = {_KEYS[0]} AND l.objid = {_KEYS[1]} AND l.objsubid = 2
"""  # noqa: S608  # constants
_HERE = text(f"SELECT EXISTS (SELECT {_HELD} AND l.pid = pg_backend_pid())")
_MINE = text(
    f"SELECT EXISTS (SELECT {_HELD} AND l.pid = pg_backend_pid()"
    " AND current_setting('perene.mark', true) = :name)"
)
_OURS = text(f"SELECT EXISTS (SELECT {_HELD} AND a.application_name = :name)")
_WHO = text(
    "SELECT l.pid, a.application_name AS name, host(a.client_addr) AS address,"
    f" a.backend_start AS since {_HELD}"
)
_TAKE = text(f"SELECT pg_try_advisory_lock({_KEYS[0]}, {_KEYS[1]})")
_UNLOCK = text(f"SELECT pg_advisory_unlock({_KEYS[0]}, {_KEYS[1]})")
_STANDBY = text("SELECT pg_is_in_recovery()")
_LIMIT_S: Final = 10.0
"""How long taking the lock may take."""

_UNLOCK_S: Final = 2.0
"""How long letting it go may take; who ends waits for it."""

_TRIES: Final = 3
"""Who has let go between two questions is not asked for its name; then it can be taken."""

_END = text("SELECT pg_terminate_backend(:pid, 2000)")


class ServerLock:
    """Implements `InstanceLock` on a PostgreSQL server."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._name = new_name()
        self._engine: Engine = make_lock_engine(url, self._name)
        self._connection: Connection | None = None
        self._using = threading.Lock()
        self._asking = Errand()
        self._released = False
        self._looked_for_poolers = False

    def take(self) -> Holder | None:
        with self._using:
            try:
                return within(_LIMIT_S, self._take)
            except StorageError as error:
                message = f"cannot use {describe(self._url)}: {error}"
                raise CannotConnect(message) from error

    def keep(self) -> bool:
        with self._using:
            self._check()
            if self._asking.do(self._is_ours):
                return False
            self._drop()
            self._check()
            try:
                holder = within(_LIMIT_S, self._take)
            except PooledByTransaction as error:
                raise StorageUnavailable(str(error).rstrip(".")) from error
        if holder is not None:
            raise DatabaseTaken(f"Another service took {describe(self._url)}: {holder}.")
        return True

    def guard(self, connection: Connection) -> None:
        if not connection.execute(_OURS, {"name": self._name}).scalar_one():
            raise StorageUnavailable("this service does not hold the database at this moment")

    def release(self) -> None:
        self._released = True
        self._asking.give_up()
        with self._using:
            self._unlock()
            self._drop()

    def _check(self) -> None:
        if self._released:
            raise StorageUnavailable("the database was let go")

    def _is_ours(self) -> bool:
        if self._connection is None:
            return False
        self._asking.hold(self._connection.connection.dbapi_connection)
        try:
            if self._connection.execute(_MINE, {"name": self._name}).scalar_one():
                return True
        except exc.DBAPIError as error:
            if error.connection_invalidated:
                return False
            # The server is busy, and our end may still hold the lock: it is asked again.
            raise _translated(error) from error
        # A connection that lives keeps its lock, unless a pooler has put another in its place.
        self._looked_for_poolers = False
        return False

    def _take(self) -> Holder | None:
        try:
            connection = self._engine.connect()
        except Exception as error:  # each driver has errors of its own; all are re-raised
            raise _translated(error) from error
        try:
            taken = self._try(connection)
        except BaseException:  # nobody else knows of the connection
            connection.close()
            raise
        if taken is None:
            self._connection = connection
        else:
            connection.close()
        return taken

    def _try(self, connection: Connection) -> Holder | None:
        try:
            if connection.execute(_STANDBY).scalar_one():
                raise StorageUnavailable("the server is a standby")
            if not self._looked_for_poolers:
                refuse_pooling_by_transaction(connection, self._engine, self._name)
                self._looked_for_poolers = True
            leave_mark(connection, self._name)
            if connection.execute(_HERE).scalar_one():
                raise StorageUnavailable("a pooler gave a connection that was not reset before")
            self._end_ghost(connection)
            found = None
            for _ in range(_TRIES):
                if connection.execute(_TAKE).scalar_one():
                    return None
                found = connection.execute(_WHO).first()
                if found is not None:
                    break
        except exc.DBAPIError as error:
            raise _translated(error) from error
        if found is None or found.name == self._name:
            raise StorageUnavailable("the last hold on the database is just being let go")
        return Holder(name=found.name or "", since=found.since, address=found.address)

    def _end_ghost(self, connection: Connection) -> None:
        """End the connection that we gave up, if the server does not know yet."""
        found = connection.execute(_WHO).first()
        if found is not None and found.name == self._name:
            connection.execute(_END, {"pid": found.pid})

    def _unlock(self) -> None:
        """Have the next one find it free: the server notices only some time after the close."""
        connection = self._connection
        if connection is None or connection.invalidated:
            return
        # If that is in vain, the close that follows lets go as well.
        with contextlib.suppress(StorageError, NoMoreThreads, exc.SQLAlchemyError):
            line = connection.connection.dbapi_connection
            within(_UNLOCK_S, lambda: connection.execute(_UNLOCK), on=line)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def server_holder(url: URL) -> Holder | None:
    """Tell who holds a PostgreSQL database.

    Raises PooledByTransaction, and StorageError when it cannot be told.
    """
    engine = make_lock_engine(url, "perene doctor")
    try:
        found = within(_LIMIT_S, lambda: _who(engine))
    except Exception as error:  # each driver has errors of its own; all are re-raised
        raise _translated(error) from error
    if found is None:
        return None
    return Holder(name=found.name or "", since=found.since, address=found.address)


def _who(engine: Engine) -> Row[Any] | None:
    with engine.connect() as connection:
        refuse_pooling_by_transaction(connection, engine, new_name())
        return connection.execute(_WHO).first()


def _translated(error: Exception) -> Exception:
    return classify(error) if is_database_error(error) else error
