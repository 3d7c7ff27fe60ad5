"""Who may ask: the keys that the database knows, and for a while those that it knew."""

import asyncio
import contextlib
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from perene.core.clock import Clock, Instant, instant
from perene.core.errors import StorageError, StorageUnavailable
from perene.supervisor.ports import Caller
from perene.supervisor.storage.impatient_reads import ImpatientReads
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.store import ApiKeys

log = structlog.stdlib.get_logger()

_REMEMBERED_FOR = timedelta(minutes=15)
"""Longer than an onlooker pauses; so long a key may pass that was revoked unseen."""

_MOST = 100
"""How many keys are remembered: those that were asked for last."""

_PATIENCE_S = 1.0
"""A look-up takes milliseconds; who asks for the health of a service waits ten seconds at most."""

_LOOK_AGAIN_AFTER_S = 10.0
"""So long a look keeps a thread of a database that hangs: one at a time is enough."""

LOOK_EVERY_S = 2.0
"""Keys are revoked in the database, by another process: so long that can stay unseen by what does
not ask it, which is an event stream that is open, and memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A key that the database knew; it was asked at that moment, or later."""

    caller: Caller
    at: Instant

    def is_fresh(self, now: Instant) -> bool:
        """Tell whether that was not long ago by either clock: a machine that sleeps stops one."""
        passed = now.wall - self.at.wall
        lived_s = now.monotonic - self.at.monotonic
        return (
            timedelta(0) <= passed < _REMEMBERED_FOR and lived_s < _REMEMBERED_FOR.total_seconds()
        )


class Keyholder:
    """Implements `ports.Keys` on the store. `run` is the part of its life that looks for changes.

    Of a key that the database knew nothing is kept but its owner and a digest, which is made with a
    secret of this process: it can be compared here, and is of no use elsewhere.

    A database that restarts is waited for (`retries`) by whoever cannot be answered from memory.
    """

    def __init__(self, store: ApiKeys, clock: Clock, retries: Retries) -> None:
        self._store = store
        self._clock = clock
        self._retries = retries
        self._secret = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._names: dict[str, str] = {}
        """The keys that there are, as far as is known, by their ids."""
        self._listed: frozenset[str] | None = None
        self._revocations = 0
        self._changed = asyncio.Event()
        self._reads = ImpatientReads(clock, patience_s=_PATIENCE_S)
        self._answers = True

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
                pause_s = LOOK_EVERY_S
            except StorageError:  # others tell that the database is away
                pause_s = _LOOK_AGAIN_AFTER_S
            await self._clock.sleep(pause_s)

    async def look(self) -> None:
        """See which keys were made and revoked; a revoked one is forgotten, wherever it counts."""
        before, revocations = frozenset(self._names), self._revocations
        found = {key.id: key.name for key in await self._store.list_api_keys()}
        undisturbed = revocations == self._revocations
        for gone in sorted(before - found.keys()):  # one that was verified meanwhile may be newer
            self._forget(gone)
        if undisturbed:
            self._names |= found
        if self._listed is not None:
            for new in sorted(found.keys() - self._listed):
                log.info("api_key_created", key_id=new, owner=found[new])
        self._listed = frozenset(found)

    async def verify(self, key: str) -> Caller | None:
        return await self._retries.ask(partial(self._look_up, key))

    async def _look_up(self, key: str) -> Caller | None:
        digest, asked_at, revocations = self._digest(key), instant(self._clock), self._revocations
        found = await self._store.verify_api_key(key)
        self._reads.answered()
        self._answers = True
        if found is None:
            if known := self._known.get(digest):
                self._forget(known.caller.id)
            return None
        caller = Caller(id=found.id, name=found.name)
        # Else an older answer could undo what a newer one told.
        if revocations == self._revocations:
            self._names[caller.id] = caller.name
            self._remember(digest, _Known(caller=caller, at=asked_at))
        return caller

    async def recognise(self, key: str) -> Caller | None:
        digest = self._digest(key)
        if self._recall(digest) is None:
            return await self._look_up(key)
        with contextlib.suppress(StorageUnavailable):
            return await self._reads.ask(partial(self._look_up, key))
        # Looked for anew: somebody else's question may have found it to be revoked.
        caller = self._recall(digest)
        if caller is None:
            raise StorageUnavailable("the API key cannot be looked up")
        if self._answers:
            self._answers = False
            log.warning("api_keys_not_looked_up", owner=caller.name)
        return caller

    async def revoked(self, key_id: str) -> None:
        while key_id in self._names:
            await self._changed.wait()

    def _recall(self, digest: bytes) -> Caller | None:
        now, caller = instant(self._clock), None
        for known, one in self._known.items():
            # Each is compared, and in full: the time taken tells nothing.
            if hmac.compare_digest(known, digest) and one.is_fresh(now):
                caller = one.caller
        return caller

    def _forget(self, key_id: str) -> None:
        self._known = {
            digest: known for digest, known in self._known.items() if known.caller.id != key_id
        }
        self._revocations += 1
        name = self._names.pop(key_id, None)
        if name is not None:
            log.info("api_key_revoked", key_id=key_id, owner=name)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known.pop(digest, None)
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[digest] = known

    def _digest(self, key: str) -> bytes:
        text = key.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._secret, digest_size=32).digest()
