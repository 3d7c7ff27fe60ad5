"""Which addresses take a connection and then carry nothing.

A TCP connection proves little of the way: its packets are small. Where large ones vanish (a path
MTU black hole, RFC 2923 §2.1, met mostly with IPv6 in tunnels, where routers split nothing), each
dial gets its connection, and dies in the TLS handshake, whose certificates fill whole packets. So
does a dial to a load balancer with nobody behind it. Trying the addresses side by side (`dialling`)
does not help: the first to connect wins, and it is the same one every time.
"""

import asyncio
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from ssl import SSLCertVerificationError
from time import monotonic

from perene.process.dialling import Address

Place = tuple[int, str]
"""A family and an address in it, whatever the port."""

TELLING_S = 5.0
"""A TLS handshake that was given up after so long had time enough to carry something."""

_NEVER = 0, 0

_KEPT = 256
"""Addresses that are remembered: a name may get new ones for ever."""


class Reputation:
    """Puts what has lately carried nothing behind the rest.

    Whoever failed last comes last, so that no address is given up for good, and none needs to be
    forgiven by a clock. A family is distrusted with each of its addresses: they share their way.
    """

    def __init__(self, *, telling_s: float = TELLING_S) -> None:
        self._telling_s = telling_s
        self._failures = 0
        self._failed_at: dict[int | Place, int] = {}
        """The number of the last failure of a family or a place, counted over all."""

    def in_order(self, addresses: Sequence[Address]) -> tuple[list[Address], list[Address]]:
        """Return those that are trusted as they came, and the others, the oldest failure first."""
        families = {address[0] for address in addresses}

        def failed_at(address: Address) -> tuple[int, int]:
            of_family = self._failed_at.get(address[0], 0) if len(families) > 1 else 0
            return of_family, self._failed_at.get((address[0], address[4][0]), 0)

        trusted = [address for address in addresses if failed_at(address) == _NEVER]
        distrusted = [address for address in addresses if failed_at(address) != _NEVER]
        return trusted, sorted(distrusted, key=failed_at)

    def trusts(self, place: Place | None) -> bool:
        """Tell whether nothing speaks against this place itself."""
        return place is None or place not in self._failed_at

    @contextmanager
    def learning(self, place: Place | None) -> Generator[None]:
        """Learn from a TLS handshake what the way to this place carries."""
        if place is None:
            yield
            return
        began = monotonic()
        try:
            yield
        except SSLCertVerificationError:  # what was refused has arrived
            self._carried(place)
            raise
        except OSError:
            self._failed(place)
            raise
        except asyncio.CancelledError:
            if monotonic() - began >= self._telling_s:
                self._failed(place)
            raise
        self._carried(place)

    def _failed(self, place: Place) -> None:
        for key in (place[0], place):
            self._failures += 1
            self._failed_at.pop(key, None)
            self._failed_at[key] = self._failures
        while len(self._failed_at) > _KEPT:
            del self._failed_at[next(iter(self._failed_at))]

    def _carried(self, place: Place) -> None:
        for key in (place[0], place):
            self._failed_at.pop(key, None)


def place_of(one: socket.socket) -> Place | None:
    """Return the place that a socket is connected to, None if the other side has left already."""
    try:
        return one.family, one.getpeername()[0]
    except OSError:
        return None
