"""How fast connections may be begun."""

from perene.core.clock import Clock

ROUNDING = 1e-9
"""Seconds and tokens are floats: what lacks less than this is there."""


class Pace:
    """A bucket of tokens, one for each beginning: at most `per_second` are taken in any second.

    A taken token never comes back, however soon the connection has ended.
    """

    def __init__(self, clock: Clock, per_second: float) -> None:
        self._clock = clock
        # A full bucket and what runs into it during a second are `per_second` together.
        self._bucket = max(1.0, per_second // 10)
        self._refill = per_second - self._bucket if self._bucket > 1 else per_second
        self._tokens = self._bucket
        self._filled_at = clock.monotonic()
        self.reserve = self._bucket / 2 if self._bucket >= 2 else 0.0
        """Tokens that are left for whoever is more urgent. A bucket of one has none to spare."""

    def lacks_s(self, *, leaving: float) -> float:
        """Return in how many seconds a token can be taken that leaves so many; 0 for now."""
        self._fill()
        lacking = 1 + leaving - self._tokens
        return lacking / self._refill if lacking > ROUNDING else 0.0

    def take(self) -> None:
        """Take a token, which must be there."""
        self._fill()
        self._tokens -= 1

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._bucket, self._tokens + (now - self._filled_at) * self._refill)
        self._filled_at = now
