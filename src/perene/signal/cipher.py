"""Encrypt and decrypt between two parties. Pure: a ratchet goes in, another one comes out.

The double ratchet as npm libsignal 6.0.0 (session_cipher.js) and go.mau.fi/libsignal (2025-05-13)
speak it. Where the two differ, what is done here and why stands at the place.
"""

from dataclasses import dataclass, field
from typing import Literal

from perene.crypto import AuthenticationFailed, KeyPair, cbc_decrypt, cbc_encrypt, hkdf
from perene.signal.bundle import PreKey, SignedPreKey
from perene.signal.chain import MAX_AHEAD, MAX_COUNTER, Chain, message_seed, next_key
from perene.signal.errors import (
    BadMac,
    ChainExhausted,
    InvalidMessage,
    NoRatchet,
    TooFarAhead,
    UnknownPreKey,
    UnknownSignedPreKey,
    UntrustedIdentity,
)
from perene.signal.identity import LocalIdentity
from perene.signal.messages import (
    PreKeyMessage,
    SignalMessage,
    build_pre_key_message,
    build_signal_message,
    parse_signal_message,
)
from perene.signal.points import agree
from perene.signal.ratchet import Ratchet
from perene.signal.state import MAX_RECEIVING, PendingPreKey, RatchetState, ReceivingChain
from perene.signal.x3dh import answer, ratchet_keys

_MESSAGE_KEYS = 80  # AES key 32, MAC key 32, IV 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """A ciphertext and the ratchet after it; commit `ratchet` before `data` is on the wire."""

    ratchet: Ratchet
    kind: Literal["pkmsg", "msg"]
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decrypted:
    """A plaintext (still padded) and the ratchet after it; commit both in one unit.

    `identity` (32 bytes) has proved to be the sender's. `consumed_pre_key_id`: delete that
    one-time pre-key in the same unit. `replaced`: the peer began a new state and the current one
    was archived. `promoted`: the peer still uses an archived state and it became the current one.
    """

    ratchet: Ratchet
    plaintext: bytes = field(repr=False)
    identity: bytes
    consumed_pre_key_id: int | None = None
    replaced: bool = False
    promoted: bool = False


def encrypt(ratchet: Ratchet, plaintext: bytes, local: LocalIdentity) -> Encrypted:
    """Encrypt (padded) bytes with the current state; raises NoRatchet, ChainExhausted.

    The result is a "pkmsg" until a message has been decrypted in this state, then a "msg".
    """
    state = ratchet.current
    if state is None:
        raise NoRatchet("there is no current state to send with")
    if state.sending_counter >= MAX_COUNTER:
        raise ChainExhausted("the sending chain has no counter left")
    cipher_key, mac_key, iv = _message_keys(message_seed(state.sending_key))
    data = build_signal_message(
        ratchet_key=state.ratchet_key.public,
        counter=state.sending_counter,
        previous_counter=state.previous_counter,
        ciphertext=cbc_encrypt(cipher_key, iv, plaintext),
        mac_key=mac_key,
        sender=local.key_pair.public,
        receiver=state.remote_identity,
    )
    advanced = RatchetState(
        remote_identity=state.remote_identity,
        remote_registration_id=state.remote_registration_id,
        base_key=state.base_key,
        initiated=state.initiated,
        root_key=state.root_key,
        ratchet_key=state.ratchet_key,
        sending_key=next_key(state.sending_key),
        sending_counter=state.sending_counter + 1,
        previous_counter=state.previous_counter,
        receiving=state.receiving,
        pending=state.pending,
        receive_only=state.receive_only,
    )
    after = ratchet.with_current(advanced)
    if state.pending is None:
        return Encrypted(ratchet=after, kind="msg", data=data)
    return Encrypted(ratchet=after, kind="pkmsg", data=_wrapped(data, state, state.pending, local))


