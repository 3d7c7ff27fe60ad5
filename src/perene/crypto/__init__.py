"""Thin names over the primitives: key pairs, XEdDSA, HKDF, AEAD. Imports nobody of ours."""

from perene.crypto.aead import (
    cbc_decrypt,
    cbc_encrypt,
    ctr_crypt,
    gcm_decrypt,
    gcm_encrypt,
)
from perene.crypto.errors import AuthenticationFailed, BadKey, CryptoError
from perene.crypto.kdf import hkdf, hmac_sha256, pbkdf2, same
from perene.crypto.keys import KeyPair, verify

__all__ = [
    "AuthenticationFailed",
    "BadKey",
    "CryptoError",
    "KeyPair",
    "cbc_decrypt",
    "cbc_encrypt",
    "ctr_crypt",
    "gcm_decrypt",
    "gcm_encrypt",
    "hkdf",
    "hmac_sha256",
    "pbkdf2",
    "same",
    "verify",
]
