"""The master key: 32 bytes, from the environment or from a file that only its owner can read."""

import base64
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from perene.core.written_keys import key_of_32_bytes
from perene.store.errors import BadMasterKey, ExposedKeyFile, MissingMasterKey, UnusableKeyFile
from perene.store.sealing import KEY_SIZE

_FOR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def parse_master_key(text: str) -> bytes:
    """Return the 32 bytes of a key, or raise BadMasterKey without quoting it.

    In every form that PERENE_MASTER_KEY can have, so that its key can be put into the file as it
    is: hex, or base64 of either alphabet.
    """
    try:
        return key_of_32_bytes(text.strip())
    except ValueError:
        # `from None`: the cause might quote the key.
        raise BadMasterKey(f"the master key is not {KEY_SIZE} bytes in hex or base64") from None


def find_master_key(value: str | None, file: Path, *, database_in_use: bool) -> bytes:
    """Return the master key: the given value, else the file's, else a new one in a new file.

    `database_in_use` says that the database was sealed already: a new key is never made then, and
    MissingMasterKey is raised. A file that others can read is refused, not mended: whoever read
    it still has the key, and a person has to decide what follows. Raises BadMasterKey too, and
    UnusableKeyFile.
    """
    if value is not None and value.strip():
        return parse_master_key(value)
    with _told("read", file):
        try:
            return _read(file)
        except FileNotFoundError:
            pass
    if database_in_use:
        raise MissingMasterKey(f"the database holds sealed data and the key file {file} is missing")
    return _create(file)


def _read(file: Path) -> bytes:
    status = file.stat()
    if status.st_mode & _FOR_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise ExposedKeyFile(f"the key file {file} has mode {mode:o}, and 600 is needed")
    try:
        return parse_master_key(file.read_text("ascii"))
    except (BadMasterKey, UnicodeDecodeError):
        raise BadMasterKey(
            f"the key file {file} does not hold {KEY_SIZE} bytes in hex or base64"
        ) from None


def write_master_key(file: Path, key: bytes) -> None:
    """Replace the key file's content durably; after a crash it holds the old key or the new one.

    Raises UnusableKeyFile.
    """
    fresh = file.with_name(f"{file.name}.new")
    with _told("written", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        _write(fresh, key)
        fresh.replace(file)
        _sync_directory(file.parent)


@contextmanager
def _told(what: str, file: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise UnusableKeyFile(f"the key file {file} cannot be {what} ({error.strerror})") from error


def _create(file: Path) -> bytes:
    key = os.urandom(KEY_SIZE)
    # Only a whole file may ever have the final name: a crash must not leave half a key behind.
    write_master_key(file, key)
    return key


def _write(file: Path, key: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(base64.b64encode(key) + b"\n")
        out.flush()
        os.fsync(out.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
