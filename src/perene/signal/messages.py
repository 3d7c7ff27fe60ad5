"""The two message forms of a ratchet on the wire: parse and build, no keys but the MAC's.

A message is a version byte (0x33), a protobuf, and for SignalMessage the first 8 bytes of an
HMAC-SHA-256 (npm libsignal session_cipher.js 6.0.0).
"""

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from perene.crypto import hmac_sha256, same
from perene.signal.errors import InvalidMessage, InvalidVersion
from perene.signal.points import from_wire, to_wire
from perene.signal.proto import whisper_pb2

VERSION = 3
VERSION_BYTE = bytes((VERSION << 4 | VERSION,))
_MAC_SIZE = 8
_BLOCK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalMessage:
    """A message inside a ratchet. `signed` is what the MAC covers after the two identities."""

    ratchet_key: bytes
    counter: int
    previous_counter: int
    ciphertext: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    mac: bytes = field(repr=False)

    def is_authentic(self, mac_key: bytes, *, sender: bytes, receiver: bytes) -> bool:
        """Tell whether the MAC is right for these two identities (32 bytes each)."""
        return same(_mac(mac_key, self.signed, sender=sender, receiver=receiver), self.mac)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreKeyMessage:
    """A message that carries what its receiver needs to begin the ratchet.

    Nothing but `message` is authenticated, and that only by decrypting it. `pre_key_id` is None
    when no one-time pre-key was used; an explicit 0 means the same (npm libsignal and
    go.mau.fi/libsignal read it so).
    """

    registration_id: int
    pre_key_id: int | None
    signed_pre_key_id: int
    base_key: bytes
    identity: bytes
    message: bytes = field(repr=False)


def check_version(data: bytes) -> None:
    """Raise InvalidMessage for nothing at all, InvalidVersion unless the upper nibble is 3."""
    if not data:
        raise InvalidMessage("a message is not empty")
    if data[0] >> 4 != VERSION:
        raise InvalidVersion(f"the message has version {data[0] >> 4}, not {VERSION}")


def check_ciphertext(ciphertext: bytes) -> bytes:
    """Return a ciphertext that AES-CBC can have made, or raise InvalidMessage."""
    if not ciphertext or len(ciphertext) % _BLOCK:
        raise InvalidMessage("a ciphertext is a whole number of 16-byte blocks")
    return ciphertext


def parse_signal_message(data: bytes) -> SignalMessage:
    """Read a SignalMessage; raises InvalidVersion, InvalidMessage or InvalidKey."""
    check_version(data)
    if len(data) <= _MAC_SIZE:
        raise InvalidMessage("the message ends before its MAC")
    signed = data[:-_MAC_SIZE]
    try:
        proto = whisper_pb2.SignalMessage.FromString(signed[1:])
    except DecodeError as error:
        raise InvalidMessage("the message is no protobuf") from error
    return SignalMessage(
        ratchet_key=from_wire(proto.ratchet_key),
        counter=proto.counter,
        previous_counter=proto.previous_counter,
        ciphertext=check_ciphertext(proto.ciphertext),
        signed=signed,
        mac=data[-_MAC_SIZE:],
    )


def build_signal_message(
    *,
    ratchet_key: bytes,
    counter: int,
    previous_counter: int,
    ciphertext: bytes,
    mac_key: bytes,
    sender: bytes,
    receiver: bytes,
) -> bytes:
    """Serialise a message and append its MAC; keys have 32 bytes."""
    proto = whisper_pb2.SignalMessage(
        ratchet_key=to_wire(ratchet_key),
        counter=counter,
        previous_counter=previous_counter,
        ciphertext=ciphertext,
    )
    signed = VERSION_BYTE + proto.SerializeToString()
    return signed + _mac(mac_key, signed, sender=sender, receiver=receiver)


def parse_pre_key_message(data: bytes) -> PreKeyMessage:
    """Read a PreKeySignalMessage; raises InvalidVersion, InvalidMessage or InvalidKey.

    The caller looks up the two pre-keys it names, then calls `decrypt_pre_key_message`.
    """
    check_version(data)
    try:
        proto = whisper_pb2.PreKeySignalMessage.FromString(data[1:])
    except DecodeError as error:
        raise InvalidMessage("the message is no protobuf") from error
    if not proto.HasField("signed_pre_key_id") or not proto.message:
        raise InvalidMessage("a pre-key message names a signed pre-key and holds a message")
    return PreKeyMessage(
        registration_id=proto.registration_id,
        pre_key_id=proto.pre_key_id or None,
        signed_pre_key_id=proto.signed_pre_key_id,
        base_key=from_wire(proto.base_key),
        identity=from_wire(proto.identity_key),
        message=proto.message,
    )


def build_pre_key_message(message: PreKeyMessage) -> bytes:
    """Serialise a PreKeySignalMessage."""
    proto = whisper_pb2.PreKeySignalMessage(
        registration_id=message.registration_id,
        signed_pre_key_id=message.signed_pre_key_id,
        base_key=to_wire(message.base_key),
        identity_key=to_wire(message.identity),
        message=message.message,
    )
    if message.pre_key_id is not None:
        proto.pre_key_id = message.pre_key_id
    return VERSION_BYTE + proto.SerializeToString()


def _mac(mac_key: bytes, signed: bytes, *, sender: bytes, receiver: bytes) -> bytes:
    covered = to_wire(sender) + to_wire(receiver) + signed
    return hmac_sha256(mac_key, covered)[:_MAC_SIZE]
