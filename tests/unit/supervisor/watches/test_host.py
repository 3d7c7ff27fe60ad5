"""The machine is looked at now and then: how late the event loop is, what room the disk has."""

import asyncio
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime

import pytest

from perene.process.room import DATA, DATABASE, Room
from perene.process.threads import Threads
from perene.supervisor.watches.host import HostWatch
from tests.support.record import PATIENCE_S
from tests.support.virtual_clock import START, VirtualClock

MIB = 1024**2


class LateClock:
    """Each sleep takes longer than asked by the next of some delays; the last one is cancelled."""

    def __init__(self, *delays: float) -> None:
        self._delays = list(delays)
        self._time = 0.0

    def now(self) -> datetime:
        return START

    def monotonic(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        if not self._delays:
            raise asyncio.CancelledError
        self._time += seconds + self._delays.pop(0)

    def limit(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return nullcontext(seconds)

    def stand_still(self, seconds: float) -> None:
        self._time += seconds


async def watched(
    *delays: float,
    free: "int | OSError" = 1024 * MIB,
    free_files: int = 0,
    most_files: int = 0,
    key_missing: bool = False,
    open_files: float | None = 0.1,
) -> tuple[HostWatch, int]:
    looks = 0

    def look() -> Room:
        nonlocal looks
        looks += 1
        if isinstance(free, OSError):
            raise free
        return Room(free_bytes=free, free_files=free_files, most_files=most_files)

    with ThreadPoolExecutor(1) as threads:
        watch = HostWatch(
            LateClock(*delays),
            room=look,
            key_missing=lambda: key_missing,
            open_files=lambda: open_files,
            threads=threads,
        )
        await live(watch)
    return watch, looks


async def live(watch: HostWatch) -> None:
    with pytest.raises(asyncio.CancelledError):
        await watch.run()


async def test_the_largest_lag_of_the_last_minute_is_told() -> None:
    watch, _ = await watched(0.01, 0.2, 0.0)
    assert watch.lag_s == pytest.approx(0.2)
    assert watch.event_loop().ok
    assert watch.event_loop().detail == "At most 200 ms late in the last minute."


async def test_an_event_loop_that_is_very_late_is_not_well() -> None:
    watch, _ = await watched(1.5)
    assert not watch.event_loop().ok


async def test_a_lag_is_forgotten_after_a_minute() -> None:
    watch, _ = await watched(1.5, *[0.0] * 60)
    assert watch.lag_s == 0


async def test_since_when_everything_goes_on_is_told_after_it_stood_still() -> None:
    never, _ = await watched(1.5, 0.0)
    assert never.awake_s == math.inf
    watch, _ = await watched(120.0, 0.0, 0.5)
    assert watch.awake_s == pytest.approx(2.5)
    clock = LateClock()
    with ThreadPoolExecutor(1) as threads:
        room = Room(free_bytes=MIB)
        watch = HostWatch(clock, room=lambda: room, key_missing=lambda: False, threads=threads)
        await live(watch)
    clock.stand_still(120.0)
    assert watch.awake_s == 0, "whoever asks first after it must not take it for silence"


async def test_the_disk_is_looked_at_every_thirty_seconds_only() -> None:
    _, looks = await watched(*[0.0] * 59)
    assert looks == 2


@pytest.mark.parametrize(("free", "ok"), [(1024 * MIB, True), (100 * MIB, False)])
async def test_a_disk_is_well_while_it_has_room(free: int, ok: bool) -> None:
    watch, _ = await watched(0.0, free=free)
    assert watch.rooms[DATA].free_bytes == free
    assert watch.disk().ok is ok


@pytest.mark.parametrize(
    ("free_files", "most_files", "share", "ok"),
    [
        (900, 1000, 0.1, True),
        (10, 1000, 0.99, True),
        (9, 1000, 0.991, False),
        (0, 1000, 1.0, False),
        (0, 0, None, True),  # btrfs tells of no limit
    ],
)
async def test_a_disk_is_well_while_files_can_be_made(
    free_files: int, most_files: int, share: float | None, ok: bool
) -> None:
    watch, _ = await watched(0.0, free_files=free_files, most_files=most_files)
    assert watch.rooms[DATA].files_share == (None if share is None else pytest.approx(share))
    assert watch.disk().ok is ok
    assert ("inodes" in (watch.disk().detail or "")) is (share is not None)


async def test_a_disk_that_cannot_be_looked_at_is_not_well() -> None:
    watch, _ = await watched(0.0, free=OSError(5, "Input/output error"))
    assert watch.rooms == {}
    assert not watch.disk().ok
    assert "Input/output error" in (watch.disk().detail or "")


@pytest.mark.parametrize(("share", "ok"), [(0.5, True), (0.95, False), (None, True)])
async def test_it_is_well_while_more_files_can_be_opened(share: float | None, ok: bool) -> None:
    watch, _ = await watched(0.0, open_files=share)
    assert watch.open_files_share == share
    assert watch.open_files().ok is ok


@pytest.mark.parametrize("missing", [True, False])
async def test_it_is_seen_whether_the_key_file_is_there(missing: bool) -> None:
    watch, _ = await watched(0.0, key_missing=missing)
    assert watch.key_missing is missing


async def test_a_data_directory_that_is_gone_takes_the_key_with_it() -> None:
    watch, _ = await watched(0.0, free=OSError(2, "No such file or directory"), key_missing=True)
    assert not watch.disk().ok
    assert watch.key_missing


async def test_a_key_file_that_cannot_be_looked_at_hides_no_full_disk() -> None:
    def refuse() -> bool:
        raise PermissionError(13, "Permission denied")

    with ThreadPoolExecutor(1) as threads:
        clock = LateClock(0.0)
        watch = HostWatch(
            clock, room=lambda: Room(free_bytes=MIB), key_missing=refuse, threads=threads
        )
        await live(watch)
    assert watch.rooms[DATA].free_bytes == MIB
    assert not watch.key_missing


async def test_a_key_file_that_was_gone_is_not_back_because_nobody_can_look() -> None:
    looks = 0

    def missing() -> bool:
        nonlocal looks
        looks += 1
        if looks > 1:
            raise PermissionError(13, "Permission denied")
        return True

    with ThreadPoolExecutor(1) as threads:
        watch = HostWatch(
            LateClock(*[0.0] * 31),
            room=lambda: Room(free_bytes=MIB),
            key_missing=missing,
            threads=threads,
        )
        await live(watch)
    assert (looks, watch.key_missing) == (2, True)


async def test_a_look_that_fails_by_a_bug_is_followed_by_another() -> None:
    answers = iter([ZeroDivisionError(), Room(free_bytes=1024 * MIB)])

    def look() -> Room:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with ThreadPoolExecutor(1) as threads:
        clock = LateClock(0.0)
        watch = HostWatch(clock, room=look, key_missing=lambda: False, threads=threads)
        with pytest.raises(ZeroDivisionError):
            await watch.run()
        await live(watch)
    assert watch.rooms[DATA].free_bytes == 1024 * MIB


async def test_a_disk_that_stalls_is_told_asked_once_and_looked_at_again_when_it_goes_on() -> None:
    may_end, asked = threading.Event(), 0

    def look() -> Room:
        nonlocal asked
        asked += 1
        may_end.wait(PATIENCE_S)
        return Room(free_bytes=1024 * MIB)

    clock, threads = VirtualClock(), Threads(1, "look")
    watch = HostWatch(clock, room=look, key_missing=lambda: False, threads=threads)
    running = asyncio.create_task(watch.run())
    await clock.until_asleep(5)
    await clock.advance(120)
    assert "no answer" in (watch.disk().detail or "")
    assert not watch.disk().ok
    may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        while not watch.disk().ok:
            await clock.advance(1)
    assert asked == 1
    running.cancel()
    await asyncio.wait((running,))


@pytest.mark.parametrize(
    ("left", "ok", "words"),
    [
        (Room(free_bytes=2048 * MIB), True, "Database: 2048 MiB free."),
        (Room(free_bytes=100 * MIB), False, "Database: 100 MiB free."),
        (Room(free_bytes=2048 * MIB, free_files=1, most_files=1000), False, "100% of the inodes"),
        (OSError(5, "Input/output error"), False, "The folder of the database cannot be looked at"),
    ],
)
async def test_a_database_on_a_disk_of_its_own_is_looked_at_too(
    left: Room | OSError, ok: bool, words: str
) -> None:
    def look() -> Room:
        if isinstance(left, OSError):
            raise left
        return left

    with ThreadPoolExecutor(1) as threads:
        watch = HostWatch(
            LateClock(0.0),
            room=lambda: Room(free_bytes=1024 * MIB),
            database_room=look,
            key_missing=lambda: False,
            threads=threads,
        )
        await live(watch)
    assert watch.rooms[DATA].free_bytes == 1024 * MIB
    assert watch.rooms.get(DATABASE) == (left if isinstance(left, Room) else None)
    assert watch.disk().ok is ok
    detail = watch.disk().detail or ""
    assert detail.startswith("Data directory: 1024 MiB free. Database: ")
    assert words in detail


async def test_the_disk_that_stalls_is_named() -> None:
    asked, may_end = threading.Event(), threading.Event()

    def stall() -> Room:
        asked.set()
        may_end.wait(PATIENCE_S)
        return Room(free_bytes=1024 * MIB)

    clock, threads = VirtualClock(), Threads(1, "look")
    watch = HostWatch(
        clock,
        room=lambda: Room(free_bytes=1024 * MIB),
        database_room=stall,
        key_missing=lambda: False,
        threads=threads,
    )
    running = asyncio.create_task(watch.run())
    await clock.until_asleep(5)
    assert await asyncio.to_thread(asked.wait, PATIENCE_S)  # the other disk has answered by then
    await clock.advance(120)
    detail = watch.disk().detail or ""
    assert "The folder of the database cannot be looked at (no answer)." in detail
    assert not watch.disk().ok
    may_end.set()
    async with asyncio.timeout(PATIENCE_S):
        while not watch.disk().ok:
            await clock.advance(1)
    running.cancel()
    await asyncio.wait((running,))


def test_before_the_first_look_nothing_is_wrong() -> None:
    watch = HostWatch(
        LateClock(),
        room=lambda: Room(free_bytes=0),
        key_missing=lambda: False,
        threads=Threads(1, "never asked"),
    )
    assert watch.disk().ok
    assert watch.event_loop().ok
