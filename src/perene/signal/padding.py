"""Padding of plaintexts: n bytes of value n, so that a ciphertext hides its exact length."""

import secrets

from perene.signal.errors import InvalidPadding

# whatsmeow (send.go, 2026-08-21) draws 1..15, Baileys 1..16; 16 would often add a whole block.
_MAX = 15
_UNPADDED_VERSION = 3


def pad(plaintext: bytes, n: int | None = None) -> bytes:
    """Append `n` bytes of value n (1..255; random 1..15 when None)."""
    if n is None:
        n = secrets.randbelow(_MAX) + 1
    return plaintext + bytes((n,)) * n


def unpad(data: bytes, version: int = 2) -> bytes:
    """Strip what `pad` appended, or raise InvalidPadding. Payloads of `<enc v="3">` have none."""
    if version == _UNPADDED_VERSION:
        return data
    n = data[-1] if data else 0
    if not 1 <= n <= len(data) or data[-n:] != bytes((n,)) * n:
        raise InvalidPadding("a plaintext ends in n bytes of value n")
    return data[:-n]
