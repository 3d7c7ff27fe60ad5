"""The signals that ask a service to end: what they do while it starts, and while it serves."""

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import Generator
from functools import partial
from types import FrameType

_WORDS_MS = 1000
"""How long the last words of a start wait for a reader that has stopped."""


@contextlib.contextmanager
def ending_at_once(*, interrupted: int) -> Generator[None]:
    """In the block, have a signal end this process at once, until `signalled` takes it over.

    That leaves what a crash leaves, which the next start is made for. Without it the first process
    of a container, to which the system does nothing by itself, would not hear a signal that comes
    while it starts. The exit status is 0, after Ctrl-C `interrupted`.
    """
    before = {
        number: signal.signal(number, partial(_end, interrupted if number == signal.SIGINT else 0))
        for number in _asking()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def signalled() -> None:
    """Return at the first signal that asks this process to end; further ones change nothing."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _asking():
        loop.add_signal_handler(number, stopping.set)
    await stopping.wait()


def _asking() -> list[signal.Signals]:
    """Return SIGTERM, Ctrl-C, and the end of a terminal, which `nohup` has us pass over."""
    asking = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asking.append(signal.SIGHUP)
    return asking


def _end(status: int, number: int, _frame: FrameType | None) -> None:
    # Nothing may be imported here: what is halfway imported at this moment would be seen so.
    if sys.__stderr__ is not None:
        with contextlib.suppress(OSError, ValueError):
            _say(sys.__stderr__.fileno(), f"Stopped by {signal.Signals(number).name}.\n")
    # Not by way of the code: that lets go of the locks while a migration still goes on in a thread.
    os._exit(status)


def _say(file: int, text: str) -> None:
    ready = select.poll()
    ready.register(file, select.POLLOUT)
    if ready.poll(_WORDS_MS):
        os.write(file, text.encode("ascii"))
