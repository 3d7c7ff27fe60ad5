"""What sessions have learned of their own traffic, kept over restarts of the service."""

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.core.hearing import HearingPolicy
from perene.core.ids import SessionId
from perene.engine.listening import HearingMemory

log = structlog.stdlib.get_logger()

_EVERY_S = 900.0
"""A quarter of an hour is little against the days that a habit is learned in."""

_AT_ONCE = 50
"""Memories in one transaction, about 250 KB: no commit waits long for it."""


class HearingStore(Protocol):
    """What keeps the memories. Both raise StorageError."""

    async def learned_hearing(self) -> dict[SessionId, bytes]: ...

    async def save_hearing(self, learned: dict[SessionId, bytes]) -> None: ...


class Hearings:
    """The memory of each session, about 5 KB. `run` is its life; neither loss nor delay does harm.

    What is not stored is learned again; until then its session is suspected of nothing.
    """

    def __init__(
        self, store: HearingStore, clock: Clock, policy: HearingPolicy | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy or HearingPolicy()
        self._memories: dict[SessionId, HearingMemory] = {}
        self._unread: dict[SessionId, bytes] = {}
        self._saved: dict[SessionId, bytes] = {}
        """Digests of what is stored, which is forty times as long."""

    def of(self, session: SessionId) -> HearingMemory:
        """Return the memory of a session, a new one if there is none."""
        memory = self._memories.get(session)
        if memory is None:
            learned = self._unread.pop(session, None)
            if learned is None:
                memory = HearingMemory(self._policy)
            else:
                memory = HearingMemory.parse(learned, self._policy)
                self._saved[session] = _digest(learned)
            self._memories[session] = memory
        return memory

    def forget(self, session: SessionId) -> None:
        """Let go of what a session has learned."""
        for kept in (self._memories, self._unread, self._saved):
            kept.pop(session, None)

    async def load(self) -> None:
        """Fetch what earlier runs have stored; each is read when it is asked for. Never fails."""
        try:
            self._unread = dict(await self._store.learned_hearing())
        except StorageError as error:
            log.warning("hearing_not_loaded", reason=str(error))

    async def run(self) -> None:
        """Store what is new every quarter of an hour, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_S)
            await self.save()

    async def save(self) -> None:
        """Store what is new. Never fails: what is not stored now is stored with the next round."""
        sessions = list(self._memories)
        try:
            for first in range(0, len(sessions), _AT_ONCE):
                await self._save(sessions[first : first + _AT_ONCE])
        except StorageError as error:
            log.warning("hearing_not_saved", reason=str(error))

    async def _save(self, sessions: Sequence[SessionId]) -> None:
        learned = {
            session: memory.serialize()
            for session in sessions
            if (memory := self._memories.get(session)) is not None
        }
        digests = {name: _digest(one) for name, one in learned.items()}
        fresh = {name: learned[name] for name in learned if self._saved.get(name) != digests[name]}
        if fresh:
            await self._store.save_hearing(fresh)
        else:
            await asyncio.sleep(0)  # others have their turn between two portions
        self._saved |= {name: digests[name] for name in fresh if name in self._memories}


def _digest(learned: bytes) -> bytes:
    return blake2b(learned, digest_size=16).digest()
