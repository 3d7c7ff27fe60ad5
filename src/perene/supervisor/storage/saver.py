"""Saving a group of units: tried again when the database is away, never twice in two sizes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageUnavailable
from perene.core.ids import CommitId, new_commit_id
from perene.core.unit import Committed, Outcome, Unit
from perene.supervisor.storage.group_size import GroupSize

log = structlog.stdlib.get_logger()

Tried = Mapping[CommitId, Sequence[Unit]]
"""What was tried, and may have been committed unheard."""

Commit = Callable[[Sequence[Unit], CommitId], Awaitable[Sequence[Outcome]]]
"""Commits units in one transaction, which is known by its id from then on."""

Recall = Callable[[Tried], Awaitable[Sequence[Outcome] | None]]
"""Returns what became of the units that were committed, None if none of these tries was."""

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


class Saver:
    """Saves groups of units, one transaction at a time, and knows whether that works."""

    def __init__(
        self,
        *,
        commit: Commit,
        recall: Recall,
        clock: Clock,
        policy: SavePolicy,
        measure: Measure = lambda seconds, units, new_messages: None,  # no one looks
    ) -> None:
        self._commit = commit
        self._recall = recall
        self._clock = clock
        self._policy = policy
        self._measure = measure
        self._size = GroupSize(policy.max_units, timeout_s=policy.timeout_s)
        self.problem: str | None = None
        """Why a transaction failed, until another one has saved what that could not."""
        self._unproved: set[str] = set()
        """What the database has refused, and not taken since."""
        self._failed_at = 0.0
        self.committed_at: datetime | None = None

    @property
    def most(self) -> int:
        """How many units the next transaction may have."""
        return self._size.present

    def another_wrote(self) -> None:
        """The database took a write of somebody else: an outage that nobody waits out is over.

        That a row was changed proves nothing of a full disk, nor of a table that is locked: what
        messages are made of must be seen to be taken, or nobody must have tried for long enough.
        """
        lately = self._clock.monotonic() - self._failed_at < _TRIED_AGAIN_WITHIN_S
        if not (self._unproved and lately):
            self._forget_failure()

    async def save(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        """Commit the units, or the first of them: one outcome for each that was tried.

        Raises StorageUnavailable after the last attempt, and StorageError when they are refused.
        """
        policy = self._policy
        began = self._clock.monotonic()
        tried: dict[CommitId, Sequence[Unit]] = {}
        for attempt in range(1, policy.attempts + 1):
            group = units[: self.most]
            try:
                outcomes = await self._attempt(group, tried)
            except (StorageUnavailable, TimeoutError) as error:
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
            saved = units[: len(outcomes)]
            if self.problem is not None:
                self._unproved -= _parts(saved)
                if not self._unproved:
                    self._forget_failure()
                    log.info("saved", attempt=attempt, units=len(saved))
            self._saved(began, outcomes)
            return outcomes
        raise AssertionError("a save policy has at least one attempt")

    async def _attempt(
        self, group: Sequence[Unit], tried: dict[CommitId, Sequence[Unit]]
    ) -> Sequence[Outcome]:
        """Try one transaction, and learn from its time how much to put into the next one.

        One that failed here may have been committed, or be committed later. To try it again would
        change nothing; but to try a part of it would let ratchets step back, until the rest
        follows. Should that not come to pass, sessions that others have begun meanwhile would be
        forgotten. Hence the question what became of those that were `tried` already.
        """
        began, limit_s = self._clock.monotonic(), self._policy.timeout_s
        id_ = new_commit_id()
        try:
            async with asyncio.timeout(limit_s):
                if tried and (outcomes := await self._recall(tried)) is not None:
                    return outcomes
                tried[id_] = group
                outcomes = await self._commit(group, id_)
        except (StorageUnavailable, TimeoutError) as error:
            # What is refused at once is refused whatever its size.
            if isinstance(error, TimeoutError) or self._clock.monotonic() - began > limit_s / 2:
                self._size.timed_out(len(group))
            raise
        self._size.saved(len(group), self._clock.monotonic() - began)
        return outcomes

    def _failed(self, units: Sequence[Unit], reason: str) -> None:
        self.problem = reason
        self._unproved |= _parts(units)
        self._failed_at = self._clock.monotonic()

    def _forget_failure(self) -> None:
        self.problem = None
        self._unproved.clear()

    def _saved(self, began: float, outcomes: Sequence[Outcome]) -> None:
        self.committed_at = self._clock.now()
        committed = [outcome for outcome in outcomes if isinstance(outcome, Committed)]
        new_messages = sum(outcome.new_messages for outcome in committed)
        self._measure(self._clock.monotonic() - began, len(committed), new_messages)


def _parts(units: Sequence[Unit]) -> set[str]:
    """Return which rows of messages these units write: what failed of these is tried again, for
    WhatsApp keeps the messages."""
    parts = {
        "messages": any(unit.messages for unit in units),
        "ratchets": any(unit.ratchets for unit in units),
        "ledger": any(unit.ledger for unit in units),
    }
    return {part for part, written in parts.items() if written}
