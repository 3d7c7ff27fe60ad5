"""What is still to be done now, and what later: the simulator never calls back into itself."""

import heapq
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

Action = Callable[[], None]


class Agenda:
    """Runs actions one after another, in the order they were added.

    A stanza that reaches a simulated party makes it answer, which makes the server relay, which
    makes another party answer… Each of these steps is an action of its own, so that nothing
    recurses and the order is the same every time.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._actions: deque[Action] = deque()
        self._timers: list[tuple[datetime, int, Action]] = []
        self._count = 0
        self._running = False
        self.on_timer: Action | None = None
        """Called when the next deadline may have changed, so that a shell can arm its timer."""

    def add(self, action: Action) -> None:
        """Run an action after everything added before it."""
        self._actions.append(action)

    def later(self, delay: timedelta, action: Action) -> None:
        """Run an action when `delay` has passed on the simulator's clock."""
        self._count += 1
        heapq.heappush(self._timers, (self._now() + delay, self._count, action))
        if self.on_timer is not None:
            self.on_timer()

    @property
    def next_deadline(self) -> datetime | None:
        """When `run` must be called at the latest, None if nothing is planned."""
        return self._timers[0][0] if self._timers else None

    def run(self) -> None:
        """Do everything that is due. Called inside an action it returns at once."""
        if self._running:
            return
        self._running = True
        try:
            while True:
                while self._timers and self._timers[0][0] <= self._now():
                    self._actions.append(heapq.heappop(self._timers)[2])
                if not self._actions:
                    return
                self._actions.popleft()()
        finally:
            self._running = False
