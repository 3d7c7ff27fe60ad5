"""The phone's answer to a pairing: verified in every part before anything is linked."""

from datetime import timedelta

import pytest

from perene.crypto import KeyPair, hmac_sha256, verify
from perene.engine.credentials import Credentials
from perene.engine.errors import PairingRefused
from perene.engine.pairing import QrCodes, accept_pairing, qr_text, read_refs, refusal
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.virtual_clock import START

HOSTED = wa_pb2.ADVEncryptionType.HOSTED


class Phone:
    """Signs a device's identity as an account's phone does, rightly or wrongly."""

    def __init__(self, own: Credentials) -> None:
        self.own = own
        self.identity = KeyPair.generate()
        self.secret = own.adv_secret
        self.details = wa_pb2.ADVDeviceIdentity(rawId=1, timestamp=5, keyIndex=3)
        self.prefix = b"\x06\x00"
        self.mac_prefix = b""
        self.hosted = False
        self.signed_for = own.identity.public

    def answer(self) -> Node:
        """Return the `<pair-success>`."""
        details = self.details.SerializeToString()
        signature = self.identity.sign(self.prefix + details + self.signed_for)
        identity = wa_pb2.ADVSignedDeviceIdentity(
            details=details,
            accountSignatureKey=self.identity.public,
            accountSignature=signature,
        ).SerializeToString()
        container = wa_pb2.ADVSignedDeviceIdentityHMAC(
            details=identity, hmac=hmac_sha256(self.secret, self.mac_prefix + identity)
        )
        if self.hosted:
            container.accountType = HOSTED
        return self.wrapped(container.SerializeToString())

    def wrapped(self, container: bytes, **device: str) -> Node:
        jids = {"jid": "15550000001:3@s.whatsapp.net", "lid": "100000000000001:3@lid"} | device
        children = (
            Node("device-identity", {}, container),
            Node("device", {name: value for name, value in jids.items() if value}),
            Node("platform", {"name": "android"}),
        )
        return Node("iq", {"id": "P1", "type": "set"}, (Node("pair-success", {}, children),))


@pytest.fixture
def own() -> Credentials:
    return Credentials.create()


@pytest.fixture
def phone(own: Credentials) -> Phone:
    return Phone(own)


def test_a_right_answer_gives_the_credentials_and_a_signed_reply(
    own: Credentials, phone: Phone
) -> None:
    paired = accept_pairing(phone.answer(), own)

    assert paired.credentials.paired
    assert not own.paired
    assert (str(paired.credentials.own_pn), str(paired.credentials.own_lid)) == (
        "15550000001:3@s.whatsapp.net",
        "100000000000001:3@lid",
    )
    assert paired.credentials.platform == "android"
    assert paired.reply.attrs == {"id": "P1", "type": "result", "to": "s.whatsapp.net"}
    node = paired.reply.need("pair-device-sign").need("device-identity")
    assert node.attr("key-index") == "3"
    shown = wa_pb2.ADVSignedDeviceIdentity.FromString(node.data)
    assert not shown.accountSignatureKey
    details = phone.details.SerializeToString()
    signed = b"\x06\x01" + details + own.identity.public + phone.identity.public
    assert verify(own.identity.public, signed, shown.deviceSignature)
    kept = wa_pb2.ADVSignedDeviceIdentity.FromString(paired.credentials.account or b"")
    assert kept.accountSignatureKey == phone.identity.public


def test_a_hosted_account_and_device_sign_under_their_own_prefixes(
    own: Credentials, phone: Phone
) -> None:
    phone.hosted, phone.mac_prefix = True, b"\x06\x05"
    phone.details.deviceType = HOSTED
    phone.prefix = b"\x06\x05"
    assert accept_pairing(phone.answer(), own).credentials.paired


def another_secret(phone: Phone) -> None:
    phone.secret = b"x" * 32


def another_device(phone: Phone) -> None:
    phone.signed_for = KeyPair.generate().public


def another_prefix(phone: Phone) -> None:
    phone.prefix = b"\x06\x01"


def hosted_only_in_name(phone: Phone) -> None:
    phone.hosted = True


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (another_secret, "hmac-mismatch"),
        (hosted_only_in_name, "hmac-mismatch"),
        (another_device, "signature-mismatch"),
        (another_prefix, "signature-mismatch"),
    ],
)
def test_an_answer_that_does_not_verify_is_refused_with_its_reason(
    own: Credentials, phone: Phone, spoil: object, text: str
) -> None:
    spoil(phone)  # pyright: ignore[reportCallIssue]  # one of the functions above
    with pytest.raises(PairingRefused) as caught:
        accept_pairing(phone.answer(), own)
    assert (caught.value.status, caught.value.text) == (401, text)
    error = refusal(Node("iq", {"id": "P1"}), caught.value)
    assert error.attrs == {"id": "P1", "type": "error", "to": "s.whatsapp.net"}
    assert error.need("error").attrs == {"code": "401", "text": text}


def test_an_answer_that_makes_no_sense_is_refused(own: Credentials, phone: Phone) -> None:
    rubbish = b"\xff\xff\xff"
    sealed = wa_pb2.ADVSignedDeviceIdentityHMAC(
        details=rubbish, hmac=hmac_sha256(own.adv_secret, rubbish)
    ).SerializeToString()
    whole = phone.answer().need("pair-success").need("device-identity").data
    for iq in (
        Node("iq", {"id": "P1"}),
        Node("iq", {"id": "P1"}, (Node("pair-success"),)),
        phone.wrapped(rubbish),
        phone.wrapped(sealed),
        phone.wrapped(whole, lid=""),
        phone.wrapped(whole, lid="s.whatsapp.net"),
        phone.wrapped(whole, lid="@lid"),
        phone.wrapped(whole, jid="nobody at all"),
        phone.wrapped(whole, jid="s.whatsapp.net"),
    ):
        with pytest.raises(PairingRefused) as caught:
            accept_pairing(iq, own)
        assert caught.value.status == 500


def test_codes_come_one_after_the_other_the_first_one_longest(own: Credentials) -> None:
    refs = read_refs(Node("pair-device", {}, tuple(Node("ref", {}, b"r%d" % n) for n in range(3))))
    codes = QrCodes(refs, first_for=timedelta(seconds=60))
    shown = [codes.next(own, START) for _ in range(4)]
    assert [code and (code.expires_at - START).total_seconds() for code in shown] == [
        60,
        20,
        20,
        None,
    ]
    assert [code and code.text for code in shown[:3]] == [qr_text(ref, own) for ref in refs]


def test_a_code_holds_the_ref_and_the_keys_that_the_phone_needs(own: Credentials) -> None:
    head, _, fields = qr_text("2@ref", own).partition("#")
    assert head == "https://wa.me/settings/linked_devices"
    assert len(fields.split(",")) == 5
    assert fields.startswith("2@ref,")
