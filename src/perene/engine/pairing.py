"""Pairing by QR code: the codes, and the checks of the phone's answer."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from google.protobuf.message import DecodeError

from perene.crypto import hmac_sha256, same, verify
from perene.engine.credentials import Credentials
from perene.engine.device_proofs import BY_ACCOUNT, BY_DEVICE, BY_HOSTED_ACCOUNT
from perene.engine.errors import PairingRefused
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_URL = "https://wa.me/settings/linked_devices#"
_CLIENT_TYPE = "1"
"""Chrome (docs/reference/protocol.md §3.1)."""

_LATER_CODES_FOR = timedelta(seconds=20)
"""Each code but the first is good for 20 s (docs/reference/protocol.md §3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QrCode:
    """The text to be drawn, and when the next one takes its place."""

    ref: str
    text: str
    expires_at: datetime


class QrCodes:
    """The codes of one `<pair-device>`, one after the other."""

    def __init__(self, refs: tuple[str, ...], *, first_for: timedelta) -> None:
        self._refs = list(refs)
        self._lifetime = first_for

    def next(self, own: Credentials, now: datetime) -> QrCode | None:
        """Return the next code, None when they have run out."""
        if not self._refs:
            return None
        ref = self._refs.pop(0)
        code = QrCode(ref=ref, text=qr_text(ref, own), expires_at=now + self._lifetime)
        self._lifetime = _LATER_CODES_FOR
        return code

    @staticmethod
    def again(code: QrCode, own: Credentials) -> QrCode:
        """Return a code with what these credentials hold by now; its time goes on."""
        return replace(code, text=qr_text(code.ref, own))


def qr_text(ref: str, own: Credentials) -> str:
    """Return the text of a QR code (docs/reference/protocol.md §3.1)."""
    keys = (own.noise.public, own.identity.public, own.adv_secret)
    fields = [ref, *(base64.b64encode(key).decode() for key in keys), _CLIENT_TYPE]
    return _URL + ",".join(fields)


def read_refs(pair_device: Node) -> tuple[str, ...]:
    """Return the refs of a `<pair-device>`."""
    return tuple(
        child.data.decode("ascii", "replace")
        for child in pair_device.children
        if child.tag == "ref" and child.data
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What a verified pairing gives: the credentials to store, and the reply to send after."""

    credentials: Credentials
    reply: Node


def accept_pairing(iq: Node, own: Credentials, *, also: Sequence[bytes] = ()) -> Paired:
    """Verify a `<pair-success>` and sign it, or raise PairingRefused with the error to reply.

    It may be under the secret of the credentials or under one of `also`, which were shown before.
    The credentials must be committed before the reply is sent: with the reply the phone counts the
    device as linked. docs/reference/protocol.md §3.2; whatsmeow pair.go `handlePair`, 2026-08-21.
    """
    try:
        success = iq.need("pair-success")
        container = wa_pb2.ADVSignedDeviceIdentityHMAC.FromString(
            success.need("device-identity").data
        )
        device = success.need("device")
        pn, lid = Jid.parse(device.attr("jid")), Jid.parse(device.attr("lid"))
        platform = success.child("platform")
    except (WireError, DecodeError) as error:
        raise PairingRefused(500, "internal-error") from error
    if not (pn.is_pn and lid.is_lid):
        raise PairingRefused(500, "internal-error")
    secret = _secret_of(container, (own.adv_secret, *also))
    identity, details = _verified(container, own)
    identity.deviceSignature = own.identity.sign(
        BY_DEVICE + identity.details + own.identity.public + identity.accountSignatureKey
    )
    credentials = own.changed(
        pn=str(pn),
        lid=str(lid),
        account=identity.SerializeToString(),
        adv_secret=secret,
        platform=platform.attrs.get("name") if platform is not None else None,
    )
    return Paired(credentials=credentials, reply=_reply(iq, identity, details.keyIndex))


def _reply(iq: Node, identity: wa_pb2.ADVSignedDeviceIdentity, key_index: int) -> Node:
    """Build the confirmation: the signed identity, without the account's key, which is known."""
    shown = wa_pb2.ADVSignedDeviceIdentity()
    shown.CopyFrom(identity)
    shown.ClearField("accountSignatureKey")
    attrs = {"key-index": str(key_index)}
    signed = Node("device-identity", attrs, shown.SerializeToString())
    return Node(
        "iq",
        {"id": iq.attr("id"), "type": "result", "to": "s.whatsapp.net"},
        (Node("pair-device-sign", {}, (signed,)),),
    )


def _secret_of(container: wa_pb2.ADVSignedDeviceIdentityHMAC, secrets: Sequence[bytes]) -> bytes:
    hosted_account = container.accountType == wa_pb2.ADVEncryptionType.HOSTED
    signed = (BY_HOSTED_ACCOUNT if hosted_account else b"") + container.details
    for secret in secrets:
        if same(hmac_sha256(secret, signed), container.hmac):
            return secret
    raise PairingRefused(401, "hmac-mismatch")


def _verified(
    container: wa_pb2.ADVSignedDeviceIdentityHMAC, own: Credentials
) -> tuple[wa_pb2.ADVSignedDeviceIdentity, wa_pb2.ADVDeviceIdentity]:
    try:
        identity = wa_pb2.ADVSignedDeviceIdentity.FromString(container.details)
        details = wa_pb2.ADVDeviceIdentity.FromString(identity.details)
    except DecodeError as error:
        raise PairingRefused(500, "internal-error") from error
    hosted = details.deviceType == wa_pb2.ADVEncryptionType.HOSTED
    signed = (BY_HOSTED_ACCOUNT if hosted else BY_ACCOUNT) + identity.details + own.identity.public
    if not verify(identity.accountSignatureKey, signed, identity.accountSignature):
        raise PairingRefused(401, "signature-mismatch")
    return identity, details


def refusal(iq: Node, error: PairingRefused) -> Node:
    """Build the error reply to a `<pair-success>` that does not verify."""
    return Node(
        "iq",
        {"id": iq.attrs.get("id", ""), "type": "error", "to": "s.whatsapp.net"},
        (Node("error", {"code": str(error.status), "text": error.text}),),
    )
