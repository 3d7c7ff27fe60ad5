"""What the primitives can refuse."""


class CryptoError(Exception):
    """Root of every refusal by a primitive."""


class BadKey(CryptoError):
    """A key has the wrong length, or is a point that yields no secret."""


class AuthenticationFailed(CryptoError):
    """A ciphertext or its associated data is not what was sealed with this key."""
