"""Proving that the connection is alive, whatever else it is busy with."""

import asyncio
from typing import Protocol

from perene.core.causes import Local
from perene.core.clock import Clock, happens_within
from perene.core.notices import Alive, Observer
from perene.engine import endings
from perene.engine.errors import ConnectionEnded, QueryFailed, QueryTimedOut
from perene.engine.queries import Queries
from perene.wire.node import Node

ANSWER_WITHIN_S = 20.0
"""WhatsApp Web's own deadline (docs/reference/protocol.md §1.7)."""

FIRST_SILENCE_S = 5.0
"""Silence after a login until the first ping. With the time for its answer that is less than the
30 s after which a connection counts as stable: where large packets vanish (a path whose MTU nobody
tells), a login works, all that follows is dead, and the count of attempts would begin anew each
time."""

PATIENCE_S = 300.0
"""How long a connection that brings something may leave every ping unanswered. On a slow link the
answer comes behind what was sent before it: a megabyte takes 130 s at 64 kbit/s."""

ARRIVES_WITHIN_S = 10.0
"""How often something must come by a connection that leaves a ping unanswered."""

BEATS = 2
"""Pings within the time that may pass without a proof: a single one may be answered late."""


class Reading(Protocol):
    """The side of the connection that takes what the server sends."""

    pauses: int

    @property
    def is_paused(self) -> bool: ...


class Writing(Protocol):
    """The side of the connection that gives what the server is to get."""

    @property
    def is_stuck(self) -> bool: ...


class Keepalive:
    """Pings when nothing has been heard for a while, and at a fixed beat in any case.

    `heard` is called for all that arrives, also for a part of what is not whole yet; a busy
    connection needs no ping for silence. The heartbeat does not depend on that, nor on the
    processing: twice in `heartbeat_s`, every 15 s by default, the server is asked to prove that it
    is there (requirements A5, C2). The first ping comes after a silence of `first_silence_s`
    already.
    """

    def __init__(
        self,
        *,
        queries: Queries,
        clock: Clock,
        observer: Observer,
        reading: Reading,
        writing: Writing,
        silence_s: float,
        heartbeat_s: float,
        first_silence_s: float,
    ) -> None:
        self._queries = queries
        self._clock = clock
        self._observer = observer
        self._reading = reading
        self._writing = writing
        self._silence_s = silence_s
        self._until_ping_s = min(silence_s, first_silence_s)
        """The silence that the next ping comes after."""
        self._beat_s = heartbeat_s / BEATS
        self._heard_at = clock.monotonic()
        self._asked_at = clock.monotonic()
        self._answered_at = clock.monotonic()
        self._is_overdue = False
        """Whether the last ping was left unanswered, while something arrived."""
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
            due = min(self._heard_at + self._until_ping_s, self._asked_at + self._beat_s)
            wait = due - self._clock.monotonic()
            if wait > 0 and not self._is_overdue and not self._hurried.is_set():
                await happens_within(self._clock, self._hurried, wait)
                continue
            hurried = self._hurried.is_set()
            self._hurried.clear()
            # The beat counts from question to question: answers that take long slow nothing down.
            self._asked_at = self._clock.monotonic()
            self._until_ping_s = self._silence_s
            if await self._is_answered(hurried=hurried):
                self._heard_at = self._answered_at = self._clock.monotonic()
                self._observer.notice(Alive(at=self._clock.now()))

    async def _is_answered(self, *, hurried: bool) -> bool:
        """Ask for a proof. False if there is none, but the answer may lie in the socket unread, or
        be on its way behind what still arrives.

        Raises ConnectionEnded if the server had its chance.
        """
        pauses, paused = self._reading.pauses, self._reading.is_paused
        limit_s = ARRIVES_WITHIN_S if self._is_overdue else ANSWER_WITHIN_S
        self._is_overdue = False
        try:
            await self._queries.ask("w:p", "get", Node("ping"), timeout_s=limit_s)
        except QueryTimedOut as error:
            if paused or self._reading.pauses > pauses:
                return False
            if self._is_arriving:
                self._is_overdue = True
                return False
            raise self._ending(hurried=hurried or self._hurried.is_set()) from error
        except QueryFailed:
            # Any answer proves that somebody is there.
            return True
        return True

    @property
    def _is_arriving(self) -> bool:
        """Whether something came a moment ago, and that has not gone on for too long.

        The server hears us then: without our acknowledgements TCP would soon send nothing more.
        That is no proof of one that has stopped to read.
        """
        now = self._clock.monotonic()
        recent = now < self._heard_at + ARRIVES_WITHIN_S
        patient = now < self._answered_at + PATIENCE_S
        return recent and patient and not self._writing.is_stuck

    def _ending(self, *, hurried: bool) -> ConnectionEnded:
        if hurried:
            return endings.local(
                Local.CLOCK_JUMP, "After the clock had jumped, the server did not answer."
            )
        if self._writing.is_stuck:
            return endings.local(Local.HALF_OPEN, "The socket did not even take a keepalive.")
        return endings.local(Local.KEEPALIVE, "The server did not answer a keepalive.")
