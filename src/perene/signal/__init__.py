"""Signal v3: X3DH, the double ratchet and sender keys, as pure functions on plain records.

Imports `perene.crypto` only. Every value is immutable; every function returns the record after it,
and on an error nothing has changed. Facts: `docs/reference/protocol.md` §4 and the sources named in
the modules.
"""

from perene.signal.address import Address
from perene.signal.bundle import (
    PreKey,
    PreKeyBundle,
    SignedPreKey,
    generate_pre_keys,
    publish,
)
from perene.signal.cipher import (
    Decrypted,
    Encrypted,
    decrypt_message,
    decrypt_pre_key_message,
    encrypt,
)
from perene.signal.errors import (
    BadMac,
    ChainExhausted,
    DuplicateMessage,
    InvalidAddress,
    InvalidKey,
    InvalidMessage,
    InvalidPadding,
    InvalidRecord,
    InvalidSignature,
    InvalidVersion,
    MessageKeyLost,
    NewerRecord,
    NoRatchet,
    NoSenderKey,
    SignalError,
    TooFarAhead,
    UnknownPreKey,
    UnknownSignedPreKey,
    UntrustedIdentity,
)
from perene.signal.identity import LocalIdentity
from perene.signal.messages import PreKeyMessage, parse_pre_key_message
from perene.signal.padding import pad, unpad
from perene.signal.ratchet import Ratchet
from perene.signal.sender_key import (
    GroupDecrypted,
    GroupEncrypted,
    SenderKeyRecord,
    create_sender_key,
    distribution_message,
    group_decrypt,
    group_encrypt,
    process_distribution,
)
from perene.signal.state import RatchetState
from perene.signal.x3dh import start_outgoing

__all__ = [
    "Address",
    "BadMac",
    "ChainExhausted",
    "Decrypted",
    "DuplicateMessage",
    "Encrypted",
    "GroupDecrypted",
    "GroupEncrypted",
    "InvalidAddress",
    "InvalidKey",
    "InvalidMessage",
    "InvalidPadding",
    "InvalidRecord",
    "InvalidSignature",
    "InvalidVersion",
    "LocalIdentity",
    "MessageKeyLost",
    "NewerRecord",
    "NoRatchet",
    "NoSenderKey",
    "PreKey",
    "PreKeyBundle",
    "PreKeyMessage",
    "Ratchet",
    "RatchetState",
    "SenderKeyRecord",
    "SignalError",
    "SignedPreKey",
    "TooFarAhead",
    "UnknownPreKey",
    "UnknownSignedPreKey",
    "UntrustedIdentity",
    "create_sender_key",
    "decrypt_message",
    "decrypt_pre_key_message",
    "distribution_message",
    "encrypt",
    "generate_pre_keys",
    "group_decrypt",
    "group_encrypt",
    "pad",
    "parse_pre_key_message",
    "process_distribution",
    "publish",
    "start_outgoing",
    "unpad",
]
