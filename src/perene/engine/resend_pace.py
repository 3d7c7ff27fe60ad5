"""How fast messages are sent again into one group."""

from collections import OrderedDict
from typing import Final

from perene.core.clock import Clock

_AT_ONCE: Final = 20
_EVERY_S: Final = 6.0
"""Of several thousand resends an hour into one group an account was locked (403): hundreds of
devices had asked for each message, once each (whatsapp-rust pull requests 870 and 871, 2026-06-15,
whose numbers these are)."""

_LONGEST_WAIT_S: Final = 600.0
"""The server ends a connection for what was not answered within some 50 minutes
(docs/reference/protocol.md §2)."""

_REMEMBERED: Final = 1024


class ResendPace:
    """Gives each resend its time: some at once, and then one after the other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._even: OrderedDict[str, float] = OrderedDict()
        """By group: when all that has its time would have gone, had each waited its turn."""

    def turn(self, group: str) -> float | None:
        """Return after how many seconds the next resend may leave, None if that is too long."""
        now = self._clock.monotonic()
        even = max(self._even.get(group, now), now)
        wait_s = max(even - now - (_AT_ONCE - 1) * _EVERY_S, 0.0)
        if wait_s > _LONGEST_WAIT_S:
            return None
        self._even[group] = even + _EVERY_S
        self._even.move_to_end(group)
        while len(self._even) > _REMEMBERED:
            self._even.popitem(last=False)
        return wait_s
