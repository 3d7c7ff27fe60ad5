"""In what order, how many at once and how fast sessions begin to log in."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest

from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.gate.turns import GaveWay, Priority, Turn
from tests.support.virtual_clock import VirtualClock

READY = Priority(0)
FAST = 1_000_000.0


class Crowd:
    """Sessions at a gate: each notes when it gets in, and stays until it is told what becomes."""

    def __init__(self, gate: StartGate, clock: VirtualClock) -> None:
        self.gate = gate
        self.clock = clock
        self.began: list[tuple[str, float]] = []
        self.gave_way: list[str] = []
        self._turns: dict[str, Turn] = {}
        self._leaving: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self,
        name: str,
        priority: int = 0,
        stays_s: float | None = None,
        *,
        route: str | None = None,
        gave_way: bool = False,
    ) -> None:
        self._leaving[name] = asyncio.Event()
        turn = self.gate.turn(Priority(priority), route=route, gave_way=gave_way)
        self.tasks[name] = asyncio.create_task(self._live(name, turn, stays_s))
        await settle()

    async def leave(self, name: str) -> None:
        """Let an attempt fail."""
        self._leaving[name].set()
        await settle()

    async def open(self, name: str) -> None:
        """Let an attempt get through."""
        self._turns[name].leave()
        await settle()

    async def give_up(self, name: str) -> None:
        self.tasks[name].cancel()
        await settle()

    async def log_in(self, count: int, *, seconds: float, route: str | None = None) -> None:
        """Let so many sessions come and get through, one after the other."""
        for number in range(count):
            name = f"one of {route} that needs {seconds} s, {number}"
            await self.come(name, route=route)
            await self.clock.advance(seconds)
            await self.open(name)
            self.began.clear()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.began]

    async def _live(
        self, name: str, turn: AbstractAsyncContextManager[Turn], stays_s: float | None
    ) -> None:
        try:
            async with turn as self._turns[name]:
                self.began.append((name, self.clock.monotonic()))
                if stays_s is None:
                    await self._leaving[name].wait()
                else:
                    await self.clock.sleep(stays_s)
        except GaveWay:
            self.gave_way.append(name)


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


@pytest.mark.parametrize("priority", [0, 3])
async def test_whoever_leaves_gives_the_place_back(priority: int) -> None:
    async with crowd() as sessions:
        for number in range(20):
            await sessions.come(f"s{number}", priority)
            await sessions.leave(f"s{number}")
        assert sessions.names == [f"s{number}" for number in range(20)]


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


async def test_one_that_is_slow_holds_its_place_for_a_limited_time() -> None:
    async with crowd(hold_s=15) as sessions:
        await sessions.come("slow")
        await sessions.come("next")
        await sessions.clock.advance(14.9)
        assert sessions.names == ["slow"]
        await sessions.clock.advance(0.1)
        assert sessions.began == [("slow", 0.0), ("next", 15.0)]


@pytest.mark.parametrize(
    ("logins", "seconds", "slow_s"),
    [(5, 0.01, 1.0), (5, 0.5, 1.5), (5, 2, 5.0), (4, 0.5, 5.0), (0, 0, 5.0)],
    ids=["quick", "usual", "slow", "too few to tell", "none"],
)
async def test_what_is_slow_depends_on_how_long_logins_take_at_present(
    logins: int, seconds: float, slow_s: float
) -> None:
    async with crowd(hold_s=5) as sessions:
        await sessions.log_in(logins, seconds=seconds)
        await sessions.come("stuck")
        await sessions.come("next")
        await sessions.clock.advance(10)
        (_, stuck), (_, following) = sessions.began
        assert following - stuck == pytest.approx(slow_s, abs=0.002)


async def test_attempts_that_fail_teach_nothing_of_how_long_a_login_takes() -> None:
    async with crowd(hold_s=5) as sessions:
        for number in range(20):
            await sessions.come(f"failed at once {number}", stays_s=0.01)
        await sessions.clock.advance(1)
        sessions.began.clear()
        await sessions.come("stuck")
        await sessions.come("next")
        await sessions.clock.advance(4.9)
        assert sessions.names == ["stuck"]


async def test_if_logins_become_slow_they_are_waited_for() -> None:
    async with crowd(hold_s=5) as sessions:
        await sessions.log_in(50, seconds=0.1)
        await sessions.log_in(50, seconds=1.2)
        await sessions.come("first")
        await sessions.come("next")
        await sessions.clock.advance(3.5)
        assert sessions.names == ["first"]


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


async def test_a_ready_session_does_not_wait_for_failing_ones_even_at_a_single_place() -> None:
    async with crowd(at_once=1) as sessions:
        for number in range(9):
            await sessions.come(f"failing {number}", 1)
        assert len(sessions.names) == 1
        await sessions.come("ready")
        assert sessions.names == ["failing 0", "ready"]


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


async def test_what_is_stuck_on_one_route_takes_no_place_of_another() -> None:
    async with crowd(at_once=2) as sessions:
        for number in range(5):
            await sessions.come(f"by the proxy {number}", route="http://proxy")
        await sessions.come("direct")
        assert sessions.names == ["by the proxy 0", "by the proxy 1", "direct"]


async def test_each_route_has_its_own_idea_of_what_is_slow() -> None:
    async with crowd(at_once=1, hold_s=5) as sessions:
        await sessions.come("keeps the proxy in use", route="proxy")
        await sessions.log_in(5, seconds=0.1)
        await sessions.log_in(0, seconds=0)
        await sessions.clock.advance(5)
        await sessions.come("by the proxy", route="proxy")
        await sessions.come("direct")
        await sessions.come("by the proxy, next", route="proxy")
        await sessions.come("direct, next")
        await sessions.clock.advance(1)
        assert sessions.names == ["by the proxy", "direct", "direct, next"]
        await sessions.clock.advance(4)
        assert sessions.names[3:] == ["by the proxy, next"]


async def test_all_routes_together_keep_to_four_times_the_places() -> None:
    async with crowd(at_once=2) as sessions:
        for number in range(30):
            await sessions.come(f"{number}", number % 2, route=f"proxy {number}")
        assert sessions.gate.inside == sessions.gate.most
        ready = [name for name in sessions.names if not int(name) % 2]
        assert len(ready) >= 2


async def test_a_proxy_that_nobody_uses_any_more_is_forgotten() -> None:
    async with crowd() as sessions:
        for number in range(30):
            await sessions.come(f"{number}", stays_s=1, route=f"proxy {number}")
        assert sessions.gate.routes == 30
        await sessions.clock.advance(30)
        assert sessions.gate.routes <= 1


async def test_whoever_is_late_to_notice_its_end_forgets_no_proxy_of_others() -> None:
    async with crowd() as sessions:
        await sessions.come("inside", route="proxy")
        await sessions.come("waits", route="proxy")
        sessions.tasks["inside"].cancel()
        sessions.tasks["waits"].cancel()
        await sessions.come("later", route="proxy")
        await sessions.come("later still", route="proxy")
        assert (sessions.gate.inside, sessions.gate.waiting) == (1, 1)
        await sessions.leave("later")
        assert sessions.names[-1] == "later still"


async def test_failing_sessions_leave_tokens_for_ready_ones() -> None:
    async with crowd(at_once=1000, per_second=200) as sessions:
        for number in range(100):
            await sessions.come(f"failing {number}", 1, stays_s=0)
        assert len(sessions.names) == 10
        for number in range(10):
            await sessions.come(f"ready {number}")
        assert sessions.names[10:] == [f"ready {number}" for number in range(10)]
        await sessions.clock.advance(1)
        assert len(sessions.names) == 110


@pytest.mark.parametrize("rate", [1, 10, 25, 200])
async def test_a_flood_of_failing_sessions_costs_a_ready_one_a_token_at_most(rate: float) -> None:
    async with crowd(at_once=50, per_second=rate) as sessions:
        for number in range(int(20 * rate)):
            await sessions.come(f"failing {number}", 1 + number % 5, stays_s=0)
        await sessions.clock.advance(5.03)
        came = sessions.clock.monotonic()
        await sessions.come("ready")
        await sessions.clock.advance(2)
        [began] = [at for name, at in sessions.began if name == "ready"]
        assert began - came <= (1 / rate + 0.002 if rate < 20 else 0)
        assert most_in_a_second([at for _, at in sessions.began]) <= rate


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


def most_in_a_second(times: Sequence[float]) -> int:
    return max(
        (sum(begin <= other < begin + 1 - 1e-6 for other in times) for begin in times), default=0
    )


async def test_turns_are_ordered_by_failures_then_by_arrival() -> None:
    async with crowd() as sessions:
        await sessions.come("holder")
        for number, failures in enumerate([2, 0, 1, 0]):
            await sessions.come(f"{number}", failures)
        for name in ("holder", "1", "3", "2"):
            await sessions.leave(name)
        assert sessions.names == ["holder", "1", "3", "2", "0"]
