"""The end of an outage: who waits because of the network is told when it is back (decision 11).

Waits grow to a quarter of an hour, and after thirty attempts to half an hour: right for a network
that is gone, and wrong once it is back. What tells that it is:

- a session that has been open for a while, after none was: all others on its **route** follow;
- the server, or the proxy before it, takes connections again, and went on doing so for a while,
  after it did not: a few **scouts** go ahead, and the others follow when one of them is open;
- the wall clock was set, or the machine has slept: certificates may be good now.

A route is **closed** while none of its sessions is open and at least one waits because of something
on the way. Nothing is asked of the network while it is not, and no session's own trouble makes an
attempt of it earlier while others are open. Whoever was told, and has not been open for a while
since, is told again only after ever longer times: what is wrong may be its own all the same.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from perene.core.clock import Clock
from perene.core.ids import SessionId
from perene.core.policy import STABLE_AFTER, Relief
from perene.core.schedules import Growth, Schedule
from perene.supervisor.session.task import SessionTask

log = structlog.stdlib.get_logger()

_LOOK_EVERY_S = 10.0

_SCOUTS = 3
"""Some, because one of them may have a trouble of its own; few, because it may be in vain."""

_AGAIN = Schedule(growth=Growth.FIBONACCI, step=timedelta(minutes=1), cap=timedelta(minutes=30))
"""Between two times that scouts go, or that one session is told, in vain: a network, or a session,
that comes and goes with every minute must not make an attempt of each."""

_OWN: str | None = None
"""The route that is not a proxy of a session's own: the only one that is looked at from outside."""


class WayBack:
    """Ends waits that have lost their reason. `tasks` are those that live, by their sessions.

    `reach` tells whether WhatsApp's server takes connections; it ends soon, and raises nothing.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        tasks: Mapping[SessionId, SessionTask],
        reach: Callable[[], Awaitable[bool]],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._tasks = tasks
        self._sight = _Sight(clock, reach)
        self._closed: set[str | None] = set()
        self._clock_was_set = False
        self._certificates: set[SessionId] = set()
        """Whom the new time of the clock has to be told yet."""
        self._scouts = _Patience()
        self._told: dict[SessionId, _Patience] = {}
        """Those who have not been open for a while since they were told."""

    def clock_set(self) -> None:
        """The wall clock was set, or the machine has slept."""
        self._clock_was_set = True

    async def run(self) -> None:
        """Look until this is cancelled."""
        while True:
            await self._clock.sleep(_LOOK_EVERY_S)
            try:
                await self._look()
            except Exception:  # the supervisor's edge: whoever waits does so by its schedule
                log.exception("way_back_not_looked_for")

    async def _look(self) -> None:
        routes = self._routes()
        self._forget_who_is_back()
        for name, route in routes.items():
            if name in self._closed and route.is_stable:
                self._closed.discard(name)
                if name == _OWN:
                    self._scouts = _Patience()
                self._relieve(route.waiting, Relief.WAY)
            elif route.waiting and not route.is_open:
                self._closed.add(name)
        self._closed &= routes.keys()
        self._tell_of_clock()
        await self._look_outside(routes)

    def _forget_who_is_back(self) -> None:
        for session in list(self._told):
            task = self._tasks.get(session)
            if task is None or task.is_stable:
                del self._told[session]

    def _tell_of_clock(self) -> None:
        waiting = self._waiting_for(Relief.CLOCK)
        sessions = {task.session for task in waiting}
        if self._clock_was_set:
            self._clock_was_set = False
            self._certificates = sessions
        self._certificates &= sessions
        told = self._relieve(
            [task for task in waiting if task.session in self._certificates], Relief.CLOCK
        )
        self._certificates -= {task.session for task in told}

    async def _look_outside(self, routes: "Mapping[str | None, _Route]") -> None:
        own = routes.get(_OWN)
        if own is None or own.is_open or _OWN not in self._closed:
            self._sight.forget()
        elif await self._sight.is_back() and self._scouts.allows(self._clock.monotonic()):
            waiting = [task for task in self._waiting_for(Relief.WAY) if self._may_scout(task)]
            if self._relieve(self._rng.sample(waiting, min(_SCOUTS, len(waiting))), Relief.WAY):
                self._scouts.spend(self._clock.monotonic(), self._rng.random())

    def _may_scout(self, task: SessionTask) -> bool:
        return task.route == _OWN and self._may_be_told(task)

    def _may_be_told(self, task: SessionTask) -> bool:
        patience = self._told.get(task.session)
        return patience is None or patience.allows(self._clock.monotonic())

    def _waiting_for(self, relief: Relief) -> list[SessionTask]:
        return [task for task in self._tasks.values() if task.waits_for(relief)]

    def _routes(self) -> "Mapping[str | None, _Route]":
        found: dict[str | None, _Route] = {}
        for task in self._tasks.values():
            route = found.setdefault(task.route, _Route())
            route.is_open |= task.is_open
            route.is_stable |= task.is_stable
            if task.waits_for(Relief.WAY):
                route.waiting.append(task)
        return found

    def _relieve(self, tasks: Sequence[SessionTask], relief: Relief) -> Sequence[SessionTask]:
        """End the waits of those that may be told already; return them."""
        told = [task for task in tasks if self._may_be_told(task)]
        if told:
            log.info("waits_ended", sessions=len(told), by=relief.value)
        for task in told:
            patience = self._told.setdefault(task.session, _Patience())
            patience.spend(self._clock.monotonic(), self._rng.random())
            task.relieve(relief)
        return told


@dataclass(slots=True)
class _Patience:
    """From when on something may be tried again; the more often in vain, the later."""

    times: int = 0
    not_before: float = 0.0

    def allows(self, now: float) -> bool:
        """Tell whether it may be tried now."""
        return now >= self.not_before

    def spend(self, now: float, jitter: float) -> None:
        """It is tried now."""
        wait = _AGAIN.wait(self.times, jitter)
        self.times, self.not_before = self.times + 1, now + wait.total_seconds()


@dataclass(slots=True)
class _Route:
    """Those who take one way to WhatsApp, at this moment."""

    waiting: list[SessionTask] = field(default_factory=list)
    is_open: bool = False
    is_stable: bool = False


class _Sight:
    """Whether the server has come back into reach."""

    def __init__(self, clock: Clock, reach: Callable[[], Awaitable[bool]]) -> None:
        self._clock = clock
        self._reach = reach
        self._was_lost = False
        self._since: float | None = None

    def forget(self) -> None:
        """What was seen till now counts no longer."""
        self._was_lost, self._since = False, None

    async def is_back(self) -> bool:
        """Look, and tell whether it is in reach for good, after it was seen out of reach."""
        if not await self._reach():
            self._was_lost, self._since = True, None
            return False
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        return self._was_lost and now - self._since >= STABLE_AFTER.total_seconds()
