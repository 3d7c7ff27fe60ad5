"""Making text from the network storable, so that no peer can write what a database refuses.

PostgreSQL stores no NUL and no lone surrogate, and refuses index entries above 2,700 bytes. One
such value would fail its whole transaction, at every redelivery, for ever.
"""

import hashlib
from typing import Final

_LONGEST_KEY: Final = 256
_KEPT: Final = 160


def storable(text: str) -> str:
    """Return the text without NULs, and with `?` for every lone surrogate."""
    if "\0" in text:
        text = text.replace("\0", "")
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def storable_or_none(text: str | None) -> str | None:
    """Return `storable(text)`, or None for None."""
    return None if text is None else storable(text)


def indexable(text: str) -> str:
    """Return a storable key of at most 256 characters; longer ones end in their SHA-256."""
    text = storable(text)
    if len(text) <= _LONGEST_KEY:
        return text
    return f"{text[:_KEPT]}~{hashlib.sha256(text.encode()).hexdigest()}"
