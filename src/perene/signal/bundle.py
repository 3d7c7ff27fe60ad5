"""Pre-keys: what we publish, and what a peer published."""

from collections.abc import Iterator
from dataclasses import dataclass

from perene.crypto import KeyPair
from perene.signal.points import to_wire


@dataclass(frozen=True, slots=True, kw_only=True)
class PreKey:
    """A one-time pre-key of ours. Ids start at 1: on the wire 0 stands for "none"."""

    id: int
    key_pair: KeyPair

    @classmethod
    def generate(cls, key_id: int) -> "PreKey":
        """Make a fresh one-time pre-key."""
        return cls(id=key_id, key_pair=KeyPair.generate())


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPreKey:
    """A signed pre-key of ours; `signature` (64 bytes) is by our identity key."""

    id: int
    key_pair: KeyPair
    signature: bytes

    @classmethod
    def generate(cls, key_id: int, identity: KeyPair) -> "SignedPreKey":
        """Make a fresh signed pre-key; what is signed is its 33-byte wire form."""
        pair = KeyPair.generate()
        return cls(id=key_id, key_pair=pair, signature=identity.sign(to_wire(pair.public)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PreKeyBundle:
    """What the server hands out to start a ratchet with one device.

    Keys have 32 bytes. `pre_key_id` and `pre_key` are both present or both None: a device whose
    one-time pre-keys ran out is still reachable through its signed one.
    """

    registration_id: int
    identity: bytes
    signed_pre_key_id: int
    signed_pre_key: bytes
    signed_pre_key_signature: bytes
    pre_key_id: int | None = None
    pre_key: bytes | None = None


def generate_pre_keys(first_id: int, count: int) -> Iterator[PreKey]:
    """Make `count` one-time pre-keys with consecutive ids from `first_id`."""
    return (PreKey.generate(key_id) for key_id in range(first_id, first_id + count))


def publish(
    *, registration_id: int, identity: bytes, signed: SignedPreKey, one_time: PreKey | None = None
) -> PreKeyBundle:
    """Return the public half of our keys as a peer would fetch it."""
    return PreKeyBundle(
        registration_id=registration_id,
        identity=identity,
        signed_pre_key_id=signed.id,
        signed_pre_key=signed.key_pair.public,
        signed_pre_key_signature=signed.signature,
        pre_key_id=one_time.id if one_time else None,
        pre_key=one_time.key_pair.public if one_time else None,
    )
