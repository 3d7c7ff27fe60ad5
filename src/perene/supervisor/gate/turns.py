"""Turns at the start gate, and the routes on which they are waited for."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NewType

from perene.supervisor.gate.login_times import LoginTimes
from perene.supervisor.gate.pace import ROUNDING

Priority = NewType("Priority", int)
"""Failures in a row of the session that asks; 0 for one that is ready."""


class GaveWay(Exception):
    """The turn was taken back: the attempt was stuck, and another one has its place."""


class Turn:
    """The right to dial and log in, from the moment it is given until `leave`."""

    __slots__ = (
        "_cancelled",
        "_cancelling",
        "_passed",
        "_task",
        "gave_way",
        "given",
        "number",
        "priority",
        "route",
        "since",
    )

    def __init__(
        self,
        route: "Route",
        priority: Priority,
        number: int,
        *,
        gave_way: bool,
        passed: Callable[["Turn"], None],
    ) -> None:
        task = asyncio.current_task()
        assert task is not None  # a turn is awaited, so there is one
        self._passed = passed
        self._task = task
        self._cancelling = task.cancelling()
        self._cancelled = False
        self.route = route
        self.priority = priority
        self.number = number
        self.gave_way = gave_way
        self.since = 0.0
        self.given: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def leave(self) -> None:
        """The connection is open, or waits for a person: let the next one in.

        Nothing happens when the turn is over already.
        """
        self._passed(self)

    def take_back(self) -> None:
        """Cancel whoever holds it."""
        self._cancelled = True
        self._task.cancel()

    def was_taken_back(self) -> bool:
        """Tell, once, whether `take_back` is all that the holder was cancelled for."""
        if not self._cancelled:
            return False
        self._cancelled = False
        return self._task.uncancel() <= self._cancelling

    def yields_to(self, other: "Turn") -> bool:
        """Tell whether another's attempt is to be preferred once this one is stuck.

        Among equals an attempt gives way but once. So of those that failed least one always gets
        the time it needs, however slow the logins of all of them are.
        """
        if self.priority == other.priority:
            return not self.gave_way
        return self.priority > other.priority

    def __lt__(self, other: "Turn") -> bool:
        return (self.priority, self.number) < (other.priority, other.number)


class Route:
    """One way to WhatsApp: who waits for it, in order, and who holds a place on it, oldest first.

    `name` is None for the service's own way. `inside` counts those without a place as well.
    """

    __slots__ = ("failing", "inside", "name", "places", "times", "waiting")

    def __init__(self, name: str | None, hold_s: float) -> None:
        self.name = name
        self.times = LoginTimes(hold_s)
        self.waiting: list[Turn] = []
        self.places: dict[Turn, None] = {}
        self.failing = 0
        self.inside = 0

    @property
    def first(self) -> Turn | None:
        """Who is to go in next; whoever was cancelled is passed over."""
        while self.waiting and self.waiting[0].given.done():
            del self.waiting[0]
        return self.waiting[0] if self.waiting else None

    @property
    def lends_at(self) -> float:
        """When the next place is lent."""
        return next(iter(self.places)).since + self.times.slow_s

    def lend(self, now: float) -> None:
        """Take the places of those who are slow by now."""
        while self.places and self.lends_at <= now + ROUNDING:
            self.free_place(next(iter(self.places)))

    def queue(self, turn: Turn) -> None:
        """Let a turn wait in its order."""
        insort(self.waiting, turn)

    def cross_out(self, turn: Turn) -> None:
        """Let a turn wait no longer."""
        index = bisect_left(self.waiting, turn)
        if index < len(self.waiting) and self.waiting[index] is turn:
            del self.waiting[index]

    def take_place(self, turn: Turn) -> None:
        """Give a place to a turn."""
        self.places[turn] = None
        self.failing += turn.priority > 0

    def free_place(self, turn: Turn) -> None:
        """End the place of a turn, if it has one."""
        if turn in self.places:
            del self.places[turn]
            self.failing -= turn.priority > 0
