"""What one connection hears is what the machine behind it is told, and what that asks for is done.

The machine has tests of its own (`tests/unit/core/hearing`); here it does what a test says.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

import pytest

from perene.core import hearing
from perene.core.causes import Local
from perene.core.events import EventType
from perene.core.hearing import (
    Answered,
    Closed,
    Confirmed,
    FalseAlarm,
    Heard,
    Hearing,
    HearingEffect,
    HearingEvent,
    Opened,
    Phase,
    Probe,
    ProbeAnswered,
    ProbeFailed,
    Reason,
    Reopen,
    Sent,
    StanzaKind,
    Ticked,
)
from perene.core.notices import DeafOutcome, HearingDoubted, Notice
from perene.engine.errors import ConnectionEnded, QueryFailed, QueryTimedOut
from perene.engine.listening import HearingMemory, Listening
from perene.engine.phone_ping import PhonePing
from perene.wire.node import Node
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.engine.desk import ANA
from tests.unit.engine.fakes import MemoryStore, line_on, stage_on

NOW_S = int(START.timestamp())


class Ear:
    """One connection's listening, and a machine that notes what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.store = VirtualClock(), MemoryStore()
        self.told: list[HearingEvent] = []
        self.told_at: list[datetime] = []
        self.effects: list[HearingEffect] = []
        """What the machine asks for at the next word."""
        self.due: datetime | None = None
        self.trouble: Exception | None = None
        self.no_keys: Exception | None = None
        self.asked: list[tuple[str, str, str]] = []
        self.phone_asked = 0
        self.notices: list[Notice] = []
        monkeypatch.setattr(hearing, "step", self._step)
        monkeypatch.setattr(hearing, "next_deadline", lambda _state: self.due)
        self.listening = self.connect()

    def connect(self) -> Listening:
        """Listen on another connection, of which nothing is remembered."""
        return Listening(
            line_on(stage_on(self.store), queries=self, clock=self.clock, observer=self),
            memory=HearingMemory(),
            phone_ping=cast("PhonePing", self),
        )

    def _step(
        self, state: Hearing, event: HearingEvent, now: datetime
    ) -> tuple[Hearing, list[HearingEffect]]:
        self.told.append(event)
        self.told_at.append(now)
        if isinstance(event, Ticked):
            self.due = None
        effects, self.effects = self.effects, []
        return Hearing(policy=state.policy), effects

    def notice(self, notice: Notice) -> None:
        self.notices.append(notice)

    async def ask(self, namespace: str, kind: str, *content: Node, timeout_s: float) -> None:
        self.asked.append((namespace, kind, content[0].tag))
        if self.trouble is not None:
            raise self.trouble

    async def send(self) -> bool:
        self.phone_asked += 1
        if self.no_keys is not None:
            raise self.no_keys
        return True

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.listening.run())
        await self.clock.until_asleep(20)
        yield task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def perform(self, effect: HearingEffect) -> None:
        """Let the machine ask for something, and wait until it was done."""
        async with self.running():
            self.effects = [effect]
            self.listening.closed()
            await self.clock.advance(1)
        self.told.remove(Closed())

    @property
    def events(self) -> list[tuple[EventType, object]]:
        return [(event.type, event.payload) for unit in self.store.units for event in unit.events]


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Ear:
    return Ear(monkeypatch)


