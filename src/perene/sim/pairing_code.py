"""The phone's side of pairing by code (docs/reference/protocol.md §3.3)."""

import secrets
from dataclasses import dataclass

from perene.crypto import CryptoError, KeyPair, ctr_crypt, gcm_decrypt, hkdf, pbkdf2
from perene.wire.node import Node

_ROUNDS = 131_072
_SALT, _IV, _NONCE, _KEY = 32, 16, 12, 32
_BUNDLE_INFO = b"link_code_pairing_key_bundle_encryption_key"


@dataclass(slots=True, kw_only=True)
class CodeOffer:
    """What a companion that shows a code has sent, and what the phone has answered."""

    ref: bytes
    wrapped: bytes
    """Salt, iv, and the companion's ephemeral key, encrypted under the code."""
    _ephemeral: KeyPair | None = None
    _companion_ephemeral: bytes = b""

    @classmethod
    def from_hello(cls, step: Node, *, ref: bytes) -> "CodeOffer":
        """Read `companion_hello`; raises a NodeError if a part is missing."""
        wrapped = step.need("link_code_pairing_wrapped_companion_ephemeral_pub").data
        return cls(ref=ref, wrapped=wrapped)

    def primary_hello(self, code: str, identity: KeyPair) -> Node:
        """Return the phone's answer, as it makes it with the code that was typed."""
        password = code.replace("-", "").upper().encode()
        salt, iv, sealed = _cut(self.wrapped)
        key = pbkdf2(password, salt=salt, rounds=_ROUNDS, length=_KEY)
        self._companion_ephemeral = ctr_crypt(key, iv, sealed)
        self._ephemeral = KeyPair.generate()
        salt, iv = secrets.token_bytes(_SALT), secrets.token_bytes(_IV)
        key = pbkdf2(password, salt=salt, rounds=_ROUNDS, length=_KEY)
        wrapped = salt + iv + ctr_crypt(key, iv, self._ephemeral.public)
        children = (
            Node("link_code_pairing_ref", {}, self.ref),
            Node("link_code_pairing_wrapped_primary_ephemeral_pub", {}, wrapped),
            Node("primary_identity_pub", {}, identity.public),
        )
        return Node("link_code_companion_reg", {"stage": "primary_hello"}, children)

    def open_bundle(self, step: Node, identity: KeyPair) -> bytes | None:
        """Return the adv secret from `companion_finish`, None if the code was wrong.

        Raises a NodeError if a part is missing.
        """
        bundle = step.need("link_code_pairing_wrapped_key_bundle").data
        companion = step.need("companion_identity_public").data
        if self._ephemeral is None or step.need("link_code_pairing_ref").data != self.ref:
            return None
        try:
            shared = self._ephemeral.agree(self._companion_ephemeral)
            key = hkdf(shared, salt=bundle[:_SALT], info=_BUNDLE_INFO, length=_KEY)
            nonce = bundle[_SALT : _SALT + _NONCE]
            opened = gcm_decrypt(key, nonce, bundle[_SALT + _NONCE :])
            with_identity = identity.agree(companion)
        except CryptoError:
            return None
        if opened[:_KEY] != companion or opened[_KEY : 2 * _KEY] != identity.public:
            return None
        return hkdf(shared + with_identity + opened[2 * _KEY :], info=b"adv_secret", length=_KEY)


def _cut(wrapped: bytes) -> tuple[bytes, bytes, bytes]:
    return wrapped[:_SALT], wrapped[_SALT : _SALT + _IV], wrapped[_SALT + _IV :]
