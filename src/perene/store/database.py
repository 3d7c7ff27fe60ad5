"""The connection to the database: many readers, one writer, each in a thread of its own.

Sessions and whoever looks at them from outside are served apart: see `Database.aside`.

Whoever asks is answered within a limit, whatever the database and the threads do: see `errands` for
what becomes of a thread that hangs. While all threads that could do something hang, it is refused
at once, so that what nobody waits for any more cannot pile up behind them.
"""

import asyncio
import concurrent.futures
import copy
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

import structlog
from sqlalchemy import Connection, Engine, exc

from perene.core.errors import PereneError, StorageError, StorageUnavailable
from perene.process.threads import NoMoreThreads, Threads
from perene.store.database_url import describe, parse_url, prepare_file, sqlite_files
from perene.store.engines import STATEMENT_S, make_engine
from perene.store.errands import Crew, Errand, silence, within
from perene.store.errors import CannotConnect, UnreadableDatabase, UnsuitableDatabase
from perene.store.failures import classify, is_damage, is_database_error, refusal
from perene.store.migrations import bring_up_to_date, is_up_to_date
from perene.store.progress import Progress
from perene.store.sqlite_files import SqliteFiles

log = structlog.stdlib.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

# Reads are short, and Python runs one thread at a time: more readers only add contention.
_READERS: Final = 4

_READERS_ASIDE: Final = 2
"""One more than one long search keeps; each takes its share of the processor from sessions."""

LIMIT_S: Final = 10.0
"""How long anything may take unless set: what requirement E1 gives one attempt at saving."""

Limit = Callable[[float], AbstractAsyncContextManager[object]]
"""Raises TimeoutError from a block that takes longer."""

_HOOKS: Final = "perene_after_commit"


class _NobodyWaits(StorageError):
    """Rolls back a transaction whose caller has gone; nobody sees it."""


class Asking(Protocol):
    """Asks what it is given, perhaps more than once, and returns the answer."""

    async def __call__(self, question: Callable[[], Awaitable[T]], /) -> T: ...


async def _once(question: Callable[[], Awaitable[T]]) -> T:
    return await question()


