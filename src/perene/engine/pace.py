"""How fast what costs an account is done again: some at once, then one after the other."""

from collections import OrderedDict
from typing import Final

from perene.core.clock import Clock

_REMEMBERED: Final = 1024


class Pace:
    """Gives each turn its time, for each name of its own.

    The first `at_once` have theirs now, what follows one every `every_s` seconds; who would wait
    for longer than `longest_wait_s` gets none.
    """

    def __init__(
        self, clock: Clock, *, at_once: int, every_s: float, longest_wait_s: float
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._every_s = every_s
        self._longest_wait_s = longest_wait_s
        self._even: OrderedDict[str, float] = OrderedDict()
        """By name: when all that has its time would have gone, had each waited its turn."""

    def turn(self, name: str) -> float | None:
        """Return after how many seconds the next turn is, None if that is too long."""
        now = self._clock.monotonic()
        even = max(self._even.get(name, now), now)
        wait_s = max(even - now - (self._at_once - 1) * self._every_s, 0.0)
        if wait_s > self._longest_wait_s:
            return None
        self._even[name] = even + self._every_s
        self._even.move_to_end(name)
        while len(self._even) > _REMEMBERED:
            self._even.popitem(last=False)
        return wait_s


def resends_into_groups(clock: Clock) -> Pace:
    """Return the pace at which messages are sent again into one group.

    Of several thousand an hour an account was locked (403): hundreds of devices had asked for each
    message, once each (whatsapp-rust pull requests 870 and 871, 2026-06-15, whose numbers these
    are). The longest wait is because the server ends a connection for what was not answered within
    some 50 minutes (docs/reference/protocol.md §2).
    """
    return Pace(clock, at_once=20, every_s=6.0, longest_wait_s=600.0)


def requests_to_senders(clock: Clock) -> Pace:
    """Return the pace at which one sender is asked for messages of theirs that cannot be read.

    Of 500 requests an hour, to 15 senders whose every message failed for days, an account was
    locked (whatsapp-rust pull request 924, 2026-06-28; it was not merged, since WhatsApp Web has no
    such bound). What mends a ratchet is one that is answered, and the phone has what is not asked
    for. A backlog from before a restored backup is asked for whole, if it is no larger than most.
    """
    return Pace(clock, at_once=200, every_s=360.0, longest_wait_s=0.0)
