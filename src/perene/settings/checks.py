"""What a text must look like to be a key or an address; each check raises ValueError."""

import base64
import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from perene.core.written_keys import key_of_32_bytes


class Explained(ValueError):
    """What is wrong with a value, in a sentence that may be shown as it is."""


def secret_key(value: SecretStr) -> SecretStr:
    """Return a secret key of 32 bytes in the one form that is handed on: base64."""
    key = key_of_32_bytes(value.get_secret_value())
    return SecretStr(base64.b64encode(key).decode("ascii"))


def check_key(value: str) -> str:
    """Return a text that is a key of 32 bytes."""
    key_of_32_bytes(value)
    return value


def local_path(value: Path) -> Path:
    """Return a path without ~, of which the system and SQLite can both be told."""
    try:
        path = value.expanduser()
    except RuntimeError:
        # A user that a container was given by number alone has none, nor has one that is not there.
        raise Explained(
            f"{value} lies in a home directory that nobody knows; give a path without ~."
        ) from None
    _check_text(str(path))
    return path


def check_database(value: SecretStr) -> SecretStr:
    """Return the address of a database of a kind that is supported."""
    _check_text(value.get_secret_value())
    schemes = frozenset({"sqlite", "postgresql", "postgres"})
    _check_address(value.get_secret_value(), schemes, needs_host=False)
    return value


def check_proxy(value: SecretStr) -> SecretStr:
    """Return the address of a proxy; it may hold a password."""
    schemes = frozenset({"http", "https"})
    _check_address(value.get_secret_value(), schemes, needs_host=True)
    return value


def check_endpoint(value: str) -> str:
    """Return the address of a WebSocket server."""
    _check_address(value, frozenset({"ws", "wss"}), needs_host=True)
    return value


def check_web_address(value: str) -> str:
    """Return the address of a page."""
    _check_address(value, frozenset({"http", "https"}), needs_host=True)
    return value


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that the locale of this process has no letters for
        raise Explained("it is not UTF-8; give another, or set LC_ALL=C.UTF-8.") from None


def _check_address(url: str, schemes: frozenset[str], *, needs_host: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in schemes or (needs_host and not parts.hostname):
        raise ValueError("not such an address")


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
