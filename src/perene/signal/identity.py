"""Who we are towards every peer."""

import secrets
from dataclasses import dataclass

from perene.crypto import KeyPair

# npm libsignal keyhelper.js (6.0.0) draws 14 bits; 0 would read as absent.
_REGISTRATION_IDS = 0x3FFF


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalIdentity:
    """Our identity key pair and registration id, the same towards every peer of a session."""

    key_pair: KeyPair
    registration_id: int

    @classmethod
    def generate(cls) -> "LocalIdentity":
        """Make a fresh identity with a registration id in 1..16383."""
        registration_id = secrets.randbelow(_REGISTRATION_IDS) + 1
        return cls(key_pair=KeyPair.generate(), registration_id=registration_id)
