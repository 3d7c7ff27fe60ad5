"""TLS to the server: whom it trusts, read once for many dials."""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from perene.core.causes import Local
from perene.engine import endings
from perene.engine.endpoint import Endpoint

_SHARED_FOR_S = 3600
"""How long a change of the system's authorities may go unnoticed; that of a named file does not."""


def tls_context(*, ca_file: str | None, verify: bool) -> ssl.SSLContext:
    """Return a new context that trusts the system's authorities and those of a PEM file.

    Raises OSError for a file that cannot be read, ssl.SSLError for one without certificates.
    """
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    if not verify:
        # The Noise certificate is checked in any case; TLS around it hides traffic, no more.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    context: ssl.SSLContext
    edition: tuple[int, ...] | None
    at: float


class SharedTls:
    """The contexts that all dials with the same trust share.

    To read the system's authorities takes 20 to 80 ms: too long for every dial of a thousand.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._made: dict[tuple[str | None, bool], _Made] = {}

    def of(self, endpoint: Endpoint) -> ssl.SSLContext | None:
        """Return the context for a dial to an endpoint, None without TLS.

        Raises ConnectionEnded when the endpoint's file of authorities cannot be used.
        """
        if not endpoint.url.startswith("wss:"):
            return None
        try:
            return self._context(endpoint.ca_file, verify=endpoint.tls_verify)
        except OSError as error:
            name = type(error).__name__
            raise endings.local(
                Local.TLS, f"The file of TLS authorities cannot be used ({name})."
            ) from error

    def _context(self, ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
        now, edition = self._monotonic(), None if ca_file is None else _edition(ca_file)
        made = self._made.get((ca_file, verify))
        if made is not None and made.edition == edition and now - made.at < _SHARED_FOR_S:
            return made.context
        context = tls_context(ca_file=ca_file, verify=verify)
        # Python says nothing of a file that it cannot open, as while no descriptor is left, or an
        # update replaces it. An hour of that is not to be shared with everybody.
        if context.cert_store_stats()["x509_ca"]:
            self._made[ca_file, verify] = _Made(context=context, edition=edition, at=now)
        return context


def _edition(path: str) -> tuple[int, ...]:
    """Return what changes with a file's content."""
    found = Path(path).stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
