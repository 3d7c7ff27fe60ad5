"""Counts and moments as signals want them: of the last hour, and of a clock that nobody sets."""

from collections import deque
from datetime import datetime

from perene.core.clock import Instant

_HOUR_S = 3600.0


class Recent:
    """How much a count that only grows has grown within the last hour."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._last = 0

    def of(self, count: int, now: float) -> int:
        """Take the count as it is now; a smaller one than before has begun anew."""
        grown = count - self._last if count >= self._last else count
        self._last = count
        if grown:
            self._seen.append((now, grown))
        while self._seen and now - self._seen[0][0] >= _HOUR_S:
            self._seen.popleft()
        return sum(number for _, number in self._seen)


class Age:
    """How long ago a moment of the wall clock was, however that clock is set afterwards."""

    def __init__(self) -> None:
        self._moment: datetime | None = None
        self._was_at = 0.0

    def of(self, moment: datetime | None, now: Instant, *, new_since: float | None) -> float:
        """Return the seconds since a moment, 0 for None.

        The wall clock is asked only about a moment that was not seen before. It cannot be older
        than `new_since`, the monotonic second of the look before if there was one.
        """
        if moment is not None and moment != self._moment:
            age_s = max(0.0, (now.wall - moment).total_seconds())
            self._was_at = now.monotonic - age_s
            if new_since is not None:
                self._was_at = max(self._was_at, new_since)
        self._moment = moment
        return 0.0 if moment is None else now.monotonic - self._was_at
