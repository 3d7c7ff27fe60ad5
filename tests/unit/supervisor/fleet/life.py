"""A supervisor that lives, for the tests of what it does meanwhile."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.ids import SessionId
from perene.core.outages import Outage
from perene.core.standing import Standing
from perene.supervisor.fleet.supervisor import Supervisor
from tests.support.endings import LOST
from tests.support.turns import turns
from tests.unit.supervisor.fakes import BEGUN_AT_ONCE, FakeEngine, World

ANA, BOB, CAT = SessionId("ana"), SessionId("bob"), SessionId("cat")


async def begin(world: World) -> "asyncio.Task[None]":
    life = asyncio.create_task(world.supervisor.run())
    await turns()
    return life


async def begin_many(
    world: World, *, waiting: int
) -> tuple["asyncio.Task[None]", Sequence[SessionId]]:
    """Begin with so many sessions more than begin in one moment; return those that wait, too."""
    names = [f"s{number}" for number in range(BEGUN_AT_ONCE + waiting)]
    for name in names:
        world.store.add(name)
    life = await begin(world)
    return life, [SessionId(name) for name in names[BEGUN_AT_ONCE:]]


async def end(world: World, life: "asyncio.Task[None]") -> None:
    world.supervisor.close()
    async with asyncio.timeout(10):
        await life


async def started(world: World, *, paired: bool = False) -> FakeEngine:
    """Add ana, start her, and return her first connection."""
    world.store.add("ana", paired=paired)
    await world.supervisor.start(ANA)
    return await world.engine("ana")


async def gone(supervisor: Supervisor, session: SessionId) -> None:
    """Let the session's task end, which nothing holds up."""
    await turns()
    assert not supervisor.roster.is_running(session)


async def fail_in_an_outage(world: World) -> None:
    """Lose Ana's connection, and let her task die of a bug at the next attempt."""
    world.store.add("ana", paired=True)
    await world.supervisor.start(ANA)
    (await world.engine("ana")).end(LOST)
    await turns()
    world.broken.add(ANA)
    await world.clock.advance(1)
    await world.clock.until_asleep(5)
    world.broken.clear()
    assert outage_of(world) is not None


async def fail_six_times(world: World) -> FakeEngine:
    """Let ana's tasks die until the next bug costs her 65 s; return the connection of the last."""
    world.store.add("ana", paired=True)
    world.broken.add(ANA)
    await world.supervisor.start(ANA)
    for wait in (5, 5, 10, 15, 25):
        await world.clock.until_asleep(wait)
        await world.clock.advance(wait)
    await world.clock.until_asleep(40)
    world.broken.clear()
    await world.clock.advance(40)
    return await world.engine("ana")


def outage_of(world: World) -> Outage | None:
    return Standing.parse(world.store.records[ANA].standing).outage


async def asked_about(world: World, monkeypatch: pytest.MonkeyPatch) -> Sequence[SessionId]:
    """Return the sessions of which the store is asked, by nobody's wish, within a minute."""
    asked = list[SessionId]()
    monkeypatch.setattr(world.store, "get_session", asked.append)
    await world.clock.advance(60)
    await turns()
    return asked


async def refused(world: World, change: Coroutine[Any, Any, None]) -> None:
    """Let a change wait for the database until it is refused."""
    changing = asyncio.create_task(change)
    for wait_s in (2, 4):
        await world.clock.until_asleep(wait_s)
        await world.clock.advance(wait_s)
    with pytest.raises(StorageUnavailable):
        await changing


class SlowAnswer:
    """Holds up one answer of the store to one question, after it was made: the n-th, from 0."""

    def __init__(
        self, world: World, monkeypatch: pytest.MonkeyPatch, method: str, number: int = 0
    ) -> None:
        left = iter(range(number, -1, -1))
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        inner = getattr(world.store, method)

        async def ask(*arguments: object, **named: object) -> object:
            answer = await inner(*arguments, **named)
            if next(left, None) == 0:
                self.waiting.set()
                await self.go_on.wait()
            return answer

        monkeypatch.setattr(world.store, method, ask)
