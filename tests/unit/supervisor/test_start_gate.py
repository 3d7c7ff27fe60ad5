"""In what order, how many at once and how fast sessions begin to log in."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.supervisor.start_gate import Priority, StartGate, Turn
from tests.support.virtual_clock import VirtualClock

READY = Priority(0)
FAST = 1_000_000.0


class Crowd:
    """Sessions at a gate: each notes when it gets in, and stays until it is told to leave."""

    def __init__(self, gate: StartGate, clock: VirtualClock) -> None:
        self.gate = gate
        self.clock = clock
        self.began: list[tuple[str, float]] = []
        self._leaving: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, priority: int = 0, stays_s: float | None = None) -> None:
        self._leaving[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._live(name, Priority(priority), stays_s))
        await settle()

    async def leave(self, name: str) -> None:
        self._leaving[name].set()
        await settle()

    async def give_up(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.began]

    async def _live(self, name: str, priority: Priority, stays_s: float | None) -> None:
        async with self.gate.turn(priority):
            self.began.append((name, self.clock.monotonic()))
            if stays_s is None:
                await self._leaving[name].wait()
            else:
                await self.clock.sleep(stays_s)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def crowd(
    at_once: int = 1, per_second: float = FAST, hold_s: float = 15.0
) -> AsyncGenerator[Crowd]:
    clock = VirtualClock()
    one = Crowd(StartGate(clock, at_once=at_once, per_second=per_second, hold_s=hold_s), clock)
    try:
        yield one
    finally:
        for task in one.tasks.values():
            task.cancel()
        await asyncio.gather(*one.tasks.values(), return_exceptions=True)
        assert (one.gate.inside, one.gate.waiting) == (0, 0)
        assert one.clock.asleep == []


async def test_a_free_gate_lets_in_without_a_turn_of_the_event_loop() -> None:
    gate = StartGate(VirtualClock(), at_once=1, per_second=1)
    waited = asyncio.create_task(asyncio.sleep(0))
    async with gate.turn(READY):
        assert not waited.done()
    await waited


async def test_no_more_are_inside_than_the_limit() -> None:
    async with crowd(at_once=2) as sessions:
        for name in "abc":
            await sessions.come(name)
        assert (sessions.names, sessions.gate.waiting) == (["a", "b"], 1)
        await sessions.leave("a")
        assert (sessions.names, sessions.gate.waiting) == (["a", "b", "c"], 0)


async def test_a_session_without_failures_goes_before_those_that_failed() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        await sessions.come("failed often", 9)
        await sessions.come("failed once", 1)
        await sessions.come("ready")
        await sessions.come("ready, later")
        for name in ("holder", "ready", "ready, later", "failed once"):
            await sessions.leave(name)
        assert sessions.names[1:] == ["ready", "ready, later", "failed once", "failed often"]


async def test_sessions_that_fail_never_hold_every_place() -> None:
    async with crowd(at_once=5) as sessions:
        for number in range(9):
            await sessions.come(f"failing {number}", 3)
        assert len(sessions.names) == 4
        await sessions.come("ready")
        assert sessions.names[-1] == "ready"


async def test_a_turn_that_is_left_early_is_free_for_the_next_one() -> None:
    async with crowd() as sessions, sessions.gate.turn(READY) as turn:
        await sessions.come("next")
        assert sessions.names == []
        turn.leave()
        turn.leave()
        await settle()
        assert sessions.names == ["next"]


async def test_one_that_is_stuck_holds_its_place_for_a_limited_time() -> None:
    async with crowd(hold_s=15) as sessions:
        await sessions.come("stuck")
        await sessions.come("next")
        await sessions.clock.advance(14.9)
        assert sessions.names == ["stuck"]
        await sessions.clock.advance(0.1)
        assert sessions.began == [("stuck", 0.0), ("next", 15.0)]


async def test_the_end_of_a_turn_that_ran_out_takes_nobody_elses_place() -> None:
    async with crowd(hold_s=15) as sessions:
        for name in ("stuck", "second", "third"):
            await sessions.come(name)
        await sessions.clock.advance(15)
        await sessions.leave("stuck")
        assert sessions.names == ["stuck", "second"]


@pytest.mark.parametrize("rate", [0.5, 1, 3, 10, 200])
async def test_no_second_sees_more_beginnings_than_the_rate(rate: float) -> None:
    async with crowd(at_once=10_000, per_second=rate) as sessions:
        total = max(3, int(rate * 3))
        for number in range(total):
            await sessions.come(str(number), stays_s=0.01)
        await sessions.clock.advance(10)
        assert len(sessions.began) == total
        times = [at for _, at in sessions.began]
        assert most_in_a_second(times) <= max(1, rate)
        assert times[-1] <= total / rate * 1.2


async def test_the_rate_is_kept_even_if_all_end_at_once() -> None:
    async with crowd(per_second=1) as sessions:
        for name in "abc":
            await sessions.come(name, stays_s=0)
        await sessions.clock.advance(2)
        assert [at for _, at in sessions.began] == pytest.approx([0, 1, 2])


async def test_one_that_gives_up_waiting_is_passed_over() -> None:
    async with crowd() as sessions:
        for name in ("holder", "gone", "next"):
            await sessions.come(name)
        await sessions.give_up("gone")
        await sessions.leave("holder")
        assert sessions.names == ["holder", "next"]


async def test_one_that_is_cancelled_inside_frees_its_place() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        await sessions.come("next")
        await sessions.give_up("holder")
        assert sessions.names == ["holder", "next"]


async def test_a_turn_that_is_given_and_cancelled_in_the_same_moment_is_not_lost() -> None:
    async with crowd() as sessions:
        for name in ("holder", "unlucky", "next"):
            await sessions.come(name)
        sessions.tasks["holder"].cancel()
        await asyncio.sleep(0)  # the turn is given to the second, which has not run since
        sessions.tasks["unlucky"].cancel()
        await settle()
        assert sessions.names == ["holder", "next"]


async def test_nobody_who_waits_leaves_no_sleeper_behind() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        await sessions.come("gone")
        await sessions.give_up("gone")
        assert sessions.clock.asleep == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(min_value=0, max_value=3)),
        st.tuples(st.sampled_from(["leave", "give up"]), st.integers(min_value=0, max_value=30)),
        st.tuples(st.just("pass"), st.integers(min_value=1, max_value=3)),
    ),
    max_size=40,
)


@given(steps=STEPS, at_once=st.integers(min_value=1, max_value=4))
async def test_whatever_happens_the_order_and_the_limits_hold(
    steps: Sequence[tuple[str, int]], at_once: int
) -> None:
    clock = VirtualClock()
    gate = StartGate(clock, at_once=at_once, per_second=2, hold_s=5)
    tasks: dict[asyncio.Task[None], asyncio.Event] = {}
    waiting: list[tuple[int, int]] = []
    began: list[float] = []

    async def live(place: tuple[int, int], leaving: asyncio.Event) -> None:
        waiting.append(place)
        try:
            async with gate.turn(Priority(place[0])):
                assert place == min(waiting), "someone was passed over"
                waiting.remove(place)
                began.append(clock.monotonic())
                assert gate.inside <= at_once
                await leaving.wait()
        finally:
            with suppress(ValueError):
                waiting.remove(place)

    for number, (what, value) in enumerate(steps):
        if what == "come":
            leaving = asyncio.Event()
            tasks[asyncio.create_task(live((value, number), leaving))] = leaving
        elif what == "pass":
            await clock.advance(value)
        elif tasks:
            task = list(tasks)[value % len(tasks)]
            task.cancel() if what == "give up" else tasks.pop(task).set()
        await settle()
    for leaving in tasks.values():
        leaving.set()
    await clock.advance(100)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ends if isinstance(end, AssertionError)] == []
    assert waiting == [], "someone was forgotten"
    assert most_in_a_second(began) <= 2
    assert (gate.inside, gate.waiting, clock.asleep) == (0, 0, [])


def most_in_a_second(times: Sequence[float]) -> int:
    return max(
        (sum(begin <= other < begin + 1 - 1e-6 for other in times) for begin in times), default=0
    )


async def test_turns_are_ordered_by_failures_then_by_arrival() -> None:
    gate = StartGate(VirtualClock(), at_once=1, per_second=1)
    turns = [Turn(gate, Priority(failures), number) for number, failures in enumerate([2, 0, 1, 0])]
    assert [turn.number for turn in sorted(turns)] == [1, 3, 2, 0]
