"""The end of an outage: who waits because of the network is told when it is back (decision 11).

Waits grow to a quarter of an hour, and after thirty attempts to half an hour: right for a network
that is gone, and wrong once it is back. What tells that it is:

- a session that has been open for a while, after none was: all others on its **route** follow;
- the server, or the proxy before it, takes connections again, and went on doing so for a while,
  after it did not: a few **scouts** go ahead, and the others follow when one of them is open;
- the wall clock was set, or the machine has slept: certificates may be good now.

A route is **closed** while none of its sessions is open and at least one waits because of something
on the way. Nothing is asked of the network while it is not, and no session's own trouble makes an
attempt of it earlier while others are open.
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
"""Between two times that sessions are sent ahead in vain: a network that comes and goes with every
minute must not make an attempt of each."""

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
        self._in_vain = 0
        self._not_before = clock.monotonic()

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
        for name, route in routes.items():
            if name in self._closed and route.is_stable:
                self._closed.discard(name)
                self._in_vain = 0
                self._relieve(route.waiting, Relief.WAY)
            elif route.waiting and not route.is_open:
                self._closed.add(name)
        self._closed &= routes.keys()
        if self._clock_was_set:
            self._clock_was_set = False
            self._try(self._waiting_for(Relief.CLOCK), Relief.CLOCK)
        await self._look_outside(routes)

    async def _look_outside(self, routes: "Mapping[str | None, _Route]") -> None:
        own = routes.get(_OWN)
        if own is None or own.is_open or _OWN not in self._closed:
            self._sight.forget()
        elif await self._sight.is_back():
            waiting = [task for task in self._waiting_for(Relief.WAY) if task.route == _OWN]
            if self._try(self._rng.sample(waiting, min(_SCOUTS, len(waiting))), Relief.WAY):
                self._sight.forget()

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

    def _try(self, tasks: Sequence[SessionTask], relief: Relief) -> bool:
        """Send sessions on their way though nobody got in yet; each time in vain, later again."""
        now = self._clock.monotonic()
        if not tasks or now < self._not_before:
            return False
        wait = _AGAIN.wait(self._in_vain, self._rng.random())
        self._in_vain, self._not_before = self._in_vain + 1, now + wait.total_seconds()
        self._relieve(tasks, relief)
        return True

    def _relieve(self, tasks: Sequence[SessionTask], relief: Relief) -> None:
        if tasks:
            log.info("waits_ended", sessions=len(tasks), by=relief.value)
        for task in tasks:
            task.relieve(relief)


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
