"""Who may log in now: many sessions start in turns, so that a restart is no stampede.

Ready, failing, slow and stuck (decision 9):

- A session is **ready** when it has not failed since it was last up: it has just been started, or
  has lost a connection that was open for a while. Whether it will get in, nobody knows.
- It is **failing** when attempts have been in vain since then; the more, the later is its turn.
- An attempt is **slow** when it takes far longer than logins on its way usually take at present.
- It is **stuck** when it is slow, has taken `hold_s` at least, and others got in meanwhile.

A **route** is the way to WhatsApp: the service's own, or the proxy of a session. Those who share
one share its places, because what is wrong with it is wrong for them together.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from perene.core.clock import Clock
from perene.supervisor.gate.pace import ROUNDING, Pace
from perene.supervisor.gate.turns import GaveWay, Priority, Route, Turn

HOLD_S = 5.0
"""What is slow as long as nothing is known: WhatsApp lets in within a second or two."""

_SHARE = 4
"""So many times the places are the most that are inside at once, with all that are slow."""

_SHORTEST_WAIT_S = 0.001
"""Timers are no finer; one that comes a hair too early must not be set again at once for ever."""


class StartGate:
    """Lets connections begin: so many at once, and at most `per_second` in any second.

    **At once.** A route has `at_once` places for ready sessions, and beside them four fifths as
    many for failing ones, fewer while the ready need theirs. Whoever is slow goes on, but its
    place is lent to the next. With these, never more than four times `at_once` are inside, and one
    of these four parts is never taken by failing sessions. When all is taken, failing ones that are
    slow give way to ready ones, and who is stuck to its equals: `turn` raises GaveWay, the attempt
    has failed. While nobody gets in, nobody is stuck: then those inside end by their own time
    limits before their equals try.

    **Order.** Who has failed less often goes first, then who came first.

    So a ready session never waits for a failing one, but for a place that ready ones hold, and for
    the pace. Of that, failing ones leave a reserve; if `per_second` is less than 20 there is none,
    and a ready session waits for the next token at most, before all failing ones.

    Nobody starves: each one inside opens, and is ready again after 30 s at the earliest, or fails,
    and goes behind those that failed less. Failing ones wait longer only while more ready ones come
    than `per_second` lets in.
    """

    def __init__(
        self, clock: Clock, *, at_once: int, per_second: float, hold_s: float = HOLD_S
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._failing_at_once = max(1, at_once - max(1, at_once // 5))
        self.most = _SHARE * at_once
        """How many are inside at most."""
        self._most_failing = self.most - at_once
        self._pace = Pace(clock, per_second)
        self._hold_s = hold_s
        self._routes: dict[str | None, Route] = {}
        self._lines: dict[Route, None] = {}
        """Routes that somebody waits for."""
        self._inside: dict[Turn, None] = {}
        self._failing_inside = 0
        self._passed_at = clock.monotonic()
        self._numbers = itertools.count()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0

    @property
    def inside(self) -> int:
        """How many turns are held."""
        return len(self._inside)

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return sum(
            not turn.given.done() for route in self._routes.values() for turn in route.waiting
        )

    @property
    def routes(self) -> int:
        """How many routes are known."""
        return len(self._routes)

    @asynccontextmanager
    async def turn(
        self, priority: Priority, *, route: str | None = None, gave_way: bool = False
    ) -> AsyncGenerator[Turn]:
        """Wait for a turn and hold it until the block ends, or until `Turn.leave` within it.

        `gave_way` says that the session has done so already since it was last up. Cancellation
        while waiting or inside gives the turn up. Raises GaveWay, for which the block is cancelled.
        """
        way = self._route(route)
        turn = Turn(way, priority, next(self._numbers), gave_way=gave_way, passed=self._pass)
        way.queue(turn)
        self._lines[way] = None
        try:
            self._admit()
            await turn.given
            yield turn
        except asyncio.CancelledError as error:
            if turn.was_taken_back():
                raise GaveWay from error
            raise
        finally:
            turn.was_taken_back()  # it ended by itself in the same moment
            self._end(turn)

    def _pass(self, turn: Turn) -> None:
        """End a turn by which somebody got in."""
        if turn in self._inside:
            self._passed_at = self._clock.monotonic()
            turn.route.times.add(self._passed_at - turn.since)
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        """End a turn, given or still waited for."""
        turn.given.cancel()
        self._cross_out(turn)
        self._remove(turn)
        self._admit()
        self._tidy(turn.route)

    def _cross_out(self, turn: Turn) -> None:
        turn.route.cross_out(turn)
        if turn.route.first is None:
            self._lines.pop(turn.route, None)

    def _remove(self, turn: Turn) -> None:
        if turn in self._inside:
            del self._inside[turn]
            self._failing_inside -= turn.priority > 0
            turn.route.inside -= 1
            turn.route.free_place(turn)

    def _route(self, name: str | None) -> Route:
        route = self._routes.get(name)
        if route is None:
            route = self._routes[name] = Route(name, self._hold_s)
        return route

    def _tidy(self, route: Route) -> None:
        """Forget a proxy that nobody uses now; proxies come and go."""
        used = route.name is None or route.inside or route.first is not None
        # Who is late to notice its cancellation may come from a route that is forgotten already.
        if not used and self._routes.get(route.name) is route:
            del self._routes[route.name]

    # --- who goes in ----------------------------------------------------------------------------

    def _admit(self) -> None:
        """Let in everybody who may come in now, and set the alarm for the next change."""
        now = self._clock.monotonic()
        at = None
        while self._lines:
            if lacking := self._pace.lacks_s(leaving=0):
                at = now + lacking
                break
            turn, at = self._next(now)
            if turn is None:
                break
            if turn.priority and (lacking := self._pace.lacks_s(leaving=self._pace.reserve)):
                at = _sooner(at, now + lacking)
                break
            if not self._has_room(turn) and not self._make_room(turn, now):
                at = _sooner(at, self._room_at(turn, now))
                break
            self._pace.take()
            self._let_in(turn, now)
        self._set_alarm(at, now)

    def _next(self, now: float) -> tuple[Turn | None, float | None]:
        """Return the first of those whose route has a place, and when the next place is lent.

        Where it finds nobody for whom there is room or a token, there is none for others either.
        """
        found: Turn | None = None
        lent_at: float | None = None
        for route in self._lines:
            turn = route.first
            if turn is None:
                continue  # whoever waited was cancelled, and has not noticed yet
            route.lend(now)
            if self._is_full(turn):
                lent_at = _sooner(lent_at, route.lends_at)
            elif found is None or turn < found:
                found = turn
        return found, lent_at

    def _is_full(self, turn: Turn) -> bool:
        """Tell whether a turn's route has no place for it; then it has none for those behind."""
        route = turn.route
        if turn.priority:
            return len(route.places) >= self._failing_at_once
        return len(route.places) - route.failing >= self._at_once

    def _has_room(self, turn: Turn) -> bool:
        if turn.priority and self._failing_inside >= self._most_failing:
            return False
        return len(self._inside) < self.most

    def _let_in(self, turn: Turn, now: float) -> None:
        route = turn.route
        self._cross_out(turn)
        route.take_place(turn)
        route.inside += 1
        turn.since = now
        self._inside[turn] = None
        self._failing_inside += turn.priority > 0
        turn.given.set_result(None)

    def _make_room(self, turn: Turn, now: float) -> bool:
        """Take back the turn of somebody who must give way; tell whether there was one."""
        found = [
            other
            for other in self._inside
            if (at := self._gives_way_at(other, turn)) is not None and at <= now + ROUNDING
        ]
        if not found:
            return False
        # Of those that failed most often, the one that has been inside for longest.
        chosen = max(found, key=lambda other: other.priority)
        self._remove(chosen)
        chosen.take_back()
        return True

    def _gives_way_at(self, other: Turn, turn: Turn) -> float | None:
        """Return from when on somebody inside gives way to a turn; None for never as things are."""
        times = other.route.times
        if not other.yields_to(turn):
            return None
        if other.priority and not turn.priority:
            return other.since + times.slow_s
        return other.since + times.stuck_s if self._passed_at > other.since else None

    # --- when to look again ---------------------------------------------------------------------

    def _room_at(self, turn: Turn, now: float) -> float | None:
        """Return when the next one inside gives way to a turn."""
        times = [self._gives_way_at(other, turn) for other in self._inside]
        return min((at for at in times if at is not None and at > now + ROUNDING), default=None)

    def _set_alarm(self, at: float | None, now: float) -> None:
        if at is None:
            self._stop_alarm()
            return
        if self._alarm is not None and self._alarm_at <= at + ROUNDING:
            return
        self._stop_alarm()
        self._alarm_at = at
        self._alarm = asyncio.create_task(
            self._ring(max(at - now, _SHORTEST_WAIT_S)), name="start gate"
        )

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def _ring(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._alarm = None
        self._admit()


def _sooner(one: float | None, other: float | None) -> float | None:
    return min((at for at in (one, other) if at is not None), default=None)
