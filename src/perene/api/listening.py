"""The socket that the API listens on: it never keeps sessions from their sockets."""

import errno
import socket
import time
import weakref

import structlog

from perene.core.errors import RefusedToStart
from perene.process.dialling import is_literal

log = structlog.stdlib.get_logger()

_NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_TELL_EVERY_S = 60.0

_SAME_LOOK_S = 0.5
"""asyncio looks again a second after it was told that the system has nothing left."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)


class Listening(socket.socket):
    """Listens, and takes `most` connections at a time, any number for None.

    A session that finds no descriptor left is down, and whoever can reach this port can open
    connections without a key. What is too much is told so, and closed.
    """

    def __init__(self, listening: socket.socket, *, most: int | None) -> None:
        super().__init__(fileno=listening.detach())
        self._most = most
        self._taken: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._exhausted_at = self._told_at = float("-inf")

    def accept(self) -> tuple[socket.socket, object]:
        """Take a connection; BlockingIOError when there is none to be taken now."""
        now = time.monotonic()
        if now < self._exhausted_at + _SAME_LOOK_S:
            # asyncio of Python 3.11 asks some thousand times in a row, and logs each failure.
            raise BlockingIOError
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno in _NONE_LEFT:
                self._exhausted_at = now
            raise
        if self._is_full():
            self._refuse(connection, now)
            raise BlockingIOError
        self._taken.add(connection)
        return connection, address

    def _is_full(self) -> bool:
        if self._most is None or len(self._taken) < self._most:
            return False
        return sum(taken.fileno() >= 0 for taken in self._taken) >= self._most

    def _refuse(self, connection: socket.socket, now: float) -> None:
        with connection:
            connection.setblocking(False)
            try:
                connection.send(_FULL)
            except OSError:
                pass  # it has gone
        if now >= self._told_at + _TELL_EVERY_S:
            self._told_at = now
            log.warning("api_connections_refused", limit=self._most)


def listening_socket(host: str, port: int, *, most: int | None = None) -> Listening:
    """Return a socket that listens; RefusedToStart says why there is none.

    "::" stands for every address of this machine, those of IPv4 included.
    """
    try:
        sock = socket.create_server(
            (host, port),
            family=_family(host),
            backlog=512,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        # Python puts the address behind the reason, once more.
        reason = str(error.strerror).partition(" (while")[0]
        free = "free it, or " if error.errno == errno.EADDRINUSE else ""
        raise RefusedToStart(
            f"Cannot listen on {host} port {port} ({reason}):"
            f" {free}choose others with PERENE_HOST and PERENE_PORT."
        ) from error
    # Accepted connections inherit it. asyncio sets it only where a socket names its protocol,
    # which this one does not; without it each answer on a kept connection waits 40 ms for the
    # acknowledgement of its own headers.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Listening(sock, most=most)


def _family(host: str) -> socket.AddressFamily:
    """Return IPv6 for an address of it, and for a name that has no other."""
    if is_literal(host):  # no resolver is asked, which may hang
        return socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    families = {family for family, *_ in found}
    return socket.AF_INET if socket.AF_INET in families else socket.AF_INET6
