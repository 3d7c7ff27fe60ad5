"""Sealed blobs: AES-256-GCM with a key per session, bound to the row they are stored in.

A blob is: format version (1 byte, 0x01), generation of the data key (2 bytes, big-endian), nonce
(12 random bytes), ciphertext with its 16-byte tag. The associated data names the session's id, the
table and the row, so that a blob moved to another row, table or session does not open.

Random nonces are safe for 2**32 blobs per key (NIST SP 800-38D §8.3), which a busy session reaches
after years; the generation leaves room for a new key by then.
"""

import os
from dataclasses import dataclass, field
from typing import Final

from perene.core.errors import UnreadableState
from perene.core.ids import SessionId
from perene.crypto import AuthenticationFailed, gcm_decrypt, gcm_encrypt

FORMAT: Final = 1
KEY_SIZE: Final = 32
_HEAD: Final = 3
_NONCE: Final = 12
_TAG: Final = 16


def seal(key: bytes, generation: int, aad: bytes, plaintext: bytes) -> bytes:
    """Seal `plaintext` under a 32-byte key."""
    nonce = os.urandom(_NONCE)
    head = bytes((FORMAT, generation >> 8, generation & 0xFF))
    return head + nonce + gcm_encrypt(key, nonce, plaintext, aad)


def generation_of(blob: bytes) -> int:
    """Return the generation of the key that a blob was sealed with, or raise UnreadableState."""
    if len(blob) < _HEAD + _NONCE + _TAG:
        raise UnreadableState("a sealed value is cut short")
    if blob[0] != FORMAT:
        raise UnreadableState(f"a sealed value has the unknown format {blob[0]}")
    return blob[1] << 8 | blob[2]


def unseal(key: bytes, aad: bytes, blob: bytes) -> bytes:
    """Open a blob; raises UnreadableState when the key, the row or a single bit differs."""
    generation_of(blob)
    try:
        return gcm_decrypt(key, blob[_HEAD : _HEAD + _NONCE], blob[_HEAD + _NONCE :], aad)
    except AuthenticationFailed as error:
        raise UnreadableState("a sealed value was damaged, or moved to another row") from error


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals and opens the blobs of one session. `keys` maps generations to data keys."""

    session: SessionId
    keys: dict[int, bytes] = field(repr=False)
    current: int

    def seal(self, table: str, row: str, plaintext: bytes) -> bytes:
        """Seal a value for the named row of a table."""
        aad = f"{self.session}\0{table}\0{row}".encode()
        return seal(self.keys[self.current], self.current, aad, plaintext)

    def open(self, table: str, row: str, blob: bytes) -> bytes:
        """Open the value of the named row, or raise UnreadableState."""
        key = self.keys.get(generation_of(blob))
        if key is None:
            raise UnreadableState(
                f"{table} holds a value sealed with a data key that this database lacks"
            )
        try:
            return unseal(key, f"{self.session}\0{table}\0{row}".encode(), blob)
        except UnreadableState as error:
            raise UnreadableState(f"{error} (table {table})") from error
