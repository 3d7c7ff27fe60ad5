"""Looks at the machine now and then, so that health can be told from memory."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

from perene.core.clock import Clock
from perene.process.room import Room
from perene.supervisor.ports import ComponentHealth

_EVERY_S = 1.0
_DISK_EVERY = 30
"""Rounds between two looks at the disk."""

_PATIENCE_S = 5.0
"""A file system that takes longer for such a question stalls."""

_SLOW_S = 1.0
"""An event loop that is as late as this keeps sessions from answering in time."""

_MANY_FILES = 0.9
"""A share above which sessions, requests and alerts soon find none left."""

_MANY_INODES = 0.99
"""A share above which a program that makes many small files soon leaves none to the database."""

_KEPT = 60
"""Rounds over which the largest lag is told."""


class _Seen(NamedTuple):
    """What a look found; `key_missing` is None when nobody can tell."""

    room: Room | OSError
    key_missing: bool | None
    open_files: float | None


class HostWatch:
    """Measures how late the event loop runs, and looks at what it needs of the file system.

    `room` returns what is left where the data is, `key_missing` whether the master key's
    file is gone, `open_files` how much of what may be open is, None when nobody can tell; all may
    block, and are called by a thread of `threads`. One that does not come back is not asked again
    before it does.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        room: Callable[[], Room],
        key_missing: Callable[[], bool],
        threads: Executor,
        open_files: Callable[[], float | None] = lambda: None,
        least_free_bytes: int = 256 * 1024**2,
    ) -> None:
        self._clock = clock
        self._look_at_room = room
        self._key_missing = key_missing
        self._open_files = open_files
        self._threads = threads
        self._least = least_free_bytes
        self._lags: list[float] = []
        self._looking: asyncio.Future[_Seen] | None = None
        self._room: Room | None = None
        self._unseen: str | None = None
        self.key_missing = False
        """Whether the key's file was gone at the last look."""
        self.open_files_share: float | None = None
        """How much of what may be open was at the last look; None when nobody can tell."""

    async def run(self) -> None:
        """Look until cancelled."""
        number = 0
        while True:
            if number % _DISK_EVERY == 0:
                await self._look()
            number += 1
            began = self._clock.monotonic()
            await self._clock.sleep(_EVERY_S)
            self._lags.append(max(0.0, self._clock.monotonic() - began - _EVERY_S))
            del self._lags[:-_KEPT]

    @property
    def lag_s(self) -> float:
        """The largest lag of the last minute, in seconds."""
        return max(self._lags, default=0.0)

    @property
    def free_bytes(self) -> int | None:
        """What was free at the last look; None before the first, or when it failed."""
        return None if self._room is None else self._room.free_bytes

    @property
    def inodes_share(self) -> float | None:
        """How much of the inodes were used at the last look; None when nobody can tell."""
        return None if self._room is None else self._room.files_share

    def event_loop(self) -> ComponentHealth:
        """Tell how late the event loop was at most in the last minute."""
        lag_s = self.lag_s
        detail = f"At most {lag_s * 1000:.0f} ms late in the last minute."
        return ComponentHealth(name="event_loop", ok=lag_s < _SLOW_S, detail=detail)

    def open_files(self) -> ComponentHealth:
        """Tell how many files and sockets were open at the last look."""
        share = self.open_files_share
        detail = None if share is None else f"{share:.0%} of those allowed are open."
        return ComponentHealth(name="open_files", ok=(share or 0) < _MANY_FILES, detail=detail)

    def disk(self) -> ComponentHealth:
        """Tell how much room the disk had at the last look."""
        if self._room is None:
            detail = self._unseen or "Not looked at yet."
            return ComponentHealth(name="disk", ok=self._unseen is None, detail=detail)
        free, share = self._room.free_bytes, self._room.files_share
        detail = f"{free / 1024**2:.0f} MiB free."
        if share is not None:
            detail += f" {share:.0%} of the inodes are used."
        well = free >= self._least and (share or 0) <= _MANY_INODES
        return ComponentHealth(name="disk", ok=well, detail=detail)

    async def _look(self) -> None:
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.run_in_executor(self._threads, self._see)
        try:
            async with self._clock.limit(_PATIENCE_S):
                seen = await asyncio.shield(self._looking)
        except TimeoutError:
            self._not_seen("no answer")
            return
        finally:
            if self._looking.done():
                self._looking = None
        if seen.key_missing is not None:
            self.key_missing = seen.key_missing
        self.open_files_share = seen.open_files
        if isinstance(seen.room, OSError):
            self._not_seen(seen.room.strerror or "no answer")
        else:
            self._room, self._unseen = seen.room, None

    def _see(self) -> "_Seen":
        """Look at each by itself: where the disk tells nothing, the key may be gone with it."""
        room: Room | OSError
        try:
            room = self._look_at_room()
        except OSError as error:
            room = error
        try:
            return _Seen(room, self._key_missing(), self._open_files())
        except OSError:
            return _Seen(room, None, self._open_files())

    def _not_seen(self, reason: str) -> None:
        self._room = None
        self._unseen = f"The data directory cannot be looked at ({reason})."
