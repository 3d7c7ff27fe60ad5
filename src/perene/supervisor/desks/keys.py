"""Who may ask: the keys that the database knows, and for a while those that it knew."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

import structlog

from perene.core.clock import Clock, Instant, instant
from perene.core.errors import StorageUnavailable
from perene.supervisor.storage.store import ApiKeys

log = structlog.stdlib.get_logger()

_REMEMBERED_FOR = timedelta(minutes=15)
"""Longer than an onlooker pauses; so long a key may pass that was revoked before an outage."""

_MOST = 100
"""How many keys are remembered: those that were asked for last."""

_PATIENCE_S = 1.0
"""A look-up takes milliseconds; who asks for the health of a service waits ten seconds at most."""

_ASKED_AGAIN_AFTER_S = 10.0
"""So long a question keeps a thread of a database that hangs: one at a time is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A key that the database knew; it was asked at that moment, or later."""

    owner: str
    at: Instant

    def is_fresh(self, now: Instant) -> bool:
        """Tell whether that was not long ago by either clock: a machine that sleeps stops one."""
        passed = now.wall - self.at.wall
        lived_s = now.monotonic - self.at.monotonic
        return (
            timedelta(0) <= passed < _REMEMBERED_FOR and lived_s < _REMEMBERED_FOR.total_seconds()
        )


class Keyholder:
    """Implements `ports.Keys` on the store.

    Of a key that the database knew nothing is kept but its owner and a digest, which is made with a
    secret of this process: it can be compared here, and is of no use elsewhere.
    """

    def __init__(self, store: ApiKeys, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._known: dict[bytes, _Known] = {}
        self._revoked = 0
        self._silent_until = 0.0
        self._answers = True

    async def verify(self, key: str) -> str | None:
        digest, asked_at, revoked = self._digest(key), instant(self._clock), self._revoked
        found = await self._store.verify_api_key(key)
        self._silent_until, self._answers = 0.0, True
        if found is None:
            if self._known.pop(digest, None) is not None:
                self._revoked += 1
            return None
        if revoked == self._revoked:  # else an older answer could undo what a newer one told
            self._remember(digest, _Known(owner=found.name, at=asked_at))
        return found.name

    async def recognise(self, key: str) -> str | None:
        digest = self._digest(key)
        if self._recall(digest) is None:
            return await self.verify(key)
        if self._clock.monotonic() >= self._silent_until:
            try:
                async with self._clock.limit(_PATIENCE_S):
                    return await self.verify(key)
            except StorageUnavailable:
                pass  # it refuses at once, and so can be asked at each occasion
            except TimeoutError:
                self._silent_until = self._clock.monotonic() + _ASKED_AGAIN_AFTER_S
        # Looked for anew: somebody else's question may have found it to be revoked.
        owner = self._recall(digest)
        if owner is None:
            raise StorageUnavailable("the API key cannot be looked up")
        if self._answers:
            self._answers = False
            log.warning("api_keys_not_looked_up", owner=owner)
        return owner

    def _recall(self, digest: bytes) -> str | None:
        now, owner = instant(self._clock), None
        for known, one in self._known.items():
            # Each is compared, and in full: the time taken tells nothing.
            if hmac.compare_digest(known, digest) and one.is_fresh(now):
                owner = one.owner
        return owner

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known.pop(digest, None)
        while len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[digest] = known

    def _digest(self, key: str) -> bytes:
        text = key.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._secret, digest_size=32).digest()
