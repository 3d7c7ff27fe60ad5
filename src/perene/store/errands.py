"""One piece of work of a database thread, which can be given up by whoever waits for it.

A thread that waits for a database waits for as long as that is silent: psycopg has no time limit
for an answer, `statement_timeout` is the server's to keep, and the kernel of a server whose
processes are stopped goes on acknowledging packets, so that no TCP limit is reached either. Hence
the caller's own limit. After it the caller gets StorageUnavailable, and the thread

| while it                  | ends thus                                                   |
| ------------------------- | ----------------------------------------------------------- |
| has not begun the errand  | never begins it                                             |
| makes a connection        | ends that by the driver's limit, and begins nothing with it |
| waits for PostgreSQL      | has its socket cut under it, and fails at once              |
| computes in SQLite        | has its statement interrupted                               |
| waits for the disk        | stays stuck, and when all do, what is asked is refused      |

Whatever a thread still does, an errand that was given up is rolled back when its function returns.
Only a commit that was under way may take place, then or later, without anybody being told: whoever
got StorageUnavailable has to reckon with both, and repeat only what does no harm twice. A commit
that a stopped PostgreSQL makes when it goes on comes before whatever is written after it, for it
holds the locks of its rows until then.
"""

import contextlib
import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from perene.core.errors import StorageUnavailable
from perene.process.threads import Threads, started
from perene.store.driver import is_psycopg_connection

T = TypeVar("T")

_CUT_S = 1.0
"""How long a thread has to notice that its connection was cut, before it is left behind."""

_present = threading.local()


class Errand:
    """What one caller asks of a thread. `do` is called by that thread, the rest by anybody."""

    def __init__(self) -> None:
        self.unwanted = False
        """Whether nobody waits for it any more: nothing of it shall be committed."""
        self.given_up = False
        """Whether its thread shall fail in what it waits for."""
        self._lock = threading.Lock()
        self._cut: Callable[[], None] | None = None
        self._let_go: Callable[[], None] | None = None

    def do(self, work: Callable[[], T]) -> T:
        """Do the work, unless it was given up before."""
        before, _present.errand = present(), self
        try:
            self.check()
            return work()
        finally:
            _present.errand = before
            with self._lock:
                self._release()

    def give_up(self) -> None:
        """Let the thread fail in what it waits for, now or when it comes to it."""
        with self._lock:
            self.given_up = self.unwanted = True
            if self._cut is not None:
                self._cut()

    def check(self) -> None:
        """Raise StorageUnavailable if this was given up."""
        if self.given_up:
            raise StorageUnavailable("nobody waits for the database any more")

    def hold(self, connection: object) -> None:
        """Take note of the connection that the thread uses from now on."""
        with self._lock:
            self._release()
            self.check()
            match connection:
                case sqlite3.Connection():
                    self._cut = lambda: _interrupt(connection)
                case _ if is_psycopg_connection(connection):
                    from psycopg import Error

                    # Who is closed already needs no cut; who has no descriptor left goes without.
                    with contextlib.suppress(Error, OSError):
                        # One of its own: the driver may close its one at any moment, and the
                        # system give the number to somebody else.
                        line = socket.socket(fileno=os.dup(connection.fileno()))
                        self._cut, self._let_go = lambda: _shut(line), line.close
                case _:
                    raise TypeError(f"no connection of a known driver: {type(connection)}")

    def _release(self) -> None:
        if self._let_go is not None:
            self._let_go()
        self._cut = self._let_go = None


def within(limit_s: float, work: Callable[[], T], *, on: object = None) -> T:
    """Do something in the calling thread, which waits on PostgreSQL no longer than so.

    `on` is the driver's connection that it begins with, if that was opened before. Raises
    StorageUnavailable after the time; else NoMoreThreads, or what the work raises.
    """
    errand = Errand()

    def begin() -> T:
        if on is not None:
            errand.hold(on)
        return work()

    alarm = threading.Timer(limit_s, errand.give_up)
    alarm.daemon = True
    started(alarm)
    try:
        return errand.do(begin)
    except Exception as error:  # what comes of the cut is of no interest
        if errand.unwanted:
            raise silence(limit_s) from error
        raise
    finally:
        alarm.cancel()


class Crew:
    """Threads of one kind, and the errands that they are on."""

    def __init__(self, count: int, name: str) -> None:
        self.threads = Threads(count, name)
        self._out: set[Errand] = set()

    def do(self, errand: Errand, work: Callable[[], T]) -> T:
        """Do an errand, in the thread that calls this."""
        self._out.add(errand)
        try:
            return errand.do(work)
        finally:
            self._out.discard(errand)

    @property
    def hangs(self) -> bool:
        """Whether every thread is stuck in something that nobody waits for any more."""
        out = tuple(self._out)
        stuck = len(out) >= self.threads.begun and all(errand.given_up for errand in out)
        # The system may have given fewer than asked for; one that it gives now is free.
        return stuck and not self.threads.grow()

    def end(self, within_s: float) -> int:
        """Take nothing more and finish what was taken; return how many threads are left behind.

        What is not done in time is given up.
        """
        left = self.threads.end(0.0 if self.hangs else within_s)
        if left:
            for errand in tuple(self._out):
                errand.give_up()
            left = self.threads.end(_CUT_S)
        return left


def present() -> Errand | None:
    """Return the errand of the calling thread, None outside of one."""
    return getattr(_present, "errand", None)


def silence(limit_s: float) -> StorageUnavailable:
    """Return what is told to whoever waited in vain."""
    return StorageUnavailable(f"the database gave no answer within {limit_s:g} s")


def _interrupt(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):  # closed meanwhile
        connection.interrupt()


def _shut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side was quicker
        line.shutdown(socket.SHUT_RDWR)
