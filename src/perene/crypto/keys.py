"""Curve25519 key pairs: agreement (X25519) and signatures (XEdDSA)."""

from dataclasses import dataclass, field

import xeddsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from perene.crypto.errors import BadKey

KEY_SIZE = 32
SIGNATURE_SIZE = 64


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A Curve25519 private key (32 bytes, clamped on use) and its public key (32 bytes)."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls) -> "KeyPair":
        """Make a fresh key pair from the system's random source."""
        key = X25519PrivateKey.generate()
        return cls(key.private_bytes_raw(), key.public_key().public_bytes_raw())

    @classmethod
    def from_private(cls, private: bytes) -> "KeyPair":
        """Rebuild the pair from its private half; raises BadKey unless it has 32 bytes."""
        try:
            key = X25519PrivateKey.from_private_bytes(private)
        except ValueError as error:
            raise BadKey("a private key has 32 bytes") from error
        return cls(private, key.public_key().public_bytes_raw())

    def agree(self, peer_public: bytes) -> bytes:
        """Return the 32-byte X25519 secret shared with `peer_public`.

        Raises BadKey for a public key of the wrong length, or of low order (the secret would be
        all zero, and known to everybody).
        """
        try:
            private = X25519PrivateKey.from_private_bytes(self.private)
            return private.exchange(X25519PublicKey.from_public_bytes(peer_public))
        except ValueError as error:
            raise BadKey("the peer's public key yields no shared secret") from error

    def sign(self, message: bytes) -> bytes:
        """Sign with XEdDSA; the signature has 64 bytes and differs on every call."""
        positive = xeddsa.priv_force_sign(_clamp(self.private), False)
        return xeddsa.ed25519_priv_sign(positive, message)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is an XEdDSA signature of `message` by the holder of `public`.

    Signers that do not force the sign of their Edwards point to zero leave its sign bit in the top
    bit of the signature (npm curve25519-js 0.0.4 `index.js`, whatsmeow util/keys, 2026-08-21); it
    is moved to the key before the check. Ill-formed keys and signatures are simply not valid.
    """
    if len(public) != KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    sign_bit = bool(signature[63] & 0x80)
    plain = signature[:63] + bytes((signature[63] & 0x7F,))
    edwards = xeddsa.curve25519_pub_to_ed25519_pub(public, sign_bit)
    return xeddsa.ed25519_verify(plain, edwards, message)


def _clamp(private: bytes) -> bytes:
    # RFC 7748 §5: X25519 clamps on use; the Edwards form of the same scalar must be clamped first.
    return bytes((private[0] & 248,)) + private[1:31] + bytes((private[31] & 127 | 64,))