def stanza(tag: str, **attrs: str) -> Node:
    return Node(tag, {"id": "S1", "from": ANA, **attrs})


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (stanza("message"), [Heard(kind=StanzaKind.MESSAGE)]),
        (stanza("status"), [Heard(kind=StanzaKind.MESSAGE)]),
        (stanza("message", category="peer"), [Heard(kind=StanzaKind.PHONE)]),
        (stanza("receipt"), [Heard(kind=StanzaKind.RECEIPT)]),
        (stanza("receipt", type="peer_msg"), [Heard(kind=StanzaKind.PHONE)]),
        (stanza("notification"), [Heard(kind=StanzaKind.NOTIFICATION)]),
        (stanza("notification", category="peer"), [Heard(kind=StanzaKind.NOTIFICATION)]),
        (stanza("call"), [Heard(kind=StanzaKind.CALL)]),
        (stanza("presence"), [Heard(kind=StanzaKind.OTHER)]),
        (stanza("chatstate"), [Heard(kind=StanzaKind.OTHER)]),
        (stanza("ack", **{"class": "message"}), [Answered()]),
        (stanza("ack", **{"class": "receipt"}), []),
        (stanza("iq"), []),
        (stanza("ib"), []),
        (stanza("success"), []),
    ],
)
def test_only_what_a_deaf_connection_would_not_bring_is_heard(
    ear: Ear, node: Node, told: list[HearingEvent]
) -> None:
    ear.listening.took([node])
    assert ear.told == told


def test_what_came_together_is_told_in_one_word_for_each_kind(ear: Ear) -> None:
    ack = stanza("ack", **{"class": "message"})
    nodes = [ack, stanza("iq"), stanza("message"), stanza("receipt"), stanza("status"), ack]
    ear.listening.took([*nodes, stanza("ib")])
    assert ear.told == [
        Heard(kind=StanzaKind.MESSAGE, count=2),
        Heard(kind=StanzaKind.RECEIPT),
        Answered(),
    ]


@pytest.mark.parametrize(
    ("login", "shift_s"),
    [
        ({"t": str(NOW_S - 60)}, 60),
        ({"t": str(NOW_S + 60)}, -60),
        ({"t": str(NOW_S - 5)}, 5),
        ({"t": str(NOW_S - 4)}, 0),
        ({}, 0),
    ],
)
def test_what_was_queued_came_when_the_server_says_by_the_clock_of_ours(
    ear: Ear, login: dict[str, str], shift_s: int
) -> None:
    ear.listening.opened(Node("success", login))
    ear.listening.took([stanza("message", offline="1", t=str(NOW_S - 3600))])
    ear.listening.took([stanza("message", offline="1")])
    at = START + timedelta(seconds=shift_s - 3600)
    assert ear.told == [
        Opened(),
        Heard(kind=StanzaKind.MESSAGE, queued=True, queued_at=at),
        Heard(kind=StanzaKind.MESSAGE, queued=True),
    ]


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (stanza("message"), [Sent()]),
        (stanza("message", category="peer"), []),
        (stanza("receipt"), []),
    ],
)
def test_a_message_of_the_users_is_owed_an_answer_and_a_word_to_the_phone_is_not(
    ear: Ear, node: Node, told: list[HearingEvent]
) -> None:
    ear.listening.sent(node)
    assert ear.told == told


async def test_time_is_told_when_it_is_due_and_by_a_clock_that_nobody_sets(ear: Ear) -> None:
    ear.due = START + timedelta(seconds=7)
    task = asyncio.create_task(ear.listening.run())
    await ear.clock.until_asleep(7)
    ear.clock.jump(3600)
    await ear.clock.advance(6)
    assert ear.told == []
    await ear.clock.advance(1)
    assert (ear.told, ear.told_at) == ([Ticked()], [START + timedelta(seconds=7)])
    task.cancel()


async def test_a_connection_of_a_machine_that_is_up_for_long_tells_the_time_all_the_same(
    ear: Ear,
) -> None:
    await ear.clock.advance(86_400)
    listening = ear.connect()
    await ear.clock.advance(60)
    listening.closed()
    assert ear.told_at == [ear.clock.now()]


async def test_a_deadline_that_comes_nearer_is_seen_after_a_while(ear: Ear) -> None:
    async with ear.running():
        ear.due = START + timedelta(seconds=3)
        ear.listening.closed()
        await ear.clock.advance(20)
    assert ear.told == [Closed(), Ticked()]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (None, ProbeAnswered(phone_asked=True)),
        (QueryFailed(503, "busy"), ProbeAnswered(phone_asked=True)),
        (QueryTimedOut("no answer"), ProbeFailed()),
    ],
)
async def test_a_probe_asks_the_phone_and_pings(
    ear: Ear, trouble: Exception | None, told: HearingEvent
) -> None:
    ear.trouble = trouble
    await ear.perform(Probe(ask_phone=True))
    assert (ear.told, ear.phone_asked, ear.asked) == ([told], 1, [("w:p", "get", "ping")])


