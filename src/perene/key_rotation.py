"""Putting another master key in place of the present one.

The order makes every crash harmless: the new key is on disk before the database uses it, and the
old one until the database has left it. A rotation that was cut short is completed by the next.
"""

import os
from pathlib import Path

from perene.core.errors import RefusedToStart
from perene.process.data_directory import held_data_directory
from perene.settings import Settings
from perene.store.database import Database
from perene.store.errors import MissingMasterKey, WrongMasterKey
from perene.store.instance_lock import held_database
from perene.store.keyring import check_master, in_use, rotate_master_key
from perene.store.master_key import find_master_key, write_master_key

_LIMIT_S = 600.0
"""All keys are wrapped anew in one transaction, however many there are."""

_KEY_SIZE = 32


class RotationInterrupted(RefusedToStart):
    """The database may be under the new key already, and the key file holds the old one."""

    code = "rotation_interrupted"
    remedy = "Run `perene rotate-master-key` again: it completes what was begun."


class KeyNotInFile(RefusedToStart):
    """The master key comes from the environment, which Perene cannot change."""

    code = "key_not_in_file"
    remedy = (
        "Unset PERENE_MASTER_KEY and put that key into the key file, rotate, then set the variable"
        " to the new content of the file."
    )


def next_key_file(settings: Settings) -> Path:
    """Return where the new key waits while a rotation is under way."""
    file = settings.master_key_path
    return file.with_name(f"{file.name}.next")


def rotate(settings: Settings) -> int:
    """Rewrap every session's data key under a new master key; returns how many there were.

    Needs the data directory and the database for itself, so the service is stopped first. Raises
    RefusedToStart kinds, with the database under one of the two keys and both keys on disk.
    """
    if settings.master_key is not None:
        raise KeyNotInFile("The master key is set by PERENE_MASTER_KEY.")
    with held_data_directory(settings.data_dir), held_database(settings.database):
        database = Database.open(settings.database, limit_s=_LIMIT_S)
        try:
            if not database.write_now(in_use):
                raise MissingMasterKey("The database is not under a master key yet.")
            return _rotate(database, settings)
        finally:
            database.close_now()


def _rotate(database: Database, settings: Settings) -> int:
    file, waiting = settings.master_key_path, next_key_file(settings)
    if waiting.exists():
        new = find_master_key(None, waiting, database_in_use=True)
    else:
        # A new key beside a present one that opens nothing would look like a rotation cut short.
        old = find_master_key(None, file, database_in_use=True)
        database.write_now(check_master, old)
        new = os.urandom(_KEY_SIZE)
        write_master_key(waiting, new)
    try:
        database.write_now(check_master, new)
        count = 0
    except WrongMasterKey:
        old = find_master_key(None, file, database_in_use=True)
        count = database.write_now(rotate_master_key, old, new)
    write_master_key(file, new)
    waiting.unlink()
    return count
