"""How a state begins: X3DH between two identities, an ephemeral key and pre-keys.

Secret: 32 bytes 0xFF, then DH(initiator's identity, signed pre-key), DH(base key, responder's
identity), DH(base key, signed pre-key) and, if there is a one-time pre-key, DH(base key, it); HKDF
with info "WhisperText" gives the root key (npm libsignal session_builder.js 6.0.0).
"""

from perene.crypto import KeyPair, hkdf, verify
from perene.signal.bundle import PreKey, PreKeyBundle, SignedPreKey
from perene.signal.chain import KEY_SIZE
from perene.signal.errors import InvalidKey, InvalidSignature
from perene.signal.identity import LocalIdentity
from perene.signal.messages import PreKeyMessage
from perene.signal.points import agree, checked, to_wire
from perene.signal.ratchet import Ratchet
from perene.signal.state import PendingPreKey, RatchetState

_DISCONTINUITY = b"\xff" * 32


def ratchet_keys(root_key: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """Return the next root key and the chain key of one ratchet step."""
    derived = hkdf(secret, salt=root_key, info=b"WhisperRatchet", length=2 * KEY_SIZE)
    return derived[:KEY_SIZE], derived[KEY_SIZE:]


def start_outgoing(
    ratchet: Ratchet,
    bundle: PreKeyBundle,
    local: LocalIdentity,
    *,
    base_key: KeyPair | None = None,
) -> Ratchet:
    """Begin a new current state from a peer's bundle; the one so far is archived.

    Raises InvalidSignature unless the peer's identity signed the signed pre-key, InvalidKey for a
    malformed key. `base_key` is drawn unless given. Whether the identity is the expected one is for
    the caller to decide before. To replace a state that must not be sent with again, pass
    `ratchet.archive_current()`.
    """
    signed = checked(bundle.signed_pre_key)
    if not verify(checked(bundle.identity), to_wire(signed), bundle.signed_pre_key_signature):
        raise InvalidSignature("the signed pre-key is not signed by the bundle's identity")
    if (bundle.pre_key is None) != (bundle.pre_key_id is None):
        raise InvalidKey("a one-time pre-key comes with its id")
    base = base_key or KeyPair.generate()
    secrets = [
        agree(local.key_pair, signed),
        agree(base, bundle.identity),
        agree(base, signed),
    ]
    if bundle.pre_key is not None:
        secrets.append(agree(base, checked(bundle.pre_key)))
    first_root, _ = _master_keys(secrets)
    ratchet_key = KeyPair.generate()
    root_key, sending_key = ratchet_keys(first_root, agree(ratchet_key, signed))
    state = RatchetState(
        remote_identity=bundle.identity,
        remote_registration_id=bundle.registration_id,
        base_key=base.public,
        initiated=True,
        root_key=root_key,
        ratchet_key=ratchet_key,
        sending_key=sending_key,
        pending=PendingPreKey(
            signed_pre_key_id=bundle.signed_pre_key_id, pre_key_id=bundle.pre_key_id
        ),
    )
    return ratchet.with_new(state)


def answer(
    message: PreKeyMessage,
    local: LocalIdentity,
    *,
    signed_pre_key: SignedPreKey,
    pre_key: PreKey | None,
) -> RatchetState:
    """Return the state that a pre-key message begins on its receiver's side.

    Nothing is proved before the message inside has been decrypted with it; that also replaces its
    sending chain, which until then stands on the signed pre-key. Raises InvalidKey.
    """
    secrets = [
        agree(signed_pre_key.key_pair, message.identity),
        agree(local.key_pair, message.base_key),
        agree(signed_pre_key.key_pair, message.base_key),
    ]
    if pre_key is not None:
        secrets.append(agree(pre_key.key_pair, message.base_key))
    root_key, sending_key = _master_keys(secrets)
    return RatchetState(
        remote_identity=message.identity,
        remote_registration_id=message.registration_id,
        base_key=message.base_key,
        initiated=False,
        root_key=root_key,
        ratchet_key=signed_pre_key.key_pair,
        sending_key=sending_key,
    )


def _master_keys(secrets: list[bytes]) -> tuple[bytes, bytes]:
    material = _DISCONTINUITY + b"".join(secrets)
    derived = hkdf(material, info=b"WhisperText", length=2 * KEY_SIZE)
    return derived[:KEY_SIZE], derived[KEY_SIZE:]
