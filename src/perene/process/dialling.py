"""A TCP connection to a name that has several addresses: the first that answers is taken.

The way to one family of addresses can be a black hole: the name has an IPv6 address, the machine a
route, and packets vanish. Who tries the addresses one after the other then spends the whole time of
a dial on the first. RFC 8305 ("Happy Eyeballs") tries the next one a little later, while the first
may still answer. So does Go's `net.Dialer` by itself (300 ms, `FallbackDelay`), on which whatsmeow
stands. Node, on which Baileys stands, takes turns since version 20 (250 ms, `autoSelectFamily`),
but gives up the earlier address for the later one, and never reaches a server that is further away
than that (nodejs/node#48145, #52216).

asyncio has it as well (`happy_eyeballs_delay`), but off, and not for us: what it drops or loses by
a cancellation keeps its socket until the garbage collector comes, which is seldom here; of 3,000
dials that were hurried 450 to 700 sockets were left (measured with Python 3.11.7, 3.12.1, 3.13.0).
In Python 3.11 a cancellation can also be swallowed there, and a dial go on that has been won
(python/cpython#86296, #98388).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import Any

Address = tuple[Any, ...]
"""As `socket.getaddrinfo` returns them: family, type, protocol, name, place."""

Connect = Callable[[Address], Awaitable[socket.socket]]

NEXT_AFTER_S = 0.25
"""How long an address is waited for alone (RFC 8305 §5 and §8)."""

DISTRUSTED_AFTER_S = 3.0
"""How long the others are waited for before one that is not trusted is tried as well."""

LAST_FOR_S = 10.0
"""How long a silent address is waited for when the others have failed. A lost packet is sent again
after 1, 3 and 7 s; who waits on for a black hole misses that the others are there again."""


def is_literal(host: str) -> bool:
    """Tell whether this is an address, so that nobody needs to be asked for any."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):  # the latter for what can be no name either
            continue
        return True
    return False


def in_turn(addresses: Sequence[Address]) -> list[Address]:
    """Return the addresses with their families in turns, the resolver's first choice first.

    The order within a family is the resolver's (RFC 8305 §4, RFC 6724).
    """
    families: dict[object, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def connected(address: Address) -> socket.socket:
    """Return a socket that is connected to one address, or raise OSError."""
    family, kind, protocol, _, place = address
    one = socket.socket(family, kind, protocol)
    try:
        one.setblocking(False)
        await asyncio.get_running_loop().sock_connect(one, place)
    except BaseException:  # whoever was to have it may be cancelled, too
        one.close()
        raise
    return one


async def first_connected(
    addresses: Sequence[Address],
    distrusted: Sequence[Address] = (),
    *,
    connect: Connect = connected,
    next_after_s: float = NEXT_AFTER_S,
    distrusted_after_s: float = DISTRUSTED_AFTER_S,
    last_for_s: float = LAST_FOR_S,
) -> socket.socket:
    """Return a socket to the first address that answers; there must be one address at least.

    Those that are not trusted (`reputation`) come last, and later.

    Raises OSError when none does: the one error that all have, or one that lists them in the form
    of asyncio. While all are silent it waits until cancelled. Whatever happens, no other socket is
    left open, and no task.
    """
    turns = [(address, next_after_s) for address in addresses]
    turns += [(address, distrusted_after_s) for address in distrusted]
    if len(turns) == 1:
        return await connect(turns[0][0])
    race = _Race(connect)
    try:
        await race.run(turns, last_for_s)
    except BaseException:  # cancelled in the moment in which one was won
        if race.won is not None:
            race.won.close()
        raise
    if race.won is None:
        raise _all_of(race.failures)
    return race.won


class _Race:
    """Attempts to connect of which one is enough."""

    def __init__(self, connect: Connect) -> None:
        self.won: socket.socket | None = None
        self.failures: list[OSError] = []
        self._connect = connect

    async def run(self, turns: Sequence[tuple[Address, float]], last_for_s: float) -> None:
        """Return when one attempt has won, or all have failed or are hopeless.

        Each address comes with the seconds that the ones before it are waited for.
        """
        async with asyncio.TaskGroup() as group:
            under_way: set[asyncio.Task[None]] = set()
            for address, after_s in turns:
                if under_way:
                    under_way = await self._news(under_way, after_s)
                if self.won is not None:
                    break
                under_way.add(group.create_task(self._attempt(address)))
            hopeless = False
            while under_way and self.won is None and not hopeless:
                left = await self._news(under_way, last_for_s if self.failures else None)
                hopeless, under_way = left == under_way, left
            for attempt in under_way:
                attempt.cancel()

    async def _news(
        self, under_way: set[asyncio.Task[None]], within_s: float | None
    ) -> set[asyncio.Task[None]]:
        """Wait until an attempt is over, or for a time; return those that are not."""
        _, left = await asyncio.wait(
            under_way, timeout=within_s, return_when=asyncio.FIRST_COMPLETED
        )
        return left

    async def _attempt(self, address: Address) -> None:
        try:
            one = await self._connect(address)
        except OSError as error:
            # A new one, which holds no frames: those would keep this race, and that the error.
            self.failures.append(type(error)(*error.args))
            return
        if self.won is None:
            self.won = one
        else:
            one.close()


def _all_of(failures: Sequence[OSError]) -> OSError:
    """Return one error for all of them, which `engine.unreachable` can read."""
    texts = dict.fromkeys(map(str, failures))
    if len({error.errno for error in failures}) == 1:
        return type(failures[0])(*failures[0].args)
    return OSError(f"Multiple exceptions: {', '.join(texts)}")
