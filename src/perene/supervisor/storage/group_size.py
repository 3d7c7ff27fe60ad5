"""How many units go into one transaction, by how long the last ones took."""

_QUICK = 0.1
"""A transaction that takes less of its time limit may become twice as large."""

_SLOW = 0.25
"""One that takes more becomes smaller: all who wait for it wait as long."""

_SHRINKS_TO = 16
"""After a time limit so much less is tried; the third attempt of 256 units is one alone."""


class GroupSize:
    """How many units may be committed at once.

    A database that is far away, or slow, takes longer the more it is given. What exceeds the time
    limit is rolled back whole, and would exceed it again: sessions would lose their connections for
    it, come back, and bring the same again.
    """

    def __init__(self, most: int, *, timeout_s: float) -> None:
        self._most = most
        self._timeout_s = timeout_s
        self.present = most
        """How many units the next transaction may have."""

    def saved(self, units: int, seconds: float) -> None:
        """Learn from a transaction that was committed."""
        slow_s = _SLOW * self._timeout_s
        if seconds > slow_s:
            self.present = max(1, min(self.present, int(units * slow_s / seconds)))
        elif seconds < _QUICK * self._timeout_s:
            self.present = min(self._most, self.present * 2)

    def timed_out(self, units: int) -> None:
        """Learn from one that was given up because it took too long."""
        self.present = max(1, min(self.present, units) // _SHRINKS_TO)
