"""The connection to the database: many readers, one writer, each in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, exc

from perene.core.errors import PereneError, StorageError, StorageUnavailable
from perene.store.engines import describe, make_engine, parse_url, prepare_file
from perene.store.errors import CannotConnect, UnreadableDatabase
from perene.store.failures import classify, is_database_error
from perene.store.migrations import bring_up_to_date

P = ParamSpec("P")
T = TypeVar("T")

# Reads are short, and Python runs one thread at a time: more readers only add contention.
_READERS: Final = 4

_HOOKS: Final = "perene_after_commit"


class _NobodyWaits(StorageError):
    """Rolls back a transaction whose caller has gone; nobody sees it."""


class Database:
    """One database, SQLite or PostgreSQL, safe to use from one event loop.

    Functions handed to `read` and `write` are plain: they take an SQLAlchemy Connection first, run
    in a thread, and must not keep the connection.
    """

    def __init__(self, writer: Engine, reader: Engine) -> None:
        self._writer = writer
        self._reader = reader
        self._writes = ThreadPoolExecutor(1, thread_name_prefix="perene-write")
        self._reads = ThreadPoolExecutor(_READERS, thread_name_prefix="perene-read")
        self._closing = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> "Database":
        """Connect, and bring the schema up to date; returns a usable database or raises.

        `url` is `sqlite:///path` or `postgresql://user:password@host/name`. Raises CannotConnect,
        UnreadableDatabase, NewerSchema, or OlderSchema when `migrate` is false and a migration is
        due; nothing was changed then. Blocking: call it before the event loop runs, or in a
        thread.
        """
        parsed = parse_url(url)
        prepare_file(parsed)
        writer = make_engine(parsed, readers=0)
        try:
            bring_up_to_date(writer, migrate=migrate)
        except PereneError:
            writer.dispose()
            raise
        except Exception as error:  # every driver has its own errors for "no such server"
            writer.dispose()
            if not is_database_error(error):
                raise
            found = classify(error)
            if isinstance(found, StorageUnavailable):
                message = f"cannot use {describe(parsed)}: {found}"
                raise CannotConnect(message) from error
            raise UnreadableDatabase(f"cannot read {describe(parsed)}: {found}") from error
        return cls(writer, make_engine(parsed, readers=_READERS))

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._writer.dialect.name

    async def read(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(connection, …)` in a reading thread and return what it returns.

        Each statement sees what is committed when it starts. A read whose connection turns out to
        be dead is tried once more on a fresh one. Raises StorageUnavailable, or what `fn` raises.
        """
        return await self._run(self._reads, lambda: self._read(lambda c: fn(c, *args, **kwargs)))

    async def write(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(connection, …)` in the writing thread, in one transaction, and commit it.

        An exception rolls back everything. Cancelling the caller never cuts a transaction in
        half: one that waits for its turn does not begin, and one that runs is rolled back when
        `fn` returns, unless its commit is under way; the next `write` comes after it either way.
        Raises StorageUnavailable, or what `fn` raises.
        """
        cancelled = threading.Event()
        try:
            return await self._run(
                self._writes, lambda: self._write(lambda c: fn(c, *args, **kwargs), cancelled)
            )
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def write_now(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what `write` does, blocking; for starting up and for commands without a loop."""
        return self._writes.submit(self._write, lambda c: fn(c, *args, **kwargs)).result()

    async def close(self) -> None:
        """Let running and queued work end, then close every connection. Idempotent."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Do what `close` does, blocking."""
        with self._closing:
            self._closed = True
            self._writes.shutdown(wait=True)
            self._reads.shutdown(wait=True)
            self._reader.dispose()
            self._writer.dispose()

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._closed:
            raise StorageUnavailable("the database is closed")
        return await asyncio.get_running_loop().run_in_executor(pool, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            try:
                return self._read_once(work)
            except exc.DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return self._read_once(work)
        except PereneError:
            raise
        except Exception as error:  # each driver has errors of its own; all are re-raised
            raise _translated(error) from error

    def _read_once(self, work: Callable[[Connection], T]) -> T:
        with self._reader.connect() as connection:
            return work(connection)

    def _write(
        self, work: Callable[[Connection], T], cancelled: threading.Event | None = None
    ) -> T:
        hooks: list[Callable[[], None]] = []
        try:
            with self._writer.begin() as connection:
                connection.info[_HOOKS] = hooks
                result = work(connection)
                if cancelled is not None and cancelled.is_set():
                    raise _NobodyWaits("the caller was cancelled")
        except PereneError:
            raise
        except Exception as error:  # each driver has errors of its own; all are re-raised
            raise _translated(error) from error
        for hook in hooks:
            hook()
        return result


def after_commit(connection: Connection, hook: Callable[[], None]) -> None:
    """Have `hook` called in the writing thread once the running `write` has committed."""
    connection.info[_HOOKS].append(hook)


def _translated(error: Exception) -> Exception:
    # A bug in `fn` itself keeps its own type; the chain then shows it twice, which is harmless.
    return (
        classify(error)
        if is_database_error(error)
        else StorageError(f"a database function failed: {type(error).__name__}")
    )
