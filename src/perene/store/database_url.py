"""What the URL of a database says: of which kind it is, where it is, and which files it needs."""

import os
from pathlib import Path

from sqlalchemy import URL, exc, make_url

from perene.store.errors import CannotConnect
from perene.store.sqlite_files import SqliteFiles
from perene.store.tls_options import check_tls

_TARGET = "target_session_attrs"


def parse_url(url: str) -> URL:
    """Return the URL with the driver that Perene uses, or raise CannotConnect, never quoting it.

    The files that it names for TLS must be there.
    """
    try:
        parsed = make_url(url)
    except (exc.ArgumentError, ValueError):
        # `from None`: the parser's message can hold the password.
        raise CannotConnect("the database URL cannot be parsed") from None
    if "@" in f"{parsed.host}{parsed.database}":
        # What stands before that @ belongs to the password, and must not be told as a host.
        raise CannotConnect(
            "the database URL has an @ too many: in a user or a password, write %40 for @"
            " (and %25 for %)"
        )
    backend = parsed.drivername.partition("+")[0]
    match backend:
        case "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise CannotConnect("an SQLite database in memory would not survive a restart")
            return parsed.set(drivername="sqlite+pysqlite")
        case "postgresql" | "postgres":
            check_tls(parsed)
            return _to_primary(parsed.set(drivername="postgresql+psycopg"))
        case _:
            raise CannotConnect(f"the database kind {backend!r} is not one of sqlite, postgresql")


def _to_primary(url: URL) -> URL:
    """Have libpq pass over standbys, unless the URL says what it wants."""
    # A connection to a standby would be kept, and refuse every write, for as long as it lives.
    asked = url.query.get(_TARGET) or os.environ.get("PGTARGETSESSIONATTRS")
    # Of the two names for it only this one suits readers, whose transactions are read-only.
    wanted = "primary" if asked in (None, "read-write") else asked
    return url.update_query_dict({_TARGET: wanted})


def describe(url: URL) -> str:
    """Return the URL without user, password and options, for messages."""
    asked = url.query.get("host", ())
    place = url.host or ",".join((asked,) if isinstance(asked, str) else asked)
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{place}{port}/{url.database}"


def prepare_file(url: URL) -> None:
    """Make the directory and an empty SQLite file that only its owner can read.

    SQLite gives its journal files the rights of the main file.
    """
    if url.get_backend_name() != "sqlite" or url.database is None:
        return
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise CannotConnect(f"cannot open {path} for writing: {error.strerror}") from error


def sqlite_files(url: URL) -> SqliteFiles | None:
    """Return the files of an SQLite database, None for another kind."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return SqliteFiles(Path(url.database).absolute())
