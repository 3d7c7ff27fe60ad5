"""Writing for a reader that may have stopped to read: whoever tells something never waits for it.

A pipe that nobody empties, a stopped terminal and a disk that stalls keep whoever writes to them
waiting, for ever if need be. On the event loop that would be every session at once.
"""

import contextlib
import errno
import io
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TextIO, cast

import structlog

from perene.process.threads import started

log = structlog.stdlib.get_logger()

_MOST_WAITING = 8 * 2**20
"""Characters that may wait to be written: some 30,000 lines, which is minutes of much trouble."""

_PIECE = 4096
"""What a pipe that says it can be written takes at once, whole and without waiting (PIPE_BUF)."""

_LAST_WORDS_S = 5.0
"""How long the end of the process waits for a reader that has stopped."""

_LOOK_S = 1.0


class LineWriter(io.TextIOBase):
    """A text stream that never waits: a thread of its own writes what is given to it, in order.

    When too much waits, what comes is lost, and counted, until half of that is written; a line of
    the log then says how much it was. So is what cannot be written at all. `stream` may be None,
    as `sys.stderr` is where it was closed. Raises NoMoreThreads.
    """

    def __init__(self, stream: TextIO | None, *, most_waiting: int = _MOST_WAITING) -> None:
        super().__init__()
        self.lost = 0
        """How many lines were not written."""
        self._stream = stream
        self._file = _own_file(stream)
        self._most = most_waiting
        self._waiting: deque[str] = deque()
        self._size = 0
        self._gap = 0
        self._deadline: float | None = None
        # Reentrant: what the garbage collector ends within may have something to tell.
        self._changed = threading.Condition(threading.RLock())
        thread = threading.Thread(target=self._live, name="perene-log", daemon=True)
        self._thread = started(thread)

    def write(self, text: str, /) -> int:
        """Have a text written, or count it as lost; returns at once and raises nothing."""
        with self._changed:
            if self._deadline is None:
                if self._gap or self._size + len(text) > self._most:
                    self._gap += 1
                    self.lost += 1
                else:
                    self._waiting.append(text)
                    self._size += len(text)
                self._changed.notify()
                return len(text)
        self._write_now(text)  # after the end: whoever is left writes it alone, or it is lost
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def end(self, within_s: float = _LAST_WORDS_S) -> None:
        """Write what waits, as far as it is taken in time; what comes later is not waited for."""
        with self._changed:
            if self._deadline is not None:
                return
            self._deadline = time.monotonic() + within_s
            self._changed.notify()
        # A disk that stalls holds the thread for as long as it likes.
        self._thread.join(within_s + 1)
        if self._file is not None and not self._thread.is_alive():
            os.close(self._file)
            self._file = None

    def _live(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._gap or self._deadline is not None):
                    self._changed.wait()
                text = self._waiting.popleft() if self._waiting else None
            if text is not None:
                self._write_now(text)
            elif self._deadline is not None and not self._gap:
                return
            with self._changed:
                self._size -= len(text or "")
                gap = self._gap if self._size <= self._most // 2 else 0
                self._gap -= gap
            if gap:
                self._tell(gap)

    def _tell(self, gap: int) -> None:
        if self._deadline is None:
            log.warning("log_lines_lost", lines=gap)

    def _write_now(self, text: str) -> None:
        try:
            if self._file is None:
                write_within(self._stream, text, 0)
            else:
                _write_pieces(self._file, _encoded(self._stream, text), self._is_late)
        except (OSError, ValueError):  # the latter for a stream that is closed
            with self._changed:
                self.lost += 1

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline


@contextlib.contextmanager
def errors_aside() -> Generator[LineWriter]:
    """Let nobody in the block wait for whoever reads standard error."""
    before = sys.stderr
    writer = LineWriter(before)
    sys.stderr = cast("TextIO", writer)
    try:
        yield writer
    finally:
        sys.stderr = before
        writer.end()


def write_within(stream: TextIO | None, text: str, within_s: float = _LAST_WORDS_S) -> None:
    """Write a text now; raise OSError when it cannot be, TimeoutError when nobody takes it."""
    file = _own_file(stream)
    if file is None:
        if stream is None:
            raise OSError("there is no such stream")
        stream.write(text)
        stream.flush()
        return
    deadline = time.monotonic() + within_s
    try:
        _write_pieces(file, _encoded(stream, text), lambda: time.monotonic() >= deadline)
    finally:
        os.close(file)


def _own_file(stream: TextIO | None) -> int | None:
    """Return a descriptor of our own for a stream, None for one that is not the system's.

    Python's own streams hold a lock while they write, for which the end of the process waits.
    """
    if stream is None:
        return None
    try:
        return os.dup(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None


def _encoded(stream: TextIO | None, text: str) -> bytes:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace")


def _write_pieces(file: int, data: bytes, is_late: Callable[[], bool]) -> None:
    ready = select.poll()
    ready.register(file, select.POLLOUT)
    while data:
        if not ready.poll(_LOOK_S * 1000 if not is_late() else 0):
            if is_late():
                raise TimeoutError(errno.ETIMEDOUT, "nobody reads it")
            continue
        with contextlib.suppress(BlockingIOError):  # somebody else was quicker
            data = data[os.write(file, data[:_PIECE]) :]
