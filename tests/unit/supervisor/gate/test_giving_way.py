"""When all is taken: who must give way to whom, and who never does."""

import asyncio
from contextlib import suppress

from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.gate.turns import Priority
from tests.support.virtual_clock import VirtualClock
from tests.unit.supervisor.gate.crowd import (
    FAST,
    Crowd,
    crowd,
)


async def test_those_that_are_slow_are_never_more_than_four_times_the_places() -> None:
    async with crowd(at_once=2, hold_s=5) as sessions:
        for number in range(20):
            await sessions.come(f"stuck {number}")
        await sessions.clock.advance(1000)
        assert (sessions.gate.inside, sessions.gate.most) == (8, 8)
        assert sessions.gave_way == [], "nobody got in, so nobody is known to be stuck"


async def test_of_the_four_parts_failing_sessions_never_take_one() -> None:
    async with crowd(at_once=2, hold_s=5) as sessions:
        for number in range(20):
            await sessions.come(f"failing {number}", 1 + number % 3)
        await sessions.clock.advance(1000)
        assert sessions.gate.inside == 6
        await sessions.come("ready")
        await sessions.come("ready, too")
        assert sessions.names[6:] == ["ready", "ready, too"]
        assert sessions.gave_way == []


async def test_when_all_is_taken_who_is_stuck_gives_way_the_one_inside_for_longest_first() -> None:
    async with crowd(at_once=1, hold_s=5) as sessions:
        for number in range(3):
            await sessions.come(f"stuck {number}")
            await sessions.clock.advance(5)
        for name in ("quick", "next 0", "next 1", "next 2", "next 3"):
            await sessions.come(name)
        await sessions.clock.advance(10)
        assert sessions.names[3:] == ["quick"]
        assert sessions.gave_way == [], "nobody got in since they began"
        await sessions.open("quick")
        assert sessions.names[4:] == ["next 0"], "there is room, for one"
        await sessions.clock.advance(4.9)
        assert sessions.gave_way == [], "the only place is taken"
        for number in range(3):
            await sessions.clock.advance(0.1)
            assert sessions.names[5 + number :] == [f"next {number + 1}"]
            assert sessions.gave_way[number:] == [f"stuck {number}"]
            assert sessions.gate.inside == 4
            await sessions.clock.advance(4.9)


async def test_of_those_who_must_give_way_the_ones_that_failed_go_first() -> None:
    async with crowd(at_once=1, hold_s=5) as sessions:
        for name, priority in (("ready", 0), ("failed often", 9), ("failed", 1)):
            await sessions.come(name, priority)
            await sessions.clock.advance(5)
        for number in range(4):
            await sessions.come(f"next {number}")
            await sessions.clock.advance(5)
        assert sessions.gave_way == ["failed often", "failed"]


async def test_among_equals_a_session_gives_way_but_once() -> None:
    async with crowd(at_once=1, hold_s=5) as sessions:
        for number in range(3):
            await sessions.come(f"stuck {number}", 1, gave_way=True)
            await sessions.clock.advance(5)
        await sessions.come("quick")
        await sessions.open("quick")
        await sessions.come("equal", 1)
        await sessions.clock.advance(1000)
        assert "equal" not in sessions.names
        for name in ("ready", "ready, too"):
            await sessions.come(name)
            await sessions.clock.advance(5)
        assert sessions.names[-2:] == ["ready", "ready, too"]
        assert sessions.gave_way == ["stuck 0"], "to one that failed less it gives way again"


async def test_failing_sessions_that_are_slow_give_way_to_ready_ones_though_nobody_gets_in() -> (
    None
):
    async with crowd(at_once=1, hold_s=5) as sessions:
        for number in range(3):
            await sessions.come(f"failing {number}", 1, gave_way=True)
            await sessions.clock.advance(5)
        for number in range(5):
            await sessions.come(f"ready {number}")
        assert sessions.names[3:] == ["ready 0"]
        await sessions.clock.advance(100)
        assert sessions.names[3:] == [f"ready {number}" for number in range(4)]
        assert sessions.gave_way == [f"failing {number}" for number in range(3)]


async def test_nobody_gives_way_while_logins_of_its_route_take_as_long() -> None:
    async with crowd(at_once=1, hold_s=5) as sessions:
        await sessions.log_in(5, seconds=20)
        for number in range(4):
            await sessions.come(f"slow {number}")
            await sessions.clock.advance(5)
        await sessions.open("slow 3")
        await sessions.come("slow 4")
        await sessions.come("next")
        await sessions.clock.advance(38)
        assert sessions.gave_way == []
        await sessions.clock.advance(2)
        assert sessions.gave_way == ["slow 0"]


async def test_a_block_that_ends_in_spite_of_giving_way_leaves_no_cancellation_behind() -> None:
    clock = VirtualClock()
    gate = StartGate(clock, at_once=1, per_second=FAST, hold_s=5)
    left: list[int] = []

    async def stubborn() -> None:
        async with gate.turn(Priority(1)):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        left.append(task.cancelling())

    first = asyncio.create_task(stubborn())
    sessions = Crowd(gate, clock)
    await clock.advance(0)
    for number in range(5):
        await sessions.come(f"{number}")
        await clock.advance(5)
        if not number:
            await sessions.open("0")
    await first
    assert left == [0]
    for task in sessions.tasks.values():
        task.cancel()
    await asyncio.gather(*sessions.tasks.values(), return_exceptions=True)
    assert (gate.inside, gate.waiting, clock.asleep) == (0, 0, [])


async def test_among_equals_nobody_is_stuck_before_its_time_however_fast_the_others_are() -> None:
    async with crowd(at_once=1, hold_s=5) as sessions:
        await sessions.log_in(5, seconds=0.1)
        for name in ("slow", "second", "third"):
            await sessions.come(name)
            await sessions.clock.advance(1)  # its place is lent
        await sessions.come("quick")
        await sessions.open("quick")
        for name in ("fourth", "waits"):
            await sessions.come(name)
        await sessions.clock.advance(1.9)
        assert (sessions.gate.inside, sessions.gave_way) == (4, [])
        await sessions.clock.advance(0.1)
        assert (sessions.names[-1], sessions.gave_way) == ("waits", ["slow"])
