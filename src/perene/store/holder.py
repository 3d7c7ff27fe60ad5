"""Who holds a database: what a service tells of itself where others can read it."""

import os
import re
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

_NAME = re.compile(r"perene (?P<pid>\d+) [0-9a-f]{8}(?: (?P<host>\S+))?")
_NAME_BYTES = 63
"""PostgreSQL cuts an `application_name` here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The service that holds a database, as far as it is known; as text, words for a sentence.

    `name` is what `new_name` returned there. `address` is None when it is on the server's machine.
    """

    name: str = ""
    since: datetime | None = None
    address: str | None = None

    def __str__(self) -> str:
        told = _NAME.match(self.name)
        words = f"process {told['pid']}" if told else "another process"
        if told and told["host"]:
            words += f" on {told['host']}"
        if self.address:
            words += f" ({self.address})"
        if self.since is not None:
            words += f", since {self.since.astimezone(UTC).isoformat(timespec='seconds')}"
        return words


def new_name() -> str:
    """Return a name for a hold of this process: its id, something unique, and its host."""
    # Hosts have all sorts of names, and two containers of one name can have the same process id.
    host = re.sub(r"[^!-~]", "?", socket.gethostname())
    return f"perene {os.getpid()} {secrets.token_hex(4)} {host}"[:_NAME_BYTES].strip()
