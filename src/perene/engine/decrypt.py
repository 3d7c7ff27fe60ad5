"""Decrypting one `<enc>` on staged state, and what each way to fail asks of the sender."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from perene.engine.addresses import signal_address
from perene.engine.credentials import Credentials
from perene.engine.draft import Draft
from perene.signal import errors as signal_errors
from perene.signal.address import Address
from perene.signal.cipher import decrypt_message, decrypt_pre_key_message
from perene.signal.messages import parse_pre_key_message
from perene.signal.padding import unpad
from perene.signal.ratchet import Ratchet
from perene.signal.sender_key import group_decrypt
from perene.wire.jid import Jid
from perene.wire.node import Node


class RetryReason(IntEnum):
    """Why a resend is asked for, in the numbers of the protocol.

    They are listed in docs/reference/protocol.md §4.5.
    """

    UNKNOWN = 0
    NO_RATCHET = 1
    INVALID_KEY = 2
    INVALID_KEY_ID = 3
    INVALID_MESSAGE = 4
    INVALID_SIGNATURE = 5
    FUTURE_MESSAGE = 6
    BAD_MAC = 7
    INVALID_SESSION = 8


REASONS: Mapping[type[signal_errors.SignalError], RetryReason] = {
    signal_errors.NoRatchet: RetryReason.NO_RATCHET,
    signal_errors.NoSenderKey: RetryReason.NO_RATCHET,
    signal_errors.MessageKeyLost: RetryReason.INVALID_MESSAGE,
    signal_errors.InvalidMessage: RetryReason.INVALID_MESSAGE,
    signal_errors.InvalidVersion: RetryReason.INVALID_MESSAGE,
    signal_errors.InvalidPadding: RetryReason.INVALID_MESSAGE,
    signal_errors.InvalidKey: RetryReason.INVALID_KEY,
    signal_errors.InvalidSignature: RetryReason.INVALID_SIGNATURE,
    signal_errors.UnknownPreKey: RetryReason.INVALID_KEY_ID,
    signal_errors.UnknownSignedPreKey: RetryReason.INVALID_KEY_ID,
    signal_errors.TooFarAhead: RetryReason.FUTURE_MESSAGE,
    signal_errors.BadMac: RetryReason.BAD_MAC,
}
"""The reason to name for each refusal of the Signal layer. 7 makes a sender build a fresh ratchet,
4 may not (docs/reference/protocol.md §4.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A decrypted `<enc>`: the unpadded plaintext. `new_identity` marks a peer with new keys."""

    plaintext: bytes
    new_identity: bool = False


def digest(sender: str, enc: Node) -> bytes:
    """Return the hash under which a redelivery of this ciphertext is recognised."""
    kind = enc.attrs.get("type", "")
    return hashlib.sha256(f"{sender}\0{kind}\0".encode() + enc.data).digest()


async def open_enc(
    draft: Draft, enc: Node, *, sender: Jid, group: str | None, own: Credentials
) -> Opened:
    """Decrypt an `<enc>` from the device `sender` (canonical), staging the advanced state.

    Raises SignalError, with the draft unchanged: the same ciphertext may come again, and its key
    must not be used up by then. An unknown kind of enc is an InvalidVersion.
    """
    address = signal_address(sender)
    match enc.attrs.get("type"):
        case "pkmsg":
            return await _open_pre_key(draft, enc, address, own)
        case "msg":
            decrypted = decrypt_message(await draft.ratchet(address), enc.data, own.local)
            opened = Opened(plaintext=_unpadded(enc, decrypted.plaintext))
            draft.set_ratchet(address, decrypted.ratchet)
        case "skmsg" if group is not None:
            result = group_decrypt(await draft.sender_key(group, address), enc.data)
            opened = Opened(plaintext=_unpadded(enc, result.plaintext))
            draft.set_sender_key(group, address, result.record)
        case kind:
            raise signal_errors.InvalidVersion(f"an enc of type {kind!r} cannot be decrypted")
    return opened


async def _open_pre_key(draft: Draft, enc: Node, address: Address, own: Credentials) -> Opened:
    parsed = parse_pre_key_message(enc.data)
    ratchet = await draft.ratchet(address)
    # A peer repeats its pre-key message until it hears from us: only the first one needs the key.
    needed = None if _knows(ratchet, parsed.base_key) else parsed.pre_key_id
    decrypted = decrypt_pre_key_message(
        ratchet,
        parsed,
        own.local,
        signed_pre_key=own.signed_pre_key,
        pre_key=None if needed is None else await draft.pre_key(needed),
    )
    before = ratchet.remote_identity
    opened = Opened(
        plaintext=_unpadded(enc, decrypted.plaintext),
        new_identity=before is not None and before != parsed.identity,
    )
    draft.set_ratchet(address, decrypted.ratchet)
    if decrypted.consumed_pre_key_id is not None:
        draft.consume_pre_key(decrypted.consumed_pre_key_id)
    return opened


def _unpadded(enc: Node, plaintext: bytes) -> bytes:
    return unpad(plaintext, 3 if enc.attrs.get("v") == "3" else 2)


def _knows(ratchet: Ratchet, base_key: bytes) -> bool:
    if ratchet.current is not None and ratchet.current.base_key == base_key:
        return True
    return any(state.base_key == base_key for state in ratchet.archived)
