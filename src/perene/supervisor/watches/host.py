"""Looks at the machine now and then, so that health can be told from memory."""

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import NamedTuple

from perene.core.clock import Clock
from perene.process.room import DATA, DATABASE, Room
from perene.supervisor.ports import ComponentHealth

_EVERY_S = 1.0
_DISK_EVERY = 30
"""Rounds between two looks at the disk."""

_PATIENCE_S = 5.0
"""A file system that takes longer for such a question stalls."""

_SLOW_S = 1.0
"""An event loop that is as late as this keeps sessions from answering in time."""

_STOOD_STILL_S = 10.0
"""An event loop that is as late as this has heard nobody for a while, however well they were."""

_MANY_FILES = 0.9
"""A share above which sessions, requests and alerts soon find none left."""

_MANY_INODES = 0.99
"""A share above which a program that makes many small files soon leaves none to the database."""

_KEPT = 60
"""Rounds over which the largest lag is told."""


class _Seen(NamedTuple):
    """What a look found; `key_missing` is None when nobody can tell."""

    rooms: Mapping[str, Room | OSError]
    key_missing: bool | None
    open_files: float | None


class HostWatch:
    """Measures how late the event loop runs, and looks at what it needs of the file system.

    `room` returns what is left where the data is, `database_room` where the database is if that is
    a file in another file system, `key_missing` whether the master key's file is gone, `open_files`
    how much of what may be open is, None when nobody can tell; all may block, and are called by a
    thread of `threads`. One that does not come back is not asked again before it does.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        room: Callable[[], Room],
        key_missing: Callable[[], bool],
        threads: Executor,
        database_room: Callable[[], Room] | None = None,
        open_files: Callable[[], float | None] = lambda: None,
        least_free_bytes: int = 256 * 1024**2,
    ) -> None:
        self._clock = clock
        self._looks_at_room = {DATA: room}
        if database_room is not None:
            self._looks_at_room[DATABASE] = database_room
        self._key_missing = key_missing
        self._open_files = open_files
        self._threads = threads
        self._least = least_free_bytes
        self._lags: list[float] = []
        self._due_at: float | None = None
        self._woke_at = -math.inf
        self._looking: asyncio.Future[_Seen] | None = None
        self._looking_at = DATA
        """What the thread asks for, as long as it has not come back."""
        self._unseen: dict[str, str] = {}
        self.rooms: dict[str, Room] = {}
        """What was left at the last look, by what is kept there; not of what could not be seen."""
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
            self._due_at = self._clock.monotonic() + _EVERY_S
            await self._clock.sleep(_EVERY_S)
            lag_s = self._late_s()
            self._due_at = None
            self._lags.append(lag_s)
            del self._lags[:-_KEPT]
            if lag_s > _STOOD_STILL_S:
                self._woke_at = self._clock.monotonic()

    @property
    def lag_s(self) -> float:
        """The largest lag of the last minute, in seconds."""
        return max(self._lags, default=0.0)

    @property
    def awake_s(self) -> float:
        """How long everything has been going on since it last stood still, in seconds."""
        if self._late_s() > _STOOD_STILL_S:
            return 0.0
        return self._clock.monotonic() - self._woke_at

    def _late_s(self) -> float:
        """Return by how much the present round is late."""
        return 0.0 if self._due_at is None else max(0.0, self._clock.monotonic() - self._due_at)

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
        """Tell how much room each disk had at the last look."""
        told = {name: self._told(name) for name in self._looks_at_room}
        if len(told) == 1:
            detail = told[DATA]
        else:
            detail = " ".join(f"{name.capitalize()}: {words}" for name, words in told.items())
        well = not self._unseen and all(map(self._suffices, self.rooms.values()))
        return ComponentHealth(name="disk", ok=well, detail=detail)

    def _told(self, name: str) -> str:
        room = self.rooms.get(name)
        if room is None:
            return self._unseen.get(name, "Not looked at yet.")
        detail = f"{room.free_bytes / 1024**2:.0f} MiB free."
        if room.files_share is not None:
            detail += f" {room.files_share:.0%} of the inodes are used."
        return detail

    def _suffices(self, room: Room) -> bool:
        return room.free_bytes >= self._least and (room.files_share or 0) <= _MANY_INODES

    async def _look(self) -> None:
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.run_in_executor(self._threads, self._see)
        try:
            async with self._clock.limit(_PATIENCE_S):
                seen = await asyncio.shield(self._looking)
        except TimeoutError:
            self._not_seen(self._looking_at, "no answer")
            return
        finally:
            if self._looking.done():
                self._looking = None
        if seen.key_missing is not None:
            self.key_missing = seen.key_missing
        self.open_files_share = seen.open_files
        for name, room in seen.rooms.items():
            if isinstance(room, OSError):
                self._not_seen(name, room.strerror or "no answer")
            else:
                self.rooms[name] = room
                self._unseen.pop(name, None)

    def _see(self) -> _Seen:
        """Look at each by itself: where the disk tells nothing, the key may be gone with it."""
        rooms: dict[str, Room | OSError] = {}
        for name, look in self._looks_at_room.items():
            self._looking_at = name
            try:
                rooms[name] = look()
            except OSError as error:
                rooms[name] = error
        self._looking_at = DATA
        try:
            return _Seen(rooms, self._key_missing(), self._open_files())
        except OSError:
            return _Seen(rooms, None, self._open_files())

    def _not_seen(self, name: str, reason: str) -> None:
        self.rooms.pop(name, None)
        what = "The data directory" if name == DATA else "The folder of the database"
        self._unseen[name] = f"{what} cannot be looked at ({reason})."
