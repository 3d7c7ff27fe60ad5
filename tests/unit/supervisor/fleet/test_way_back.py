"""Who is told that the way is open again, or that the clock was set, and how often."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import pytest
from structlog.testing import capture_logs

from perene.core.ids import SessionId
from perene.core.policy import STABLE_AFTER, Relief
from perene.supervisor.fleet.way_back import WayBack
from perene.supervisor.session.task import SessionTask
from tests.support.virtual_clock import VirtualClock

LOOK_S = 10.0
STABLE_S = STABLE_AFTER.total_seconds()
PROXY = "http://proxy.example"

T = TypeVar("T")


@dataclass(eq=False)
class Task:
    """All that is looked at of a session's task, and when it was told of what."""

    session: SessionId
    clock: VirtualClock
    route: str | None = None
    is_open: bool = False
    is_stable: bool = False
    reliefs: set[Relief] = field(default_factory=set[Relief])
    told: list[tuple[float, Relief]] = field(default_factory=list[tuple[float, Relief]])

    def waits(self, *reliefs: Relief) -> None:
        """Lose the connection, or the attempt at one."""
        self.is_open = self.is_stable = False
        self.reliefs = set(reliefs or [Relief.WAY])

    def opens(self) -> None:
        """Be open, and have been for a while."""
        self.is_open = self.is_stable = True
        self.reliefs = set()

    def waits_for(self, relief: Relief) -> bool:
        return relief in self.reliefs

    def relieve(self, by: Relief) -> None:
        """Try at once, which is in vain."""
        self.told.append((self.clock.monotonic(), by))

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.told]


