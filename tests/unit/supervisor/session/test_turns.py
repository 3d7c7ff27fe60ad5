"""A session at the start gate, among others."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from perene.core.causes import Local
from perene.core.events import EventType
from perene.core.machines.inputs import Start
from perene.core.notices import Notice, Opened, QrShown
from perene.core.sessions import Connection
from perene.supervisor.gate.start_gate import HOLD_S, StartGate
from perene.supervisor.gate.turns import Priority, Turn
from tests.support.endings import LOST, local
from tests.support.virtual_clock import START
from tests.unit.supervisor.session.one import OneSession


class Others:
    """Other sessions at the same gate, which stay inside until they are told to end."""

    def __init__(self, gate: StartGate) -> None:
        self._gate = gate
        self._end = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.turns: list[Turn] = []

    async def come(self, priority: int = 0) -> None:
        self._tasks.append(asyncio.create_task(self._stay(Priority(priority))))
        await asyncio.sleep(0)

    async def go(self) -> None:
        self._end.set()
        await asyncio.gather(*self._tasks)

    async def _stay(self, priority: Priority) -> None:
        async with self._gate.turn(priority) as turn:
            self.turns.append(turn)
            await self._end.wait()


async def test_a_session_whose_first_attempt_failed_lets_ready_ones_go_first(
    one: OneSession,
) -> None:
    await one.end(1, local(Local.UNREACHABLE))
    await one.clock.until_asleep(1, within=0.1)
    failing = Others(one.gate)
    for _ in range(8):
        await failing.come(5)
    await one.clock.advance(1.1)
    assert (len(one.engines), one.gate.waiting) == (1, 1), "it waits for the places of the failing"
    await failing.go()
    await one.engine(2)


async def test_a_session_that_lost_its_connection_is_ready(one: OneSession) -> None:
    (await one.engine(1)).observer.notice(Opened(at=one.clock.now()))
    failing = Others(one.gate)
    for _ in range(8):
        await failing.come(5)
    await one.end(1, LOST)
    await one.next_attempt()
    assert (len(one.engines), one.gate.waiting) == (2, 0)
    await failing.go()


async def test_a_session_that_is_stuck_gives_way_once_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = OneSession(at_once=1)
    others = Others(one.gate)
    said, turn = list[bool](), one.gate.turn

    def note(
        priority: Priority, *, route: str | None = None, gave_way: bool = False
    ) -> AbstractAsyncContextManager[Turn]:
        said.append(gave_way)
        return turn(priority, route=route, gave_way=gave_way)

    one.running = asyncio.create_task(one.task.run(first=Start(by_person=False)))
    stuck = await one.engine(1)
    for _ in range(3):
        await others.come()
        await one.clock.advance(HOLD_S)
    others.turns[0].leave()
    await others.come()
    await one.clock.advance(HOLD_S)
    assert not stuck.ending.cancelled(), "there is room beside it"
    await others.come()
    await one.clock.advance(HOLD_S)
    await one.clock.until_asleep(1, within=0.1)
    assert stuck.ending.cancelled()
    (ended,) = one.events(EventType.SESSION_DISCONNECTED)
    assert ended["cause"] == "handshake_timeout"
    monkeypatch.setattr(one.gate, "turn", note)
    await one.clock.advance(10)
    assert said == [True], "it need not give way to its equals again"
    assert (len(one.engines), one.gate.waiting) == (1, 1), "those that are ready stay inside"
    await others.go()
    (await one.engine(2)).observer.notice(Opened(at=one.clock.now()))
    assert one.state is Connection.OPEN
    said.clear()
    await one.end(2, LOST)
    await one.next_attempt()
    await one.engine(3)
    assert said == [False], "it was up since"
    one.task.stop()
    await one.running


@pytest.mark.parametrize("notice", [Opened(at=START), QrShown(text="qr", expires_at=START)])
async def test_whoever_got_through_keeps_nobody_from_beginning(notice: Notice) -> None:
    one = OneSession(at_once=1)
    others = Others(one.gate)
    one.running = asyncio.create_task(one.task.run(first=Start(by_person=False)))
    engine = await one.engine(1)
    await others.come()
    assert (one.gate.inside, one.gate.waiting) == (1, 1)
    engine.observer.notice(notice)
    assert (len(others.turns), one.gate.waiting) == (0, 0)
    await asyncio.sleep(0)
    assert len(others.turns) == 1
    await others.go()
    assert one.gate.inside == 0
    one.task.stop()
    await one.running


async def test_an_attempt_that_still_waits_for_its_turn_is_not_made_beside_the_one_after_it() -> (
    None
):
    one = OneSession(at_once=1)
    others = Others(one.gate)
    await others.come()
    one.running = asyncio.create_task(one.task.run(first=Start(by_person=False)))
    await one.settled(Connection.CONNECTING)
    while not one.gate.waiting:  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0)
    for _ in range(2):
        one.task.restart()
        await asyncio.sleep(0)
        await one.settled(Connection.CONNECTING)
    await others.go()
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now()))
    assert (len(one.engines), one.gate.waiting) == (1, 0)
    one.task.stop()
    await one.running
    assert len(one.engines) == 1
