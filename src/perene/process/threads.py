"""Threads that can be left behind: one that hangs keeps neither others nor the process's end."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import ParamSpec, TypeVar

from perene.core.errors import RefusedToStart

P = ParamSpec("P")
T = TypeVar("T")

_Work = Callable[[], None]


class NoMoreThreads(RefusedToStart):
    """The system gives this process no more threads."""

    code = "no_more_threads"
    remedy = (
        "Raise the limit where the service starts: `ulimit -u`, TasksMax= of systemd, or"
        " `pids_limit` of a container; or give it more memory."
    )


def started(thread: threading.Thread) -> threading.Thread:
    """Start a thread and return it. Raises NoMoreThreads."""
    try:
        thread.start()
    except RuntimeError as error:  # all that Python tells of it
        raise _none_left() from error
    return thread


def _none_left() -> NoMoreThreads:
    return NoMoreThreads("The system gives this process no more threads.")


def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
    """Have one of the running event loop's own threads do something. Raises NoMoreThreads."""
    try:
        return asyncio.get_running_loop().run_in_executor(None, partial(work, *args, **kwargs))
    except RuntimeError as error:
        raise _none_left() from error


class Threads(Executor):
    """At most `count` threads, which take work in the order of its coming.

    The first is there from the beginning (NoMoreThreads), so that work is done later at worst,
    however few threads the system gives. Unlike those of a ThreadPoolExecutor they are daemons: the
    interpreter would otherwise wait at its end, for ever, for a thread that is stuck in the file
    system or in a driver.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count = count
        self.name = name
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._threads = [self._new_thread(0)]
        self._lock = threading.Lock()
        self._closed = False
        self._given = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have a function called by a thread; what is cancelled before its turn never is."""
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  # it is the caller's, whatever it is
                future.set_exception(error)
            else:
                future.set_result(result)

        with self._lock:
            if self._closed:
                raise RuntimeError("these threads take no more work")
            self._work.put(work)
            self._given += 1
            if len(self._threads) < self._given:
                self._grow()  # or those that there are do it
        return future

    @property
    def begun(self) -> int:
        """How many threads have begun."""
        return len(self._threads)

    def grow(self) -> bool:
        """Have one thread more, if there may be more and the system gives it; tell whether."""
        with self._lock:
            return not self._closed and self._grow()

    def _grow(self) -> bool:
        if len(self._threads) >= self.count:
            return False
        try:
            self._threads.append(self._new_thread(len(self._threads)))
        except NoMoreThreads:
            return False
        return True

    def _new_thread(self, number: int) -> threading.Thread:
        name = f"{self.name}-{number}"
        return started(threading.Thread(target=self._live, name=name, daemon=True))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; with `wait`, return when all that was given is done."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._work.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def end(self, within_s: float) -> int:
        """Take no more work, and let what was given be done; return how many threads still do."""
        self.shutdown(wait=False)
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sum(thread.is_alive() for thread in self._threads)

    def _live(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work  # what it holds must not live until the next one comes