def _wrapped(
    data: bytes, state: RatchetState, pending: PendingPreKey, local: LocalIdentity
) -> bytes:
    """Add what lets a peer who has not answered yet begin the same state."""
    message = PreKeyMessage(
        registration_id=local.registration_id,
        pre_key_id=pending.pre_key_id,
        signed_pre_key_id=pending.signed_pre_key_id,
        base_key=state.base_key,
        identity=local.key_pair.public,
        message=data,
    )
    return build_pre_key_message(message)


def decrypt_message(ratchet: Ratchet, data: bytes, local: LocalIdentity) -> Decrypted:
    """Decrypt a "msg" with whichever state it belongs to.

    A state that knows the message's ratchet key is the only one that can be meant; its verdict is
    final: DuplicateMessage, MessageKeyLost, TooFarAhead, BadMac. Otherwise the peer has made a new
    ratchet key, and every state is tried, the current one first, then archived ones, newest first;
    BadMac if none fits. NoRatchet when there is none; InvalidMessage, InvalidVersion, InvalidKey
    for bytes that are no message.
    """
    message = parse_signal_message(data)
    if ratchet.is_empty:
        raise NoRatchet("there is no state to decrypt with")
    current = ratchet.current
    if current is not None and current.find_receiving(message.ratchet_key) is not None:
        return _in_current(ratchet, current, message, local)
    for index, state in enumerate(ratchet.archived):
        if state.find_receiving(message.ratchet_key) is not None:
            return _in_archived(ratchet, index, message, local)
    if message.counter > MAX_AHEAD:
        raise TooFarAhead(f"message {message.counter} is the first of its chain")
    if current is not None:
        try:
            return _in_current(ratchet, current, message, local)
        except BadMac:
            pass  # an archived state may be the one that is meant
    for index in range(len(ratchet.archived)):
        try:
            return _in_archived(ratchet, index, message, local)
        except BadMac:
            pass  # the next one may be
    raise BadMac("no state authenticates the message")


def decrypt_pre_key_message(
    ratchet: Ratchet,
    parsed: PreKeyMessage,
    local: LocalIdentity,
    *,
    signed_pre_key: SignedPreKey | None,
    pre_key: PreKey | None,
    trusted_identity: bytes | None = None,
) -> Decrypted:
    """Decrypt a "pkmsg", beginning a new state unless its own is known already.

    The pre-keys are those that `parsed` names, None where there is none any more; they are not
    needed when a state with this base key exists, because the peer just has not seen an answer yet.
    Raises UntrustedIdentity, UnknownSignedPreKey, UnknownPreKey, and what `decrypt_message` raises.
    """
    if trusted_identity is not None and parsed.identity != trusted_identity:
        raise UntrustedIdentity(parsed.identity)
    message = parse_signal_message(parsed.message)
    current = ratchet.current
    if current is not None and _is_begun_by(current, parsed):
        return _in_current(ratchet, current, message, local)
    for index, state in enumerate(ratchet.archived):
        if _is_begun_by(state, parsed):
            return _in_archived(ratchet, index, message, local)
    if signed_pre_key is None or signed_pre_key.id != parsed.signed_pre_key_id:
        raise UnknownSignedPreKey(parsed.signed_pre_key_id)
    if parsed.pre_key_id is None:
        pre_key = None
    elif pre_key is None or pre_key.id != parsed.pre_key_id:
        raise UnknownPreKey(parsed.pre_key_id)
    begun = answer(parsed, local, signed_pre_key=signed_pre_key, pre_key=pre_key)
    state, plaintext = _open(begun, message, local)
    return Decrypted(
        ratchet=ratchet.with_new(state),
        plaintext=plaintext,
        identity=state.remote_identity,
        consumed_pre_key_id=parsed.pre_key_id,
        replaced=current is not None,
    )


def _is_begun_by(state: RatchetState, message: PreKeyMessage) -> bool:
    # The identity is compared too: another one under the same base key is another sender's attempt,
    # and must not be answered by a state that never saw it.
    return (
        not state.initiated
        and state.base_key == message.base_key
        and state.remote_identity == message.identity
    )