class Surroundings:
    """Sessions, a network, and what looks at them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.reached = True
        self.looks = 0
        self.tasks: dict[SessionId, Task] = {}
        self.way_back = WayBack(
            clock=self.clock,
            rng=Even(),
            tasks=cast("dict[SessionId, SessionTask]", self.tasks),
            reach=self._reach,
        )

    async def _reach(self) -> bool:
        self.looks += 1
        return self.reached

    def add(self, name: str, route: str | None = None) -> Task:
        session = SessionId(name)
        task = self.tasks[session] = Task(session, self.clock, route)
        return task

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.clock.until_asleep(LOOK_S)
            await self.clock.advance(LOOK_S)
        await self.clock.until_asleep(LOOK_S)


class Even(random.Random):
    """Always in the middle, so that jitter changes nothing; draws whoever comes first."""

    def random(self) -> float:
        return 0.5

    def sample(self, population: Sequence[T], k: int, *, counts: object = None) -> list[T]:
        assert counts is None
        return list(population[:k])


@pytest.fixture
async def around() -> AsyncIterator[Surroundings]:
    found = Surroundings()
    life = asyncio.create_task(found.way_back.run())
    yield found
    life.cancel()
    await asyncio.wait([life])


async def test_all_follow_the_first_that_is_open_for_a_while(around: Surroundings) -> None:
    first, second, third = (around.add(name) for name in ("first", "second", "third"))
    for task in (first, second, third):
        task.waits()
    await around.look(2)
    first.opens()
    first.is_stable = False
    await around.look(2)
    assert (second.told, third.told) == ([], [])
    first.is_stable = True
    await around.look()
    assert second.told == third.told == [(50.0, Relief.WAY)]
    assert around.looks == 2, "who is open shows more than a look from outside"
    assert first.told == []


async def test_who_cannot_get_in_while_another_is_open_is_told_nothing(
    around: Surroundings,
) -> None:
    other, alone = around.add("other"), around.add("alone")
    await around.look()  # both connect: nobody waits yet, and nobody is open
    other.opens()
    alone.waits()
    await around.look(60)
    assert alone.told == []
    assert around.looks == 0, "nothing is asked of a network by which somebody is open"


async def test_who_fails_after_the_way_was_open_again_is_told_nothing(
    around: Surroundings,
) -> None:
    first, second = around.add("first"), around.add("second")
    for task in (first, second):
        task.waits()
    await around.look()
    for task in (first, second):
        task.opens()
    await around.look()
    second.waits()
    await around.look(60)
    assert second.told == []


async def test_whoever_was_told_in_vain_is_told_again_only_after_ever_longer_times(
    around: Surroundings,
) -> None:
    restless, alone = around.add("restless"), around.add("alone")
    alone.waits()
    for _ in range(60):
        restless.waits()
        await around.look()
        restless.opens()
        await around.look()
    pauses = [after - before for before, after in zip(alone.times, alone.times[1:], strict=False)]
    assert pauses == [60, 60, 120, 180, 300]


async def test_whoever_was_open_for_a_while_since_is_told_at_once_again(
    around: Surroundings,
) -> None:
    first, second = around.add("first"), around.add("second")
    for _ in range(3):
        for task in (first, second):
            task.waits()
        await around.look()
        first.opens()
        await around.look()
        second.opens()
        await around.look()
    assert second.times == [20, 50, 80]


async def test_a_session_that_is_gone_since_it_was_told_hinders_nobody(
    around: Surroundings,
) -> None:
    first, gone, third = (around.add(name) for name in ("first", "gone", "third"))
    for task in (gone, third):
        for waiting in (first, task):
            waiting.waits()
        await around.look()
        first.opens()
        await around.look()
        around.tasks.pop(gone.session, None)
    assert (gone.times, third.times) == ([20], [40])


async def test_a_route_is_closed_and_open_for_those_who_take_it(around: Surroundings) -> None:
    near, far, too = around.add("near"), around.add("far", PROXY), around.add("too", PROXY)
    near.opens()
    for task in (far, too):
        task.waits()
    await around.look(2)
    far.opens()
    await around.look()
    assert too.times == [30]
    assert around.looks == 0, "what lies behind a proxy cannot be seen from here"


async def test_a_route_that_nobody_took_for_a_while_is_not_open_again(
    around: Surroundings,
) -> None:
    gone = around.add("gone", PROXY)
    gone.waits()
    await around.look()
    around.tasks.clear()
    await around.look()
    first, alone = around.add("first", PROXY), around.add("alone", PROXY)
    first.opens()
    alone.waits()
    await around.look(10)
    assert alone.told == []


async def test_where_nobody_takes_the_own_way_nothing_is_asked_of_it(around: Surroundings) -> None:
    with capture_logs() as lines:
        await around.look()
        around.add("far", PROXY).waits()
        await around.look(2)
    assert (around.looks, lines) == (0, [])


async def lost_and_back(around: Surroundings) -> None:
    """Let the server be out of reach, and in reach for as long as it takes to believe it."""
    around.reached = False
    await around.look()
    around.reached = True
    await around.look(1 + int(STABLE_S / LOOK_S))


async def test_three_go_ahead_when_the_server_is_back_and_stays(around: Surroundings) -> None:
    far = around.add("far", PROXY)
    tasks = [around.add(f"s{number}") for number in range(5)]
    for task in (*tasks, far):
        task.waits()
    await around.look(6)
    assert not any(task.told for task in tasks), "it was never seen out of reach"
    around.reached = False
    await around.look()
    around.reached = True
    await around.look(2)
    around.reached = False
    await around.look()
    around.reached = True
    await around.look(3)
    assert not any(task.told for task in tasks), "it comes and goes"
    await around.look()
    assert sum(task.times == [140] for task in tasks) == 3
    assert sum(task.told == [] for task in tasks) == 2
    assert far.told == [], "it does not take this way"


async def test_scouts_go_ever_later_after_each_time_in_vain(around: Surroundings) -> None:
    tasks = [around.add(f"s{number}") for number in range(40)]
    far = around.add("far", PROXY)
    for task in tasks:
        task.waits()
    await lost_and_back(around)
    went = around.clock.monotonic()
    for _ in range(30):  # what comes and goes elsewhere is no news of this way
        far.waits()
        await around.look()
        far.opens()
        await around.look()
    times = sorted(time - went for task in tasks for time in task.times)
    assert times == [at for at in (0, 60, 120, 240, 420) for _ in range(3)]


async def test_who_was_told_a_moment_ago_is_not_sent_ahead_in_another_s_place(
    around: Surroundings,
) -> None:
    first, *told = (around.add(f"s{number}") for number in range(4))
    for task in (first, *told):
        task.waits()
    await around.look()
    first.opens()
    await around.look()
    late = around.add("late")
    for task in (first, late):
        task.waits()
    await lost_and_back(around)
    assert [task.times for task in told] == [[20.0]] * 3
    assert first.times == late.times == [70.0]


async def test_scouts_go_at_once_when_the_way_has_been_open_since(around: Surroundings) -> None:
    tasks = [around.add(f"s{number}") for number in range(3)]
    for _ in range(6):
        for task in tasks:
            task.waits()
            task.told.clear()
        await lost_and_back(around)
        assert all(task.told for task in tasks)
        for task in tasks:
            task.opens()
        await around.look()


async def test_what_was_seen_before_somebody_got_in_counts_no_longer(around: Surroundings) -> None:
    task = around.add("s")
    task.waits()
    around.reached = False
    await around.look(2)
    around.reached = True
    await around.look()
    task.opens()
    await around.look()
    task.waits()
    await around.look(10)
    assert task.told == []


async def test_a_clock_that_was_set_is_told_once_to_each_who_waits_for_it(
    around: Surroundings,
) -> None:
    early, other = around.add("early"), around.add("other")
    early.waits(Relief.CLOCK)
    other.waits(Relief.WAY)
    await around.look()
    around.way_back.clock_set()
    await around.look()
    late = around.add("late")
    late.waits(Relief.CLOCK)
    await around.look(30)
    assert early.told == [(20.0, Relief.CLOCK)]
    assert (other.told, late.told) == ([], []), "of a clock that is right already"


async def test_who_may_not_be_told_of_the_clock_yet_is_told_when_it_may(
    around: Surroundings,
) -> None:
    task = around.add("s")
    task.waits(Relief.CLOCK)
    for _ in range(2):
        around.way_back.clock_set()
        await around.look()
    await around.look(30)
    assert task.times == [10, 70]


async def test_who_no_longer_waits_for_the_clock_is_not_told_of_it_later(
    around: Surroundings,
) -> None:
    task = around.add("s")
    task.waits(Relief.CLOCK)
    for _ in range(2):
        around.way_back.clock_set()
        await around.look()
    task.waits(Relief.WAY)
    await around.look()
    task.waits(Relief.CLOCK)
    await around.look(30)
    assert task.times == [10]
