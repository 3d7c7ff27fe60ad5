"""How long logins take at present, and so which of them is slow."""

from collections import deque

_LAST = 50
"""Logins that are looked at: enough that a few odd ones do not count, few enough to be present."""

_ENOUGH = 5
"""Of fewer logins nothing is concluded."""

_MOST = 0.9
"""The part of them that is usual."""

_TIMES = 3.0
"""So many times as long as nine of ten took is slow: jitter of a network is less."""

_SHORTEST_S = 1.0
"""Below this nothing is slow: one lost packet alone takes a second to be sent anew."""


class LoginTimes:
    """Learns from the logins that succeeded; `unknown_s` is what is slow before that is known."""

    def __init__(self, unknown_s: float) -> None:
        self._unknown_s = unknown_s
        self._slow_s = unknown_s
        self._last: deque[float] = deque(maxlen=_LAST)

    def add(self, seconds: float) -> None:
        """Take the time of a login that succeeded."""
        self._last.append(seconds)
        if len(self._last) >= _ENOUGH:
            usual = sorted(self._last)[int(_MOST * (len(self._last) - 1))]
            self._slow_s = max(_TIMES * usual, min(_SHORTEST_S, self._unknown_s))

    @property
    def slow_s(self) -> float:
        """Return the seconds after which a login is slow; never more than `unknown_s`."""
        return min(self._slow_s, self._unknown_s)

    @property
    def stuck_s(self) -> float:
        """Return the seconds after which it may be given up; never less than `unknown_s`."""
        return max(self._slow_s, self._unknown_s)
