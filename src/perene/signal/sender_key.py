"""Sender keys: one sender's symmetric chain for a group, signed message by message.

Formats and limits as Baileys lib/Signal/Group (7.0.0-rc14) and go.mau.fi/libsignal groups
(2025-05-13): HKDF info "WhisperGroup" gives IV and AES key, an XEdDSA signature covers the whole
message, five states are kept.
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import ClassVar

from google.protobuf.message import DecodeError

from perene.crypto import AuthenticationFailed, KeyPair, cbc_decrypt, cbc_encrypt, hkdf, verify
from perene.crypto.keys import SIGNATURE_SIZE
from perene.signal.chain import (
    KEY_SIZE,
    MAX_AHEAD,
    MAX_COUNTER,
    Chain,
    SkippedKeys,
    message_seed,
)
from perene.signal.errors import (
    ChainExhausted,
    InvalidMessage,
    InvalidRecord,
    InvalidSignature,
    NoSenderKey,
)
from perene.signal.messages import VERSION_BYTE, check_ciphertext, check_version
from perene.signal.points import from_wire, to_wire
from perene.signal.proto import state_pb2, whisper_pb2
from perene.signal.ratchet import check_format
from perene.signal.state import bounded, sized

FORMAT = 1
MAX_STATES = 5
_KEY_ID_BITS = 31
_MESSAGE_KEYS = 48  # IV 16, AES key 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderKeyState:
    """One sender key. `signing_private` (32 bytes) is there only in our own."""

    key_id: int
    chain: Chain
    signing_public: bytes
    signing_private: bytes | None = field(default=None, repr=False)
    _encoded: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def iteration(self) -> int:
        """The iteration of the next message."""
        return self.chain.counter

    def encoded(self) -> bytes:
        """Return the stored form; made once for each value."""
        if self._encoded is None:
            chain = self.chain
            proto = state_pb2.SenderKeyState(
                key_id=self.key_id,
                key=chain.key,
                iteration=chain.counter,
                signing_public=self.signing_public,
                signing_private=self.signing_private or b"",
                skipped=chain.skipped.entries,
                lost_below=chain.skipped.lost_below,
            )
            object.__setattr__(self, "_encoded", proto.SerializeToString())
        assert self._encoded is not None
        return self._encoded

    @classmethod
    def decoded(cls, data: bytes) -> "SenderKeyState":
        """Read what `encoded` wrote, or raise InvalidRecord."""
        try:
            proto = state_pb2.SenderKeyState.FromString(data)
        except DecodeError as error:
            raise InvalidRecord("a sender key state is no protobuf") from error
        skipped = SkippedKeys.parse(
            proto.skipped, lost_below=proto.lost_below, before=proto.iteration
        )
        return cls(
            key_id=proto.key_id,
            chain=Chain(key=sized(proto.key), counter=bounded(proto.iteration), skipped=skipped),
            signing_public=sized(proto.signing_public),
            signing_private=sized(proto.signing_private) if proto.signing_private else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderKeyRecord:
    """The sender keys of one sender in one group, newest first, at most five; a value."""

    empty: ClassVar["SenderKeyRecord"]

    states: tuple[SenderKeyState, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no key is known."""
        return not self.states

    @property
    def key_id(self) -> int | None:
        """The id of the newest key."""
        return self.states[0].key_id if self.states else None

    def find(self, key_id: int) -> SenderKeyState | None:
        """Return the state of a key id, None when it is not known."""
        return next((state for state in self.states if state.key_id == key_id), None)

    def serialize(self) -> bytes:
        """Return the stored form. States that did not change are not encoded again."""
        return state_pb2.SenderKeyRecord(
            version=FORMAT, states=[state.encoded() for state in self.states]
        ).SerializeToString()

    @classmethod
    def parse(cls, data: bytes) -> "SenderKeyRecord":
        """Read what `serialize` wrote; raises InvalidRecord, or NewerRecord for a later format."""
        try:
            record = state_pb2.SenderKeyRecord.FromString(data)
        except DecodeError as error:
            raise InvalidRecord("the sender key record is no protobuf") from error
        check_format(record.version, FORMAT)
        if len(record.states) > MAX_STATES:
            raise InvalidRecord(f"a sender key record has at most {MAX_STATES} states")
        return cls(states=tuple(SenderKeyState.decoded(part) for part in record.states))


SenderKeyRecord.empty = SenderKeyRecord()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupEncrypted:
    """A group ciphertext and the record after it; commit `record` before `data` is on the wire."""

    record: SenderKeyRecord
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDecrypted:
    """A plaintext (still padded) and the record after it; commit both in one unit."""

    record: SenderKeyRecord
    plaintext: bytes = field(repr=False)


def create_sender_key(record: SenderKeyRecord) -> SenderKeyRecord:
    """Make a fresh sender key of ours; keys in `record` are given up, every member needs the new.

    Call it for an empty record, and to rotate (a member left, a snapshot was restored).
    """
    used = {state.key_id for state in record.states}
    key_id = secrets.randbits(_KEY_ID_BITS)
    while key_id in used:
        key_id = secrets.randbits(_KEY_ID_BITS)
    signing = KeyPair.generate()
    state = SenderKeyState(
        key_id=key_id,
        chain=Chain(key=secrets.token_bytes(KEY_SIZE)),
        signing_public=signing.public,
        signing_private=signing.private,
    )
    return SenderKeyRecord(states=(state,))