def _in_current(
    ratchet: Ratchet, current: RatchetState, message: SignalMessage, local: LocalIdentity
) -> Decrypted:
    state, plaintext = _open(current, message, local)
    after = ratchet.with_current(state)
    return Decrypted(ratchet=after, plaintext=plaintext, identity=state.remote_identity)


def _in_archived(
    ratchet: Ratchet, index: int, message: SignalMessage, local: LocalIdentity
) -> Decrypted:
    state, plaintext = _open(ratchet.archived[index], message, local)
    after = ratchet.with_archived(index, state)
    return Decrypted(
        ratchet=after,
        plaintext=plaintext,
        identity=state.remote_identity,
        promoted=after.current is state,
    )


def _open(
    state: RatchetState, message: SignalMessage, local: LocalIdentity
) -> tuple[RatchetState, bytes]:
    """Return the state after the message, and its plaintext. The MAC is checked before any change.

    Older receiving chains keep their key and go on on demand, as in go.mau.fi/libsignal. npm
    libsignal closes the last one at `previous_counter`, which a peer may send wrong (Go parties
    send 2**32 - 1 in their first answer); so it is not looked at here.
    """
    known = state.find_receiving(message.ratchet_key)
    if known is None:
        return _step(state, message, local)
    found = known.chain.seek(message.counter)
    plaintext = _unseal(found.seed, message, state.remote_identity, local)
    moved = ReceivingChain(ratchet_key=known.ratchet_key, chain=found.settle())
    receiving = tuple(moved if chain is known else chain for chain in state.receiving)
    after = RatchetState(
        remote_identity=state.remote_identity,
        remote_registration_id=state.remote_registration_id,
        base_key=state.base_key,
        initiated=state.initiated,
        root_key=state.root_key,
        ratchet_key=state.ratchet_key,
        sending_key=state.sending_key,
        sending_counter=state.sending_counter,
        previous_counter=state.previous_counter,
        receiving=receiving,
        receive_only=state.receive_only,
    )
    return after, plaintext


def _step(
    state: RatchetState, message: SignalMessage, local: LocalIdentity
) -> tuple[RatchetState, bytes]:
    """Follow the peer to a new ratchet key, and answer with one of ours.

    The second half, a key pair and another agreement, is done only for a genuine message: most
    archived states that are tried are the wrong ones.
    """
    secret = agree(state.ratchet_key, message.ratchet_key)
    middle_root, receiving_key = ratchet_keys(state.root_key, secret)
    found = Chain(key=receiving_key).seek(message.counter)
    plaintext = _unseal(found.seed, message, state.remote_identity, local)
    opened = ReceivingChain(ratchet_key=message.ratchet_key, chain=found.settle())
    ratchet_key = KeyPair.generate()
    root_key, sending_key = ratchet_keys(middle_root, agree(ratchet_key, message.ratchet_key))
    after = RatchetState(
        remote_identity=state.remote_identity,
        remote_registration_id=state.remote_registration_id,
        base_key=state.base_key,
        initiated=state.initiated,
        root_key=root_key,
        ratchet_key=ratchet_key,
        sending_key=sending_key,
        # The last counter used, and 0 for none: what npm libsignal fills our old chain up to.
        previous_counter=max(state.sending_counter - 1, 0),
        receiving=(*state.receiving[-(MAX_RECEIVING - 1) :], opened),
    )
    return after, plaintext


def _unseal(seed: bytes, message: SignalMessage, sender: bytes, local: LocalIdentity) -> bytes:
    cipher_key, mac_key, iv = _message_keys(seed)
    if not message.is_authentic(mac_key, sender=sender, receiver=local.key_pair.public):
        raise BadMac("the MAC does not match")
    try:
        return cbc_decrypt(cipher_key, iv, message.ciphertext)
    except AuthenticationFailed as error:
        raise InvalidMessage("the message is authentic but its padding is not") from error


def _message_keys(seed: bytes) -> tuple[bytes, bytes, bytes]:
    keys = hkdf(seed, info=b"WhisperMessageKeys", length=_MESSAGE_KEYS)
    return keys[:32], keys[32:64], keys[64:]
