"""The API keys, for an operator at the machine: whoever can write the database may give them out.

A running service is not asked, so that this also works with a service that is stopped, and for
somebody who has lost every key; and no key can make another, which would outlive its revocation.
"""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Connection

from perene.core.clock import SystemClock
from perene.core.errors import NotFound, RefusedToStart
from perene.settings import Settings
from perene.store import api_keys
from perene.store.api_keys import ApiKey
from perene.store.database import Database
from perene.store.inspection import sqlite_file


class NoDatabaseYet(RefusedToStart):
    """There is no database to keep keys in."""

    code = "no_database_yet"
    remedy = (
        "Give this command the variables that the service runs with. If there was no service yet,"
        " `perene serve` makes the database, and shows a first key."
    )


def keys(settings: Settings) -> list[ApiKey]:
    """Return every key, oldest first. Blocking, as all of these are.

    Each raises RefusedToStart when the database cannot be opened, and StorageUnavailable.
    """
    with _database(settings) as database:
        return database.write_now(api_keys.list_api_keys)


def create(settings: Settings, name: str) -> tuple[ApiKey, str]:
    """Make a key; its text (second) is returned here and never again."""
    with _database(settings) as database:
        return database.write_now(api_keys.create_api_key, name, SystemClock().now())


def find(settings: Settings, key_id: str) -> ApiKey:
    """Return a key; NotFound."""
    with _database(settings) as database:
        return database.write_now(_find, key_id)


def revoke(settings: Settings, key_id: str) -> int:
    """Delete a key, and return how many are left; NotFound.

    A running service refuses it at its next request, and sees it by itself within seconds: see
    `supervisor.desks.keys`.
    """
    with _database(settings) as database:
        return database.write_now(_revoke, key_id)


def _find(connection: Connection, key_id: str) -> ApiKey:
    for key in api_keys.list_api_keys(connection):
        if key.id == key_id:
            return key
    raise NotFound(f"There is no API key {key_id}.")


def _revoke(connection: Connection, key_id: str) -> int:
    api_keys.revoke_api_key(connection, key_id)
    return len(api_keys.list_api_keys(connection))


@contextmanager
def _database(settings: Settings) -> Generator[Database]:
    file = sqlite_file(settings.database)
    try:
        missing = file is not None and not (file.exists() and file.stat().st_size)
    except OSError as error:
        raise RefusedToStart(f"{file} cannot be looked at ({error.strerror}).") from error
    if missing:
        raise NoDatabaseYet(f"{file} does not exist yet.")
    database = Database.open(settings.database, migrate=False)
    try:
        yield database
    finally:
        database.close_now()