async def test_a_phone_whose_keys_are_not_told_was_not_asked(ear: Ear) -> None:
    ear.no_keys = QueryFailed(503, "busy")
    await ear.perform(Probe(ask_phone=True))
    assert ear.told == [ProbeAnswered(phone_asked=False)]


async def test_a_server_that_tells_no_keys_and_answers_pings_is_alive(ear: Ear) -> None:
    """It may be what makes the connection deaf; one taken for dead would never be given up."""
    ear.no_keys = QueryTimedOut("no answer")
    await ear.perform(Probe(ask_phone=True))
    assert ear.told == [ProbeAnswered(phone_asked=False)]
    assert ear.asked == [("w:p", "get", "ping")]


async def test_a_probe_may_leave_the_phone_in_peace(ear: Ear) -> None:
    await ear.perform(Probe(ask_phone=False))
    assert (ear.told, ear.phone_asked) == ([ProbeAnswered(phone_asked=False)], 0)


SILENCE = timedelta(seconds=100)


async def test_a_connection_that_is_suspected_ends_once_that_is_told(ear: Ear) -> None:
    ear.store.auto = False
    async with ear.running() as task:
        ear.effects = [Reopen(reason=Reason.SILENCE, silence=SILENCE, expected=9.26, doubt=7.0)]
        ear.listening.closed()
        await ear.clock.advance(1)
        assert not task.done()
        ear.store.settle()
        with pytest.raises(ConnectionEnded) as ended:
            await task
    assert ended.value.ending.code == Local.DEAF
    payload = {"phase": "suspected", "silent_s": 100.0, "expected": 9.3, "reason": "silence"}
    assert ear.events == [(EventType.SESSION_DEAF, payload)]
    assert ear.notices == [HearingDoubted()]


@pytest.mark.parametrize(
    ("effect", "payload", "outcome"),
    [
        (
            Confirmed(delay=timedelta(seconds=61.26), silence=SILENCE, expected=9.0),
            {"phase": "confirmed", "noticed_after_s": 61.3},
            DeafOutcome.CONFIRMED,
        ),
        (
            FalseAlarm(paused_for=timedelta(minutes=30), silence=SILENCE, expected=9.0),
            {"phase": "false_alarm", "next_not_before_s": 1800.0},
            DeafOutcome.FALSE_ALARM,
        ),
    ],
)
async def test_what_came_of_a_suspicion_is_told(
    ear: Ear, effect: HearingEffect, payload: dict[str, object], outcome: DeafOutcome
) -> None:
    await ear.perform(effect)
    expected = {**payload, "silent_s": 100.0, "expected": 9.0}
    assert ear.events == [(EventType.SESSION_DEAF, expected)]
    assert ear.notices == [HearingDoubted(outcome=outcome)]


async def test_a_reopened_connection_counts_time_from_where_the_last_one_did() -> None:
    """The wall may be set in between: what one suspected, the next proves in the same time."""
    clock, memory = VirtualClock(), HearingMemory()
    began = memory.counted_from(clock)
    await clock.advance(60)
    memory.state = replace(memory.state, phase=Phase.REOPENING)
    assert memory.counted_from(clock) == began
    memory.state = replace(memory.state, phase=Phase.CLOSED)
    assert memory.counted_from(clock).monotonic == began.monotonic + 60
    kept = memory.counted_from(clock)
    memory.state = replace(memory.state, phase=Phase.REOPENING)
    assert memory.counted_from(clock) == kept


def test_memory_that_cannot_be_read_is_as_good_as_none() -> None:
    memory = HearingMemory()
    assert not memory.recall(b"\xff\x00")
    assert memory.serialize() == HearingMemory().serialize()
