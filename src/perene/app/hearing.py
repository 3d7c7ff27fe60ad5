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
    """What keeps the memories. All raise StorageError."""

    async def learned_hearing(self) -> dict[SessionId, bytes]: ...

    async def learned_hearing_of(self, session: SessionId) -> bytes | None: ...

    async def save_hearing(self, learned: dict[SessionId, bytes]) -> None: ...


class Hearings:
    """The memory of each session, about 5 KB. `run` is its life; delay does no harm.

    A session whose memory could not be read yet listens without, is suspected of nothing by its
    silence, and is not stored. What can be read and makes no sense is learned again.
    """

    def __init__(
        self, store: HearingStore, clock: Clock, policy: HearingPolicy | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._policy = policy or HearingPolicy()
        self._memories: dict[SessionId, HearingMemory] = {}
        self._is_loaded = False
        self._unread: dict[SessionId, bytes] = {}
        self._owed: dict[SessionId, None] = {}
        """Sessions that live without knowing what is stored of them, in the order of asking."""
        self._told: set[SessionId] = set()
        self._saved: dict[SessionId, bytes] = {}
        """Digests of what is stored, which is forty times as long."""

    def of(self, session: SessionId) -> HearingMemory:
        """Return the memory of a session, a new one if there is none."""
        memory = self._memories.get(session)
        if memory is None:
            memory = self._memories[session] = HearingMemory(self._policy)
            if self._is_loaded:
                self._recall(session, memory, self._unread.pop(session, None))
            else:
                self._owed[session] = None
        return memory

    def forget(self, session: SessionId) -> None:
        """Let go of what a session has learned."""
        for kept in (self._memories, self._unread, self._owed, self._saved):
            kept.pop(session, None)
        self._told.discard(session)

    async def load(self) -> None:
        """Fetch what earlier runs have stored; each is read when it is asked for.

        Never fails: what cannot be fetched is read by `run`.
        """
        try:
            self._unread = dict(await self._store.learned_hearing())
            self._is_loaded = True
        except StorageError as error:
            log.warning("hearing_not_loaded", reason=str(error))

    async def run(self) -> None:
        """Read what is owed and store what is new every quarter of an hour, until cancelled."""
        while True:
            await self._clock.sleep(_EVERY_S)
            await self._catch_up()
            await self.save()

    async def _catch_up(self) -> None:
        """Read one by one what could not be fetched: a damaged row hides no other for long."""
        for session in tuple(self._owed):
            memory = self._memories.get(session)
            try:
                learned = await self._store.learned_hearing_of(session)
            except StorageError as error:
                self._put_off(session, error)
                return  # when the database is away, each would take its time
            # Else it was forgotten meanwhile, and perhaps made anew.
            if memory is not None and self._memories.get(session) is memory:
                del self._owed[session]
                self._recall(session, memory, learned)

    def _put_off(self, session: SessionId, error: StorageError) -> None:
        """Have all others read before one that could not be."""
        if session in self._owed:
            del self._owed[session]
            self._owed[session] = None
            if session not in self._told:
                self._told.add(session)
                log.warning("hearing_not_read", session=session, reason=str(error))

    def _recall(self, session: SessionId, memory: HearingMemory, learned: bytes | None) -> None:
        if learned is None:
            return
        if memory.recall(learned):
            self._saved[session] = _digest(learned)
        else:
            # It is no use to anybody; what is learned from now on is stored in its place.
            log.warning("hearing_unreadable", session=session, size=len(learned))

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
            if (memory := self._memories.get(session)) is not None and session not in self._owed
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
