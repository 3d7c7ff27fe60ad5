"""psycopg, as far as it is there: a service on SQLite does without its 9 MiB.

Nothing can be an error or a connection of a driver that nobody has loaded. SQLAlchemy loads it when
an engine for PostgreSQL is made.
"""

import sys
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    import psycopg


def is_psycopg_error(error: object) -> "TypeGuard[psycopg.Error]":
    """Tell whether something is an exception of psycopg."""
    return _is("Error", error)


def is_psycopg_connection(connection: object) -> "TypeGuard[psycopg.Connection]":
    """Tell whether something is a connection of psycopg."""
    return _is("Connection", connection)


def _is(kind: str, what: object) -> bool:
    # Half loaded in another thread, it has not everything yet, and nobody has anything of it.
    found = getattr(sys.modules.get("psycopg"), kind, None)
    return found is not None and isinstance(what, found)
