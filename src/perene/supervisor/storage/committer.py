"""Group commit: units of many sessions in one transaction, in order, tried again when it fails."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from perene.core.clock import Clock
from perene.core.errors import ForgottenEpoch, StaleEpoch, StorageError, StorageUnavailable
from perene.core.unit import Committed, Unit
from perene.supervisor.storage.group_size import GroupSize

log = structlog.stdlib.get_logger()

Outcome = Committed | StaleEpoch | ForgottenEpoch
Commit = Callable[[Sequence[Unit]], Awaitable[Sequence[Outcome]]]
Measure = Callable[[float, int, int], None]
"""Told of each group that was saved: its seconds, its units, and how many messages were new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavePolicy:
    """Requirement E1: how often a transaction is tried, and how long each try and wait may last.

    The wait after the n-th failed try is n times `wait_s`.
    """

    attempts: int = 3
    timeout_s: float = 10.0
    wait_s: float = 2.0
    max_units: int = 256


_TRIED_AGAIN_WITHIN_S = 360.0
"""A session whose messages were refused comes for them again, after 5 minutes at the latest."""


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

    def __init__(
        self,
        *,
        commit: Commit,
        clock: Clock,
        policy: SavePolicy,
        on_commit: Callable[[], None],
        measure: Measure = lambda seconds, units, new_messages: None,  # no one looks
    ) -> None:
        self._commit = commit
        self._clock = clock
        self._policy = policy
        self._on_commit = on_commit
        self._measure = measure
        self._size = GroupSize(policy.max_units, timeout_s=policy.timeout_s)
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.committed_units = 0
        self.transactions = 0
        self.problem: str | None = None
        """Why a transaction failed, until another one has saved what that could not."""
        self._unproved: set[str] = set()
        """What the database has refused, and not taken since."""
        self._failed_at = 0.0
        self.committed_at: datetime | None = None

    @property
    def waiting(self) -> int:
        """How many units wait for the transaction under way to end."""
        return len(self._waiting)

    @property
    def failing(self) -> bool:
        """Whether the database takes not all that it should, as far as is known."""
        return self.problem is not None

    @property
    def busy(self) -> bool:
        """Whether a unit waits, or a transaction is under way."""
        return not self._idle.is_set()

    def another_wrote(self) -> None:
        """The database took a write of somebody else: an outage that nobody waits out is over.

        That a row was changed proves nothing of a full disk, nor of a table that is locked: what
        messages are made of must be seen to be taken, or nobody must have tried for long enough.
        """
        lately = self._clock.monotonic() - self._failed_at < _TRIED_AGAIN_WITHIN_S
        if not self.busy and not (self._unproved and lately):
            self._forget_failure()

    def _forget_failure(self) -> None:
        self.problem = None
        self._unproved.clear()

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
                count = min(len(self._waiting), self._size.present)
                batch = [self._waiting.popleft() for _ in range(count)]
                await self._commit_batch(batch)
            self._idle.set()

    async def _commit_batch(self, batch: Sequence[_Waiting]) -> None:
        """Commit units in as many transactions as it takes, or break their lanes."""
        while alive := [waiting for waiting in batch if not _failed_with_lane(waiting)]:
            try:
                outcomes = await self._save([waiting.unit for waiting in alive])
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

    async def _save(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """Commit the units, or the first of them: one outcome for each that was tried.

        Raises StorageUnavailable after the last attempt, and StorageError when they are refused.
        """
        policy = self._policy
        began = self._clock.monotonic()
        for attempt in range(1, policy.attempts + 1):
            group = units[: self._size.present]
            try:
                outcomes = await self._attempt(group)
            except (StorageUnavailable, TimeoutError) as error:
                # A transaction that timed out here may still commit. Trying it again is safe:
                # every row of a unit is written so that a second time changes nothing.
                # Where less is tried than was stored unheard, ratchets step back until the rest
                # follows; a crash in between harms no key, for nothing of the rest has left yet.
                reason = str(error) or "timed out"
                self._failed(group, reason)
                if attempt == policy.attempts:
                    log.error("save_failed", attempts=attempt, units=len(units), reason=reason)
                    raise StorageUnavailable(f"not saved after {attempt} attempts") from error
                wait_s = policy.wait_s * attempt
                log.warning(
                    "save_retrying",
                    attempt=attempt,
                    limit=policy.attempts,
                    wait_s=wait_s,
                    units=len(group),
                    reason=reason,
                )
                await self._clock.sleep(wait_s)
                continue
            if self.failing:
                self._unproved -= _parts(group)
                if not self._unproved:
                    self._forget_failure()
                    log.info("saved", attempt=attempt, units=len(group))
            self._saved(began, outcomes)
            return outcomes
        raise AssertionError("a save policy has at least one attempt")

    async def _attempt(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """Try one transaction, and learn from its time how much to put into the next one."""
        began, limit_s = self._clock.monotonic(), self._policy.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                outcomes = await self._commit(units)
        except (StorageUnavailable, TimeoutError) as error:
            # What is refused at once is refused whatever its size.
            if isinstance(error, TimeoutError) or self._clock.monotonic() - began > limit_s / 2:
                self._size.timed_out(len(units))
            raise
        self._size.saved(len(units), self._clock.monotonic() - began)
        return outcomes

    def _failed(self, units: Sequence[Unit], reason: str) -> None:
        self.problem = reason
        self._unproved |= _parts(units)
        self._failed_at = self._clock.monotonic()

    def _saved(self, began: float, outcomes: Sequence[Outcome]) -> None:
        self.committed_at = self._clock.now()
        committed = [outcome for outcome in outcomes if isinstance(outcome, Committed)]
        new_messages = sum(outcome.new_messages for outcome in committed)
        self._measure(self._clock.monotonic() - began, len(committed), new_messages)

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


def _parts(units: Sequence[Unit]) -> set[str]:
    """Return which rows of messages these units write: what failed of these is tried again, for
    WhatsApp keeps the messages."""
    parts = {
        "messages": any(unit.messages for unit in units),
        "ratchets": any(unit.ratchets for unit in units),
        "ledger": any(unit.ledger for unit in units),
    }
    return {part for part, written in parts.items() if written}


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
