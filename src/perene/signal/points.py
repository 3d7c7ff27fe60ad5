"""Public keys on the wire: 33 bytes, of which the first is 0x05 for Curve25519.

Inside, and in every API of this package, a public key is the 32 bytes alone.
"""

from perene.crypto import BadKey, KeyPair
from perene.crypto.keys import KEY_SIZE
from perene.signal.errors import InvalidKey

_CURVE25519 = b"\x05"


def to_wire(public: bytes) -> bytes:
    """Return the 33-byte form of a 32-byte public key."""
    return _CURVE25519 + public


def from_wire(data: bytes) -> bytes:
    """Return the 32-byte key of its 33-byte form, or raise InvalidKey."""
    if len(data) != KEY_SIZE + 1 or data[:1] != _CURVE25519:
        raise InvalidKey("a public key on the wire is 0x05 and 32 bytes")
    return data[1:]


def checked(public: bytes) -> bytes:
    """Return `public` if it has 32 bytes, or raise InvalidKey."""
    if len(public) != KEY_SIZE:
        raise InvalidKey(f"a public key has 32 bytes, not {len(public)}")
    return public


def agree(pair: KeyPair, peer_public: bytes) -> bytes:
    """Return the X25519 secret, or raise InvalidKey for a key that yields none."""
    try:
        return pair.agree(peer_public)
    except BadKey as error:
        raise InvalidKey("the peer's public key yields no secret") from error
