"""AES in the three modes that the protocol uses."""

from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from perene.crypto.errors import AuthenticationFailed, BadKey

_BLOCK = 16


@lru_cache(maxsize=1024)
def _gcm(key: bytes) -> AESGCM:
    # A connection uses two keys for thousands of frames; expanding a key costs more than sealing.
    # The bound keeps a few hundred busy connections from expanding theirs again and again.
    try:
        return AESGCM(key)
    except ValueError as error:
        raise BadKey(f"an AES-GCM key has 16, 24 or 32 bytes, not {len(key)}") from error


def gcm_encrypt(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes = b"") -> bytes:
    """Seal with AES-GCM; the 16-byte tag is appended. `nonce` has 12 bytes."""
    return _gcm(key).encrypt(nonce, plaintext, aad)


def gcm_decrypt(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes = b"") -> bytes:
    """Open what `gcm_encrypt` sealed, or raise AuthenticationFailed."""
    try:
        return _gcm(key).decrypt(nonce, ciphertext, aad)
    except InvalidTag as error:
        raise AuthenticationFailed("the AES-GCM tag does not match") from error


def cbc_encrypt(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """Encrypt with AES-CBC and PKCS #7 padding. `iv` has 16 bytes."""
    fill = _BLOCK - len(plaintext) % _BLOCK
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(plaintext + bytes((fill,)) * fill) + encryptor.finalize()


def cbc_decrypt(key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
    """Decrypt AES-CBC and strip PKCS #7 padding, or raise AuthenticationFailed.

    The caller has checked a MAC over the ciphertext before; CBC itself authenticates nothing.
    """
    if not ciphertext or len(ciphertext) % _BLOCK:
        raise AuthenticationFailed("an AES-CBC ciphertext is a whole number of 16-byte blocks")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    fill = padded[-1]
    if not 1 <= fill <= _BLOCK or padded[-fill:] != bytes((fill,)) * fill:
        raise AuthenticationFailed("the AES-CBC padding is not PKCS #7")
    return padded[:-fill]


def ctr_crypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypt or decrypt with AES-CTR (its own inverse). `iv` has 16 bytes."""
    stream = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return stream.update(data) + stream.finalize()
