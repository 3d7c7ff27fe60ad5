"""Pairing by a code that is typed on the phone (docs/reference/protocol.md §3.3)."""

import secrets
from dataclasses import dataclass

from perene.crypto import BadKey, KeyPair, ctr_crypt, gcm_encrypt, hkdf, pbkdf2
from perene.engine.credentials import Credentials
from perene.engine.errors import AnotherPairing, PairingRefused
from perene.wire.errors import NodeError
from perene.wire.node import Node

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTVWXYZ"
_LENGTH = 8
_ROUNDS = 131_072
_WRAPPED_SIZE = 80
_KEY_SIZE = 32
_CLIENT_TYPE = "1"
_CLIENT_NAME = "Chrome (Linux)"
"""The server refuses a display name that is no plausible "Browser (OS)"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePairing:
    """A pairing under way: the code that the user types, and our ephemeral key."""

    code: str
    phone_jid: str
    ephemeral: KeyPair
    ref: bytes = b""


def start(phone: str) -> CodePairing:
    """Make a fresh code for a phone number (digits with country code)."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return CodePairing(code=code, phone_jid=f"{phone}@s.whatsapp.net", ephemeral=KeyPair.generate())


def hello(pairing: CodePairing, own: Credentials) -> Node:
    """Build stage 1, `companion_hello`: our ephemeral key, wrapped with the code."""
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    key = pbkdf2(pairing.code.encode(), salt=salt, rounds=_ROUNDS, length=_KEY_SIZE)
    wrapped = salt + iv + ctr_crypt(key, iv, pairing.ephemeral.public)
    return Node(
        "link_code_companion_reg",
        {
            "jid": pairing.phone_jid,
            "stage": "companion_hello",
            "should_show_push_notification": "true",
        },
        (
            Node("link_code_pairing_wrapped_companion_ephemeral_pub", {}, wrapped),
            Node("companion_server_auth_key_pub", {}, own.noise.public),
            Node("companion_platform_id", {}, _CLIENT_TYPE.encode()),
            Node("companion_platform_display", {}, _CLIENT_NAME.encode()),
            # As WhatsApp Web and whatsmeow have it (whatsapp-rust PR 976, 2026-07-04).
            Node("link_code_pairing_nonce", {}, b"\0"),
        ),
    )


_HELLO_PARTS = (
    "link_code_pairing_ref",
    "link_code_pairing_wrapped_primary_ephemeral_pub",
    "primary_identity_pub",
)


def stage(notification: Node) -> str | None:
    """Return what the server tells of a code: "primary_hello" when the phone has answered.

    None for what tells nothing, as of a `primary_hello` without all its parts.
    """
    reg = notification.child("link_code_companion_reg")
    if reg is None:
        return None
    # Those that came before this had a name were all of this one.
    name = reg.attrs.get("stage", "primary_hello")
    complete = all(reg.child(part) is not None for part in _HELLO_PARTS)
    return None if name == "primary_hello" and not complete else name


def is_about(pairing: CodePairing, notification: Node) -> bool:
    """Tell whether a notification names the reference of this pairing."""
    reg = notification.child("link_code_companion_reg")
    ref = reg.child("link_code_pairing_ref") if reg is not None else None
    return ref is not None and ref.data == pairing.ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Stage 3 to send, and the secret that `pair-success` will be under."""

    node: Node
    adv_secret: bytes


def finish(pairing: CodePairing, notification: Node, own: Credentials) -> Finish:
    """Answer the phone's stage 2; raises PairingRefused if it does not fit our stage 1.

    It is AnotherPairing if it fits the stage 1 of an earlier code.
    """
    try:
        reg = notification.need("link_code_companion_reg")
        ref = reg.need("link_code_pairing_ref").data
        wrapped = reg.need("link_code_pairing_wrapped_primary_ephemeral_pub").data
        primary_identity = reg.need("primary_identity_pub").data
    except NodeError as error:
        raise PairingRefused(400, "incomplete answer of the phone") from error
    if ref != pairing.ref:
        raise AnotherPairing(400, "the phone answered another pairing")
    if len(wrapped) != _WRAPPED_SIZE:
        raise PairingRefused(400, "the phone's key has a wrong length")
    key = pbkdf2(pairing.code.encode(), salt=wrapped[:32], rounds=_ROUNDS, length=_KEY_SIZE)
    primary_ephemeral = ctr_crypt(key, wrapped[32:48], wrapped[48:])
    try:
        shared = pairing.ephemeral.agree(primary_ephemeral)
        identity_shared = own.identity.agree(primary_identity)
    except BadKey as error:
        raise PairingRefused(400, "the phone's key is not usable") from error
    random = secrets.token_bytes(32)
    salt, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    bundle_key = hkdf(
        shared, salt=salt, info=b"link_code_pairing_key_bundle_encryption_key", length=_KEY_SIZE
    )
    bundle = gcm_encrypt(bundle_key, nonce, own.identity.public + primary_identity + random)
    adv_secret = hkdf(shared + identity_shared + random, info=b"adv_secret", length=_KEY_SIZE)
    node = Node(
        "link_code_companion_reg",
        {"jid": pairing.phone_jid, "stage": "companion_finish"},
        (
            Node("link_code_pairing_wrapped_key_bundle", {}, salt + nonce + bundle),
            Node("companion_identity_public", {}, own.identity.public),
            Node("link_code_pairing_ref", {}, ref),
        ),
    )
    return Finish(node=node, adv_secret=adv_secret)


def displayed(code: str) -> str:
    """Return a code as people read it: XXXX-XXXX."""
    return f"{code[:4]}-{code[4:]}"
