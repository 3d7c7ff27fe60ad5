"""Key derivation and message authentication codes."""

import hashlib
import hmac


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA-256 of `data`."""
    return hmac.digest(key, data, "sha256")


def hkdf(ikm: bytes, *, salt: bytes = b"", info: bytes = b"", length: int) -> bytes:
    """Derive `length` bytes (at most 8160) with HKDF-SHA-256 (RFC 5869).

    An empty salt stands for 32 zero bytes, as the RFC says. Built on the one-shot HMAC of the
    standard library: the object API of `cryptography` costs four times as much, and this runs
    several times for each message.
    """
    key = hmac.digest(salt or bytes(32), ikm, "sha256")
    block = b""
    output = b""
    counter = 1
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes((counter,)), "sha256")
        output += block
        counter += 1
    return output[:length]


def pbkdf2(password: bytes, *, salt: bytes, rounds: int, length: int) -> bytes:
    """Stretch a password with PBKDF2-HMAC-SHA-256."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, rounds, length)


def same(left: bytes, right: bytes) -> bool:
    """Compare two secrets in time that does not depend on where they differ."""
    return hmac.compare_digest(left, right)
