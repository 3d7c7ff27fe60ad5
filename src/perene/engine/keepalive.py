"""Proving that the connection is alive, whatever else it is busy with."""

import asyncio

from perene.core.causes import Local
from perene.core.clock import Clock
from perene.core.notices import Alive, Observer
from perene.engine import endings
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.queries import Queries
from perene.wire.node import Node

ANSWER_WITHIN_S = 20.0
"""WhatsApp Web's own deadline (facts/protocol.md §1.7)."""


class Keepalive:
    """Pings when nothing has been heard for a while, and now and then in any case.

    `heard` is called for everything that arrives. A busy connection needs few pings, but a proof
    at a fixed interval shows in one number that it lives (requirement A5: heartbeat).
    """

    def __init__(
        self,
        *,
        queries: Queries,
        clock: Clock,
        observer: Observer,
        silence_s: float,
        heartbeat_s: float,
    ) -> None:
        self._queries = queries
        self._clock = clock
        self._observer = observer
        self._silence_s = silence_s
        self._heartbeat_s = heartbeat_s
        self._heard_at = clock.monotonic()
        self._proved_at = clock.monotonic()
        self._hurried = asyncio.Event()

    def heard(self) -> None:
        """Something has arrived."""
        self._heard_at = self._clock.monotonic()

    def hurry(self) -> None:
        """Ping at once: the machine may have slept, and the server may be gone."""
        self._hurried.set()

    async def run(self) -> None:
        """Keep on until cancelled; raises ConnectionEnded when no answer comes."""
        while True:
            due = min(self._heard_at + self._silence_s, self._proved_at + self._heartbeat_s)
            wait = due - self._clock.monotonic()
            if wait > 0 and not self._hurried.is_set():
                await self._sleep(wait)
                continue
            self._hurried.clear()
            await self._ping()
            self._proved_at = self._clock.monotonic()
            self._heard_at = max(self._heard_at, self._proved_at)
            self._observer.notice(Alive(at=self._clock.now()))

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless somebody is in a hurry."""
        sleeping = asyncio.create_task(self._clock.sleep(seconds))
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await asyncio.wait((sleeping, hurried), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            hurried.cancel()

    async def _ping(self) -> None:
        try:
            await self._queries.ask("w:p", "get", Node("ping"), timeout_s=ANSWER_WITHIN_S)
        except QueryTimedOut as error:
            raise endings.local(
                Local.KEEPALIVE, "The server did not answer a keepalive."
            ) from error
        except QueryFailed:
            # Any answer proves that somebody is there.
            return
