"""Group commit: units of many sessions in one transaction, in order. See `saver` for its tries."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from perene.core.errors import StorageError, StorageUnavailable
from perene.core.unit import Committed, Outcome, Unit
from perene.supervisor.storage.saver import Saver

log = structlog.stdlib.get_logger()


class LaneBroken(StorageError):
    """An earlier unit of the same connection was not committed, and this one builds on it."""

    code = "lane_broken"
    remedy = "The session reconnects by itself, and starts from what is stored."


class Lane:
    """The units of one connection, in order. Once one has failed, all later ones fail."""

    def __init__(self, committer: "Committer") -> None:
        self._committer = committer
        self.broken: StorageError | None = None

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        """Queue a unit; the future ends with its transaction."""
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._committer.enqueue(self, unit, future)
        return future


@dataclass(frozen=True, slots=True)
class _Waiting:
    lane: Lane
    unit: Unit
    future: "asyncio.Future[Committed]"


class Committer:
    """Takes units from every lane and commits what has gathered, one transaction at a time.

    While a transaction runs the next units gather, so that one `fsync` serves all of them. The
    queue is bounded by the lanes' connections: each stops reading when too many of its answers
    wait.
    """

    def __init__(self, saver: Saver, *, on_commit: Callable[[], None]) -> None:
        self._saver = saver
        self._on_commit = on_commit
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.committed_units = 0
        self.transactions = 0

    @property
    def waiting(self) -> int:
        """How many units wait for the transaction under way to end."""
        return len(self._waiting)

    @property
    def problem(self) -> str | None:
        """Why a transaction failed, until another one has saved what that could not."""
        return self._saver.problem

    @property
    def failing(self) -> bool:
        """Whether the database takes not all that it should, as far as is known."""
        return self.problem is not None

    @property
    def committed_at(self) -> datetime | None:
        """When something was committed last."""
        return self._saver.committed_at

    @property
    def busy(self) -> bool:
        """Whether a unit waits, or a transaction is under way."""
        return not self._idle.is_set()

    def another_wrote(self) -> None:
        """The database took a write of somebody else: an outage that nobody waits out is over."""
        if not self.busy:
            self._saver.another_wrote()

    def lane(self) -> Lane:
        """Open the lane of a new connection."""
        return Lane(self)

    def enqueue(self, lane: Lane, unit: Unit, future: "asyncio.Future[Committed]") -> None:
        """Queue a unit behind everything that waits."""
        self._waiting.append(_Waiting(lane, unit, future))
        self._idle.clear()
        self._arrived.set()

    async def drained(self) -> None:
        """Wait until everything that was queued has been decided."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit until cancelled; a transaction under way ends in its thread."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                count = min(len(self._waiting), self._saver.most)
                batch = [self._waiting.popleft() for _ in range(count)]
                await self._commit_batch(batch)
            self._idle.set()

    async def _commit_batch(self, batch: Sequence[_Waiting]) -> None:
        """Commit units in as many transactions as it takes, or break their lanes."""
        while alive := [waiting for waiting in batch if not _failed_with_lane(waiting)]:
            try:
                outcomes = await self._saver.save([waiting.unit for waiting in alive])
            except StorageUnavailable as error:
                for waiting in alive:
                    _break(waiting, error)
                return
            except StorageError as error:
                await self._isolate(alive, error)
                return
            self._settle(alive[: len(outcomes)], outcomes)
            batch = alive[len(outcomes) :]

    def _settle(self, batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        self.transactions += 1
        self.committed_units += len(batch)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Committed):
                _break(waiting, outcome)
            elif not waiting.future.done():
                waiting.future.set_result(outcome)
        self._on_commit()

    async def _isolate(self, batch: Sequence[_Waiting], error: StorageError) -> None:
        """Commit each lane's units on their own: a poisoned one must not fail the others."""
        lanes = list(dict.fromkeys(waiting.lane for waiting in batch))
        log.error("save_refused", units=len(batch), lanes=len(lanes), reason=str(error))
        if len(lanes) == 1:
            for waiting in batch:
                _break(waiting, error)
            return
        for lane in lanes:
            await self._commit_batch([waiting for waiting in batch if waiting.lane is lane])


def _failed_with_lane(waiting: _Waiting) -> bool:
    if waiting.lane.broken is None:
        return False
    if not waiting.future.done():
        error = LaneBroken("an earlier change of this connection was not saved")
        error.__cause__ = waiting.lane.broken
        _fail(waiting.future, error)
    return True


def _break(waiting: _Waiting, error: StorageError) -> None:
    waiting.lane.broken = waiting.lane.broken or error
    if not waiting.future.done():
        _fail(waiting.future, error)


def _fail(future: "asyncio.Future[Committed]", error: StorageError) -> None:
    future.set_exception(error)
    # Looked at, so that asyncio does not report it again when the connection that waited is gone.
    future.exception()
