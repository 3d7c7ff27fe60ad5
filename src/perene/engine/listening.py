"""Noticing that a connection is deaf: the shell of `perene.core.hearing` on one connection.

What is fed is what was processed, not what arrived: a connection whose processing hangs delivers
nothing either, and opening it anew is the cure for both (Baileys#2491, 2026-04).
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from perene.core import hearing
from perene.core.causes import Local
from perene.core.clock import Clock, Instant, happens_within, instant
from perene.core.events import Event, EventType, Json
from perene.core.hearing import (
    Confirmed,
    FalseAlarm,
    Hearing,
    HearingEffect,
    HearingEvent,
    HearingPolicy,
    Phase,
    Probe,
    Reopen,
    StanzaKind,
)
from perene.core.notices import DeafOutcome, HearingDoubted
from perene.engine import endings
from perene.engine.draft import Draft
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.keepalive import ANSWER_WITHIN_S
from perene.engine.line import Line
from perene.engine.phone_ping import PhonePing, is_between_own_devices
from perene.engine.stanza import small_number
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_LOOK_S = 20.0
"""The longest time between two looks; a deadline that comes nearer is seen after so long."""

_KINDS = {
    "message": StanzaKind.MESSAGE,
    "status": StanzaKind.MESSAGE,
    "notification": StanzaKind.NOTIFICATION,
    "call": StanzaKind.CALL,
    "receipt": StanzaKind.RECEIPT,
    "presence": StanzaKind.OTHER,
    "chatstate": StanzaKind.OTHER,
}
"""What the server sends by itself. An `<iq>`, an `<ack>` or an `<ib>` proves nothing: a deaf
connection still gets those."""

_LATEST = 2**33

_AGREED = timedelta(seconds=5)
"""Two clocks that differ by less agree: the server's times are whole seconds, and travel."""


class HearingMemory:
    """What was learned of one session's traffic. Its owner keeps it from connection to connection.

    About 5 KB, also as stored; it never grows beyond.
    """

    def __init__(self, policy: HearingPolicy | None = None) -> None:
        self.state = Hearing(policy=policy or HearingPolicy())
        self._counted_from: Instant | None = None

    def counted_from(self, clock: Clock) -> Instant:
        """Return the moment that a connection made now counts time from, by the steady clock.

        The wall may be set while we listen, and between two connections. What one suspected and the
        next is to prove has to be told in the same time.
        """
        if self._counted_from is None or self.state.phase is not Phase.REOPENING:
            self._counted_from = instant(clock)
        return self._counted_from

    def serialize(self) -> bytes:
        """Return what was learned, to be stored; it may be read at any time."""
        return hearing.serialize(self.state)

    def recall(self, stored: bytes) -> bool:
        """Go on from what was stored, at any time; False if it cannot be read."""
        learned = hearing.parse(stored, self.state.policy)
        if learned is not None:
            self.state = hearing.recalled(self.state, learned)
        return learned is not None