def distribution_message(record: SenderKeyRecord) -> bytes:
    """Return what a member needs to read our messages from the next one on; raises NoSenderKey."""
    state = _own(record)
    proto = whisper_pb2.SenderKeyDistributionMessage(
        id=state.key_id,
        iteration=min(state.iteration, MAX_COUNTER),
        chain_key=state.chain.key,
        signing_key=to_wire(state.signing_public),
    )
    return VERSION_BYTE + proto.SerializeToString()


def process_distribution(record: SenderKeyRecord, data: bytes) -> SenderKeyRecord:
    """Take in a sender's key, which came inside a message that this sender has encrypted to us.

    A key that is known already (same id, same signing key) stays at the iteration it has reached,
    so that a repeated distribution neither reopens used iterations nor loses skipped ones (others,
    go.mau.fi/libsignal and Baileys, add a second state). It is moved only where it could not catch
    up by itself. Another signing key under a known id replaces it. Raises InvalidMessage,
    InvalidVersion, InvalidKey.
    """
    check_version(data)
    try:
        proto = whisper_pb2.SenderKeyDistributionMessage.FromString(data[1:])
    except DecodeError as error:
        raise InvalidMessage("the distribution is no protobuf") from error
    if len(proto.chain_key) != KEY_SIZE or not proto.HasField("id"):
        raise InvalidMessage("a distribution names a key id and holds a chain key of 32 bytes")
    signing = from_wire(proto.signing_key)
    known = record.find(proto.id)
    if known is None or known.signing_public != signing:
        skipped = SkippedKeys(lost_below=proto.iteration)
        known = None
    elif proto.iteration - known.iteration <= MAX_AHEAD:
        return SenderKeyRecord(states=_moved_up(record, known))
    else:
        skipped = replace(known.chain.skipped, lost_below=proto.iteration)
    state = SenderKeyState(
        key_id=proto.id,
        chain=Chain(key=proto.chain_key, counter=proto.iteration, skipped=skipped),
        signing_public=signing,
        signing_private=known.signing_private if known else None,
    )
    return SenderKeyRecord(states=_moved_up(record, state))


def group_encrypt(record: SenderKeyRecord, plaintext: bytes) -> GroupEncrypted:
    """Encrypt (padded) bytes with our newest key; raises NoSenderKey, ChainExhausted."""
    state = _own(record)
    assert state.signing_private is not None
    iteration = state.iteration
    if iteration >= MAX_COUNTER:
        raise ChainExhausted("the sender key has no iteration left")
    key, iv = _message_keys(message_seed(state.chain.key))
    proto = whisper_pb2.SenderKeyMessage(
        id=state.key_id, iteration=iteration, ciphertext=cbc_encrypt(key, iv, plaintext)
    )
    signed = VERSION_BYTE + proto.SerializeToString()
    signature = KeyPair(state.signing_private, state.signing_public).sign(signed)
    advanced = replace(state, chain=state.chain.seek(iteration).settle())
    after = SenderKeyRecord(states=(advanced, *record.states[1:]))
    return GroupEncrypted(record=after, data=signed + signature)


def group_decrypt(record: SenderKeyRecord, data: bytes) -> GroupDecrypted:
    """Decrypt a group message of the sender whose record this is.

    Raises NoSenderKey (key id not known), InvalidSignature; for a message with a good signature
    DuplicateMessage, MessageKeyLost, TooFarAhead; InvalidMessage, InvalidVersion for bytes that
    are no message.
    """
    check_version(data)
    signed, signature = data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]
    try:
        proto = whisper_pb2.SenderKeyMessage.FromString(signed[1:])
    except DecodeError as error:
        raise InvalidMessage("the message is no protobuf") from error
    ciphertext = check_ciphertext(proto.ciphertext)
    state = record.find(proto.id)
    if state is None:
        raise NoSenderKey(f"sender key {proto.id} is not known")
    if not verify(state.signing_public, signed, signature):
        raise InvalidSignature("the message is not signed by its sender key")
    found = state.chain.seek(proto.iteration)
    key, iv = _message_keys(found.seed)
    try:
        plaintext = cbc_decrypt(key, iv, ciphertext)
    except AuthenticationFailed as error:
        raise InvalidMessage("the message is signed but does not decrypt") from error
    advanced = SenderKeyState(
        key_id=state.key_id,
        chain=found.settle(),
        signing_public=state.signing_public,
        signing_private=state.signing_private,
    )
    states = tuple(advanced if other is state else other for other in record.states)
    return GroupDecrypted(record=SenderKeyRecord(states=states), plaintext=plaintext)


def _own(record: SenderKeyRecord) -> SenderKeyState:
    if not record.states or record.states[0].signing_private is None:
        raise NoSenderKey("there is no sender key of ours to send with")
    return record.states[0]


def _moved_up(record: SenderKeyRecord, state: SenderKeyState) -> tuple[SenderKeyState, ...]:
    others = [other for other in record.states if other.key_id != state.key_id]
    return (state, *others[: MAX_STATES - 1])


def _message_keys(seed: bytes) -> tuple[bytes, bytes]:
    keys = hkdf(seed, info=b"WhisperGroup", length=_MESSAGE_KEYS)
    return keys[16:], keys[:16]