class Database:
    """One database, SQLite or PostgreSQL, safe to use from one event loop.

    Functions handed to `read` and `write` are plain: they take an SQLAlchemy Connection first, run
    in a thread, and must not keep the connection.
    """

    def __init__(
        self, writer: Engine, reader: Engine, *, limit_s: float, files: SqliteFiles | None = None
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._files = files
        self.progress = Progress()
        self._writing = Crew(1, "perene-write")
        self._reading = Crew(_READERS, "perene-read")
        self._reading_aside = Crew(_READERS_ASIDE, "perene-look")
        self._crews = (self._writing, self._reading, self._reading_aside)
        self._turn: AbstractAsyncContextManager[object] = nullcontext()
        """Held by a write from when it is given to the writing thread."""
        self._asking: Asking = _once
        self.limit_s = limit_s
        """How long anything that is asked may take."""
        self.limit: Limit = asyncio.timeout
        """What ends a caller's wait. Threads live by the machine's time, whatever clock the rest
        of the service goes by."""
        self._closing = threading.Lock()
        self._closed = threading.Event()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        migrate: bool = True,
        limit_s: float = LIMIT_S,
        statement_s: float = STATEMENT_S,
    ) -> "Database":
        """Connect, and bring the schema up to date; returns a usable database or raises.

        `url` is `sqlite:///path` or `postgresql://user:password@host/name`; nothing that is asked
        later takes longer than `limit_s`, and no statement than `statement_s`, see STATEMENT_S.
        Raises CannotConnect, UnsuitableDatabase, UnreadableDatabase, NewerSchema, or OlderSchema
        when `migrate` is false and a migration is due (EmptyDatabase when it is the first one);
        nothing was changed then.
        Blocking: call it before the event loop runs, or in a thread. Only a migration may take
        longer than the limit.
        """
        parsed = parse_url(url)
        prepare_file(parsed)
        files = sqlite_files(parsed)
        engine = partial(make_engine, parsed, files=files, statement_s=statement_s)
        writer = engine(readers=0)
        try:
            if not within(limit_s, lambda: is_up_to_date(writer)):
                bring_up_to_date(writer, migrate=migrate)
        except Exception as error:  # every driver has its own errors for "no such server"
            writer.dispose()
            found = classify(error) if is_database_error(error) else error
            if refused := refusal(error):
                message = f"cannot use {describe(parsed)}: {refused}"
                raise UnsuitableDatabase(message) from error
            if isinstance(found, StorageUnavailable) and not is_damage(error):
                message = f"cannot use {describe(parsed)}: {found}"
                raise CannotConnect(message) from error
            if isinstance(found, PereneError) and found is not error:
                raise UnreadableDatabase(f"cannot read {describe(parsed)}: {found}") from error
            raise
        reader = engine(readers=_READERS + _READERS_ASIDE)
        return cls(writer, reader, limit_s=limit_s, files=files)

    def aside(self) -> "Database":
        """Return this database for those who may keep no session waiting, however many they are.

        What they read is read by threads of their own, and of what they write one transaction at a
        time stands in line for the writing thread, so that a session's waits for one at most.
        Closing either closes both.
        """
        other = copy.copy(self)
        other._reading = self._reading_aside  # noqa: SLF001 # our own copy
        other._turn = asyncio.Lock()  # noqa: SLF001
        return other

    def asked_by(self, asking: Asking) -> "Database":
        """Return this database, whose reads `asking` asks; closing either closes both."""
        other = copy.copy(self)
        other._asking = asking  # noqa: SLF001 # our own copy
        return other

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

        def question() -> Awaitable[T]:
            return self._ask(
                self._reading,
                Errand(),
                lambda: self._read(lambda c: fn(c, *args, **kwargs)),
                turn=nullcontext(),
            )

        return await self._asking(question)

    async def write(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `fn(connection, …)` in the writing thread, in one transaction, and commit it.

        An exception rolls back everything. Cancelling the caller never cuts a transaction in
        half: one that waits for its turn does not begin, and one that runs is rolled back when
        `fn` returns, unless its commit is under way; the next `write` comes after it either way.
        Raises StorageUnavailable, or what `fn` raises. A transaction that ends with
        StorageUnavailable may still have been committed, or be committed later.
        """
        errand = Errand()
        return await self._ask(
            self._writing,
            errand,
            lambda: self._write(lambda c: fn(c, *args, **kwargs), errand),
            turn=self._turn,
        )

    def write_now(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what `write` does, blocking; for starting up and for commands without a loop."""
        errand = Errand()
        future = self._writing.threads.submit(
            self._writing.do, errand, lambda: self._write(lambda c: fn(c, *args, **kwargs), errand)
        )
        try:
            return future.result(self.limit_s)
        except concurrent.futures.TimeoutError as error:
            future.cancel()
            errand.give_up()
            raise silence(self.limit_s) from error

    async def close(self) -> None:
        """Let running and queued work end, then close every connection. Idempotent.

        Returns soon after the limit at the latest, and leaves behind what hangs.
        """
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """Do what `close` does, blocking."""
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
            deadline = time.monotonic() + self.limit_s
            for crew in self._crews:
                crew.threads.shutdown(wait=False)
            left = sum(crew.end(max(0.0, deadline - time.monotonic())) for crew in self._crews)
            if left:
                log.error("database_left_hanging", threads=left)
                return
            try:
                # To close the last connection to a file can take a disk that answers, too.
                closing = Threads(1, "perene-close")
            except NoMoreThreads:
                self._dispose()
                return
            closing.submit(self._dispose)
            if closing.end(self.limit_s):
                log.error("database_left_hanging", threads=1)

    def _dispose(self) -> None:
        self._writer.dispose()
        self._reader.dispose()

    async def _ask(
        self,
        crew: Crew,
        errand: Errand,
        work: Callable[[], T],
        *,
        turn: AbstractAsyncContextManager[object],
    ) -> T:
        self._check(crew)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limit_s
        try:
            async with self.limit(self.limit_s), turn:
                self._check(crew)
                return await self.hand_over(crew.threads, partial(crew.do, errand, work))
        except TimeoutError as error:
            errand.give_up()
            raise silence(self.limit_s) from error
        except asyncio.CancelledError:
            errand.unwanted = True
            # Its thread shall hang no longer than if somebody still waited.
            loop.call_at(deadline, errand.give_up)
            raise

    def _check(self, crew: Crew) -> None:
        """Raise StorageUnavailable if the crew can do nothing more."""
        if self._closed.is_set():
            raise StorageUnavailable("the database is closed")
        if crew.hangs:
            raise StorageUnavailable("the database hangs, and owes an answer to earlier questions")

    async def hand_over(self, threads: Threads, work: Callable[[], T]) -> T:
        """Have threads do something: the one way of every read and write to the database."""
        return await asyncio.get_running_loop().run_in_executor(threads, work)

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

    def _write(self, work: Callable[[Connection], T], errand: Errand) -> T:
        hooks: list[Callable[[], None]] = []
        try:
            with self._writer.begin() as connection:
                connection.info[_HOOKS] = hooks
                self.progress.attach(connection)
                result = work(connection)
                if errand.unwanted:
                    raise _NobodyWaits("the caller has gone")
            if self._files is not None:
                # A commit to a file that nobody will find is none.
                self._files.check()
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