class Listening:
    """Feeds one connection's traffic to its session's memory, and does what follows."""

    def __init__(self, line: Line, *, memory: HearingMemory, phone_ping: PhonePing) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._observer = line.observer
        self._memory = memory
        self._phone_ping = phone_ping
        self._began = memory.counted_from(line.clock)
        self._ahead = timedelta()
        """By how much our clock is ahead of the server's, as its login told; 0 if they agree."""
        self._to_perform: list[HearingEffect] = []
        self._due = asyncio.Event()
        """Set when there is something to perform."""
        self._asked_of: Hearing | None = None
        """The state whose deadline is the one below: to ask for it costs milliseconds."""
        self._deadline_of_it: datetime | None = None

    def opened(self, success: Node) -> None:
        """The login succeeded. Call it before the first stanza of the queue is processed."""
        said = server_stamp(success)
        self._ahead = self._now() - said if said is not None else timedelta()
        if abs(self._ahead) < _AGREED:
            self._ahead = timedelta()
        self._step(hearing.Opened())

    def closed(self) -> None:
        """The connection is over."""
        self._step(hearing.Closed())

    def sent(self, node: Node) -> None:
        """A node of ours has left; a message is owed an answer."""
        if node.tag == "message" and node.attrs.get("category") != "peer":
            self._step(hearing.Sent())

    def took(self, nodes: Sequence[Node]) -> None:
        """These stanzas of the server were processed."""
        live: Counter[StanzaKind] = Counter()
        answered = False
        for node in nodes:
            kind = StanzaKind.PHONE if is_between_own_devices(node) else _KINDS.get(node.tag)
            if kind is None:
                answered = answered or (node.tag, node.attrs.get("class")) == ("ack", "message")
            elif "offline" in node.attrs:
                self._took_queued(kind, server_stamp(node))
            else:
                live[kind] += 1
        for kind, count in live.items():
            self._step(hearing.Heard(kind=kind, count=count))
        if answered:
            self._step(hearing.Answered())

    def _took_queued(self, kind: StanzaKind, stamp: datetime | None) -> None:
        at = None if stamp is None else stamp + self._ahead
        self._step(hearing.Heard(kind=kind, queued=True, queued_at=at))

    async def run(self) -> None:
        """Watch until cancelled; raises ConnectionEnded(DEAF) when it is time to log in anew.

        Raises StorageError when an event cannot be committed.
        """
        while True:
            deadline = self._deadline()
            if deadline is not None and self._now() >= deadline:
                self._step(hearing.Ticked())
            while self._to_perform:
                await self._perform(self._to_perform.pop(0))
            await self._wait()

    def _deadline(self) -> datetime | None:
        """Return the machine's deadline; it costs milliseconds, so only a new state is asked."""
        state = self._memory.state
        if state is not self._asked_of:
            self._asked_of, self._deadline_of_it = state, hearing.next_deadline(state)
        return self._deadline_of_it

    async def _wait(self) -> None:
        deadline = self._deadline()
        left_s = _LOOK_S if deadline is None else (deadline - self._now()).total_seconds()
        await happens_within(self._clock, self._due, min(max(left_s, 1.0), _LOOK_S))
        self._due.clear()

    def _now(self) -> datetime:
        passed_s = self._clock.monotonic() - self._began.monotonic
        return self._began.wall + timedelta(seconds=passed_s)

    def _step(self, event: HearingEvent) -> None:
        self._memory.state, effects = hearing.step(self._memory.state, event, self._now())
        if effects:
            self._to_perform.extend(effects)
            self._due.set()

    async def _perform(self, effect: HearingEffect) -> None:
        match effect:
            case Probe():
                self._step(await self._probe(ask_phone=effect.ask_phone))
            case Reopen():
                self._observer.notice(HearingDoubted())
                await self._tell("suspected", effect, reason=effect.reason.value)
                raise endings.local(
                    Local.DEAF,
                    "Pings are answered, but nothing is delivered"
                    f" ({effect.reason.value}, {effect.silence.total_seconds():.0f} s).",
                )
            case Confirmed():
                self._observer.notice(HearingDoubted(outcome=DeafOutcome.CONFIRMED))
                delay_s = round(effect.delay.total_seconds(), 1)
                await self._tell("confirmed", effect, noticed_after_s=delay_s)
            case FalseAlarm():
                self._observer.notice(HearingDoubted(outcome=DeafOutcome.FALSE_ALARM))
                pause_s = effect.paused_for.total_seconds()
                await self._tell("false_alarm", effect, next_not_before_s=pause_s)

    async def _probe(self, *, ask_phone: bool) -> HearingEvent:
        asked = ask_phone and await self._ask_phone()
        try:
            await self._queries.ask("w:p", "get", Node("ping"), timeout_s=ANSWER_WITHIN_S)
        except QueryTimedOut:
            return hearing.ProbeFailed()
        except QueryFailed:
            pass  # any answer proves that the server reads us
        return hearing.ProbeAnswered(phone_asked=asked)

    async def _ask_phone(self) -> bool:
        try:
            return await self._phone_ping.send()
        except (QueryFailed, QueryTimedOut):
            # Only the ping tells whether the connection is dead: a server that answers nothing else
            # may be just what makes it deaf.
            return False

    async def _tell(
        self, phase: str, what: Reopen | Confirmed | FalseAlarm, **more: str | float
    ) -> None:
        payload: dict[str, Json] = {
            "phase": phase,
            "silent_s": round(what.silence.total_seconds(), 1),
            "expected": round(what.expected, 1),
            **more,
        }
        log.warning("connection_deaf", **payload)
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.events.append(
                Event(type=EventType.SESSION_DEAF, at=self._clock.now(), payload=payload)
            )
            committed = draft.submit()
            self._answers.put(committed)
        await asyncio.shield(committed)


def server_stamp(node: Node) -> datetime | None:
    """Return when the server says that it sent a node, None if it does not."""
    seconds = small_number(node.attrs.get("t", ""), most=_LATEST)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
