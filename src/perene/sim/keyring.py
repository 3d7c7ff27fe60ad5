"""The private keys of a simulated person, and their ratchets with every other device."""

from collections.abc import Callable
from typing import Literal

from perene.crypto import KeyPair
from perene.signal import (
    LocalIdentity,
    NoSenderKey,
    PreKey,
    PreKeyBundle,
    Ratchet,
    SenderKeyRecord,
    SignedPreKey,
    create_sender_key,
    decrypt_message,
    decrypt_pre_key_message,
    distribution_message,
    encrypt,
    group_decrypt,
    group_encrypt,
    pad,
    parse_pre_key_message,
    process_distribution,
    start_outgoing,
    unpad,
)
from perene.sim.model import PublicKeys

Kind = Literal["pkmsg", "msg", "skmsg"]
_SIGNED_ID = 1
# A one-time pre-key that nobody has: ids are counted from 1, this is the last of 24 bits.
_NOBODYS_PRE_KEY = (1 << 24) - 1


class Keyring:
    """Encrypts and decrypts for one person. Peers go by their device names, groups by address."""

    def __init__(self, identity: KeyPair, registration_id: int) -> None:
        self.local = LocalIdentity(key_pair=identity, registration_id=registration_id)
        self.holders: dict[str, set[str]] = {}
        """For each group, the names of the devices that hold our sender key."""
        self.name_wrong_pre_key = False
        """Whether the next new ratchet names a one-time pre-key that its owner does not have."""
        self._signed = SignedPreKey.generate(_SIGNED_ID, identity)
        self._one_time: dict[int, PreKey] = {}
        self._next_id = 1
        self._ratchets: dict[str, Ratchet] = {}
        self._own_sender_keys: dict[str, SenderKeyRecord] = {}
        self._sender_keys: dict[tuple[str, str], SenderKeyRecord] = {}

    def public(self) -> PublicKeys:
        """Return what the server hands out for us."""
        return PublicKeys(
            registration_id=self.local.registration_id,
            identity=self.local.key_pair.public,
            signed_id=self._signed.id,
            signed_key=self._signed.key_pair.public,
            signed_signature=self._signed.signature,
            replenish=self._another_pre_key,
        )

    def bundle(self) -> PreKeyBundle:
        """Return a bundle of ours, to put into a retry receipt."""
        return self.public().take()

    def lose_one_time_keys(self) -> None:
        """Forget the one-time pre-keys that were handed out: who uses one is not understood."""
        self._one_time.clear()

    def _another_pre_key(self) -> tuple[int, bytes]:
        key = PreKey.generate(self._next_id)
        self._next_id += 1
        self._one_time[key.id] = key
        return key.id, key.key_pair.public

    # --- between two ------------------------------------------------------------------------------

    def has_ratchet(self, peer: str) -> bool:
        """Whether a message to this device can be encrypted without a bundle."""
        ratchet = self._ratchets.get(peer)
        return ratchet is not None and ratchet.has_current

    def begin(self, peer: str, bundle: PreKeyBundle) -> None:
        """Begin a new ratchet with a device; the one so far is archived."""
        if self.name_wrong_pre_key:
            self.name_wrong_pre_key = False
            bundle = PreKeyBundle(
                registration_id=bundle.registration_id,
                identity=bundle.identity,
                signed_pre_key_id=bundle.signed_pre_key_id,
                signed_pre_key=bundle.signed_pre_key,
                signed_pre_key_signature=bundle.signed_pre_key_signature,
                pre_key_id=_NOBODYS_PRE_KEY,
                pre_key=KeyPair.generate().public,
            )
        before = self._ratchets.get(peer, Ratchet.empty)
        self._ratchets[peer] = start_outgoing(before, bundle, self.local)

    def encrypt(
        self, peer: str, plaintext: bytes, fetch: Callable[[], PreKeyBundle]
    ) -> tuple[Kind, bytes]:
        """Encrypt for a device; a bundle is fetched if there is no ratchet with it."""
        if not self.has_ratchet(peer):
            self.begin(peer, fetch())
        sealed = encrypt(self._ratchets[peer], pad(plaintext), self.local)
        self._ratchets[peer] = sealed.ratchet
        return sealed.kind, sealed.data

    def decrypt(self, peer: str, kind: Kind, data: bytes, group: str | None) -> bytes:
        """Decrypt what a device sent and strip the padding; raises a SignalError."""
        if kind == "skmsg":
            return self._decrypt_from_group(peer, data, group or "")
        before = self._ratchets.get(peer, Ratchet.empty)
        if kind == "pkmsg":
            parsed = parse_pre_key_message(data)
            signed = self._signed if parsed.signed_pre_key_id == self._signed.id else None
            opened = decrypt_pre_key_message(
                before,
                parsed,
                self.local,
                signed_pre_key=signed,
                pre_key=self._one_time.get(parsed.pre_key_id or 0),
            )
        else:
            opened = decrypt_message(before, data, self.local)
        self._ratchets[peer] = opened.ratchet
        if opened.consumed_pre_key_id is not None:
            self._one_time.pop(opened.consumed_pre_key_id, None)
        return unpad(opened.plaintext)

    # --- groups -----------------------------------------------------------------------------------

    def encrypt_for_group(self, group: str, plaintext: bytes) -> bytes:
        """Encrypt for all holders of our sender key; `distribution` tells others how to read it."""
        sealed = group_encrypt(self._own_sender_key(group), pad(plaintext))
        self._own_sender_keys[group] = sealed.record
        return sealed.data

    def distribution(self, group: str) -> bytes:
        """Return what a device needs to read our group messages from the next one on."""
        return distribution_message(self._own_sender_key(group))

    def take_distribution(self, peer: str, group: str, data: bytes) -> None:
        """Take in a device's sender key."""
        key = group, peer
        before = self._sender_keys.get(key, SenderKeyRecord.empty)
        self._sender_keys[key] = process_distribution(before, data)

    def rotate(self, group: str) -> None:
        """Make a new sender key: somebody has left."""
        before = self._own_sender_key(group)
        self._own_sender_keys[group] = create_sender_key(before)
        self.holders.pop(group, None)

    def _own_sender_key(self, group: str) -> SenderKeyRecord:
        record = self._own_sender_keys.get(group)
        if record is None:
            record = self._own_sender_keys[group] = create_sender_key(SenderKeyRecord.empty)
        return record

    def _decrypt_from_group(self, peer: str, data: bytes, group: str) -> bytes:
        record = self._sender_keys.get((group, peer))
        if record is None:
            raise NoSenderKey("no sender key of this device is known")
        opened = group_decrypt(record, data)
        self._sender_keys[group, peer] = opened.record
        return unpad(opened.plaintext)

    # --- accidents --------------------------------------------------------------------------------

    def lose_ratchets(self, peer: str | None = None) -> None:
        """Forget the ratchet, and the sender keys, of one device, or of all."""
        for name in list(self._ratchets):
            if peer in (None, name):
                del self._ratchets[name]
        for group, name in list(self._sender_keys):
            if peer in (None, name):
                del self._sender_keys[group, name]
