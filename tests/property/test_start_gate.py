"""What holds at the start gate whatever comes: an independent account of it beside the real one."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.supervisor.gate.login_times import LoginTimes
from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.gate.turns import GaveWay, Priority, Turn
from tests.support.virtual_clock import VirtualClock

FAST = 1_000_000.0
HOLD_S = 5.0
SLOP_S = 0.002
"""Alarms are no finer than a millisecond."""

COME = st.tuples(
    st.integers(min_value=1, max_value=6),
    st.sampled_from([0, 0, 1, 2]),
    st.sampled_from([None, "proxy"]),
    st.booleans(),
)
ENDS = st.tuples(
    st.sampled_from(["opens", "opens", "fails", "is cancelled"]),
    st.integers(min_value=0, max_value=60),
)
TIME = st.tuples(st.just("time"), st.sampled_from([0.1, 0.5, 1.0, 4.0, 7.0, 30.0]))
Step = tuple[int, int, str | None, bool] | tuple[str, int] | tuple[str, float]
MOMENTS = st.lists(
    st.one_of(st.lists(st.one_of(COME, ENDS), min_size=1, max_size=3), st.tuples(TIME)),
    min_size=10,
    max_size=60,
)
"""Steps of one moment follow each other before anybody has noticed the first."""


@dataclass(eq=False, kw_only=True)
class Session:
    """One that asks for a turn once."""

    number: int
    priority: int
    route: str | None
    gave_way: bool
    began: float | None = None
    turn: Turn | None = None
    asked: bool = False
    failing: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False


class Account:
    """Keeps its own books of who is inside and who waits, and looks whether the gate does right."""

    def __init__(self, *, at_once: int, per_second: float) -> None:
        self.clock = VirtualClock()
        self.gate = StartGate(self.clock, at_once=at_once, per_second=per_second, hold_s=HOLD_S)
        self.at_once = at_once
        self.tasks: dict[asyncio.Task[None], Session] = {}
        self.began: list[Session] = []
        self._times: dict[str | None, LoginTimes] = {}
        self._opened_at = 0.0

    # --- what happens ---------------------------------------------------------------------------

    async def do(self, step: Step) -> None:
        match step:
            case ("time", seconds):
                await self.clock.advance(float(seconds))
            case (int() as count, priority, route, gave_way):
                for _ in range(count):
                    self.comes(priority, route=route, gave_way=gave_way)
            case (what, number):
                self._end(what, int(number))

    def comes(self, priority: int, *, route: str | None = None, gave_way: bool = False) -> Session:
        session = Session(number=len(self.tasks), priority=priority, route=route, gave_way=gave_way)
        self.tasks[asyncio.create_task(self._live(session))] = session
        return session

    def opens(self, session: Session) -> None:
        assert session.turn is not None
        assert session.began is not None
        self._opened_at = self.clock.monotonic()
        self._times_of(session.route).add(self._opened_at - session.began)
        session.over = True
        session.turn.leave()
        self._forget(session.route)

    async def ends(self) -> None:
        """Let everybody inside fail until nobody is left, and all who still wait get in."""
        for _ in range(len(self.tasks) + 1):
            for session in self.began:
                session.failing.set()
            await settle()
            await self.clock.advance(100)
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        assert [end for end in results if isinstance(end, Exception)] == []
        assert self.waiting() == [], "somebody starved"
        assert (self.gate.inside, self.gate.waiting, self.clock.asleep) == (0, 0, [])
        assert self.gate.routes <= 1, "a proxy was not forgotten"

    def _end(self, what: str, number: int) -> None:
        if what == "is cancelled":
            if self.tasks:
                task, session = list(self.tasks.items())[number % len(self.tasks)]
                session.over = session.over or not task.done()
                task.cancel()
        elif inside := [
            session
            for task, session in self.tasks.items()
            if session in self.inside() and not task.cancelling()
        ]:
            session = inside[number % len(inside)]
            self.opens(session) if what == "opens" else session.failing.set()

    async def _live(self, session: Session) -> None:
        session.asked = True
        try:
            async with self.gate.turn(
                Priority(session.priority), route=session.route, gave_way=session.gave_way
            ) as session.turn:
                session.began = self.clock.monotonic()
                self.began.append(session)
                await session.failing.wait()
        except GaveWay:
            assert self.may_give_way(session)
        finally:
            session.over = True
            self._forget(session.route)

    # --- what must be so ------------------------------------------------------------------------

    def inside(self) -> list[Session]:
        return [one for one in self.began if not one.over]

    def waiting(self) -> list[Session]:
        return [one for one in self.tasks.values() if one.began is None and not one.over]

    def check(self) -> None:
        inside = self.inside()
        assert len(inside) == self.gate.inside <= 4 * self.at_once
        assert sum(one.priority > 0 for one in inside) <= 3 * self.at_once
        for route in {one.route for one in inside}:
            # Nobody is slow before a second has passed, whatever is known.
            own = [one for one in inside if one.route == route and self._age(one) < 0.99]
            assert sum(not one.priority for one in own) <= self.at_once
            assert sum(one.priority > 0 for one in own) <= self._places(1)
        assert len(self.waiting()) == self.gate.waiting
        for session in self.waiting():
            assert self.waits_rightly(session, inside), session
            assert not any(self._came_first(session, one) for one in self.began)

    def waits_rightly(self, session: Session, inside: Sequence[Session]) -> bool:
        """Tell whether every place is taken by one that must not be pushed aside for it."""
        rivals = [one for one in inside if session.priority or not one.priority]
        own = [one for one in rivals if one.route == session.route and not self._is_slow(one)]
        if len(own) >= self._places(session.priority):
            return True
        failing = [one for one in inside if one.priority]
        full = len(inside) >= 4 * self.at_once or (
            bool(session.priority) and len(failing) >= 3 * self.at_once
        )
        return full and not any(self._yields(one, session) for one in inside)

    def _came_first(self, one: Session, other: Session) -> bool:
        alike = (one.priority, one.route) == (other.priority, other.route)
        return alike and one.number < other.number

    def _places(self, priority: int) -> int:
        if priority:
            return max(1, self.at_once - max(1, self.at_once // 5))
        return self.at_once

    def may_give_way(self, session: Session) -> bool:
        """Tell whether it may have been slow, or stuck, for somebody who is to be preferred.

        When it is noticed, somebody else may have opened, and what is slow be another thing.
        """
        age = self._age(session) + SLOP_S
        others = [one for one in self.tasks.values() if self._is_preferred(one, session)]
        if session.priority and any(not one.priority for one in others):
            return age >= 1
        return bool(others) and age >= HOLD_S and self._opened_at > (session.began or 0)

    def _is_preferred(self, other: Session, one: Session) -> bool:
        if other.priority == one.priority:
            return other is not one and not one.gave_way
        return other.priority < one.priority

    def _yields(self, one: Session, other: Session) -> bool:
        """Tell whether one who is inside has had to make room for another for a moment by now."""
        assert one.began is not None
        age = self._age(one) - SLOP_S
        times = self._times_of(one.route)
        if not self._is_preferred(other, one):
            return False
        if one.priority and not other.priority:
            return age >= times.slow_s
        return age >= times.stuck_s and self._opened_at > one.began

    def _is_slow(self, session: Session) -> bool:
        return self._age(session) >= self._times_of(session.route).slow_s + SLOP_S

    def _age(self, session: Session) -> float:
        assert session.began is not None
        return self.clock.monotonic() - session.began

    def _times_of(self, route: str | None) -> LoginTimes:
        return self._times.setdefault(route, LoginTimes(HOLD_S))

    def _forget(self, route: str | None) -> None:
        """What is known of a proxy is forgotten when nobody uses it any more."""
        if route and all(
            one.over or not one.asked for one in self.tasks.values() if one.route == route
        ):
            self._times.pop(route, None)


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@given(moments=MOMENTS, at_once=st.integers(min_value=1, max_value=3))
@pytest.mark.requirement("C4", "E6")
async def test_nobody_waits_while_there_is_a_place_and_never_are_too_many_inside(
    moments: Sequence[Sequence[Step]], at_once: int
) -> None:
    account = Account(at_once=at_once, per_second=FAST)
    for moment in moments:
        for step in moment:
            await account.do(step)
        await settle()
        account.check()
    await account.ends()


BEGINNINGS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.01, 0.2, 1.0]), st.sampled_from([0, 1, 1, 1, 5])),
    max_size=60,
)


@given(comings=BEGINNINGS, rate=st.sampled_from([0.1, 0.5, 1, 2, 7, 12, 20, 33, 200]))
async def test_the_pace_is_kept_and_failing_sessions_never_hold_up_ready_ones(
    comings: Sequence[tuple[float, int]], rate: float
) -> None:
    account = Account(at_once=10_000, per_second=rate)
    came: dict[Session, float] = {}
    for wait, priority in comings:
        if wait:
            await account.clock.advance(wait)
        came[account.comes(priority)] = account.clock.monotonic()
        await settle()
    await account.clock.advance(1000)
    times = {one: one.began for one in account.began if one.began is not None}
    assert len(times) == len(comings), "somebody starved"
    for seconds in (1, 3, 10):
        assert most_in(seconds, list(times.values())) <= max(1, rate) * seconds
    for session, began in times.items():
        if not session.priority:
            passed = [
                one
                for one, at in times.items()
                if one.priority and came[session] + 1e-9 < at < began
            ]
            assert passed == [], "a failing session went before a ready one that waited"
    await account.ends()


def most_in(seconds: float, times: Sequence[float]) -> int:
    found = Counter(
        {
            begin: sum(begin <= other < begin + seconds - 1e-6 for other in times)
            for begin in set(times)
        }
    )
    return max(found.values(), default=0)
