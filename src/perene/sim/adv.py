"""What a phone signs so that others believe a companion (docs/reference/protocol.md §3.2)."""

from perene.crypto import KeyPair, hmac_sha256, verify
from perene.sim.model import Account
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_BY_ACCOUNT = b"\x06\x00"
_BY_DEVICE = b"\x06\x01"
_LIST = b"\x06\x02"


def sign_companion(
    *, identity: KeyPair, companion: bytes, raw_id: int, key_index: int, timestamp: int
) -> wa_pb2.ADVSignedDeviceIdentity:
    """Return the phone's statement that `companion` (an identity key) is one of its devices."""
    details = wa_pb2.ADVDeviceIdentity(
        rawId=raw_id, timestamp=timestamp, keyIndex=key_index
    ).SerializeToString()
    return wa_pb2.ADVSignedDeviceIdentity(
        details=details,
        accountSignatureKey=identity.public,
        accountSignature=identity.sign(_BY_ACCOUNT + details + companion),
    )


def key_index_list(account: Account, unix: str) -> Node:
    """Return the phone's statement of which companions it has (whatsapp-rust wacore/src/adv.rs)."""
    valid = [device.key_index for device in account.companions]
    details = wa_pb2.ADVKeyIndexList(
        rawId=account.raw_id,
        timestamp=int(unix),
        currentIndex=account.next_device - 1,
        validIndexes=valid,
    ).SerializeToString()
    signature = account.identity.sign(_LIST + details)
    signed = wa_pb2.ADVSignedKeyIndexList(details=details, accountSignature=signature)
    return Node("key-index-list", {"ts": unix}, signed.SerializeToString())


def seal(signed: wa_pb2.ADVSignedDeviceIdentity, secret: bytes) -> bytes:
    """Wrap the statement for the companion that shares `secret` (from its QR, or the code)."""
    inner = signed.SerializeToString()
    return wa_pb2.ADVSignedDeviceIdentityHMAC(
        details=inner, hmac=hmac_sha256(secret, inner)
    ).SerializeToString()


def shown_to_others(complete: bytes) -> bytes:
    """Return a statement as the server hands it out, without the account's key.

    Who asks has that from the phone itself (whatsapp-rust pull request 790, 2026-06-09).
    """
    signed = wa_pb2.ADVSignedDeviceIdentity.FromString(complete)
    signed.ClearField("accountSignatureKey")
    return signed.SerializeToString()


def countersigned(
    signed: wa_pb2.ADVSignedDeviceIdentity, answer: bytes, companion: bytes
) -> bytes | None:
    """Return the complete statement, or None unless the companion's own signature is right.

    `answer` is what the companion sent: the statement with its signature, without the account's
    key. Raises DecodeError if it is no such thing.
    """
    theirs = wa_pb2.ADVSignedDeviceIdentity.FromString(answer)
    covered = _BY_DEVICE + signed.details + companion + signed.accountSignatureKey
    if theirs.details != signed.details or theirs.accountSignatureKey:
        return None
    if not verify(companion, covered, theirs.deviceSignature):
        return None
    complete = wa_pb2.ADVSignedDeviceIdentity()
    complete.CopyFrom(signed)
    complete.deviceSignature = theirs.deviceSignature
    return complete.SerializeToString()
