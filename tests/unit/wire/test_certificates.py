"""The certificate chain: every way to forge one is refused, each with its own error."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from perene.crypto import KeyPair
from perene.wire.certificates import WHATSAPP_ROOT_KEY, issue_chain, verify_chain
from perene.wire.errors import (
    BadIntermediateSignature,
    BadLeafSignature,
    CertificateError,
    CertificateExpired,
    CertificateNotYetValid,
    MalformedCertificate,
    WrongCertificateLength,
    WrongLeafIssuer,
    WrongLeafKey,
    WrongRootSerial,
)
from perene.wire.proto.wa_pb2 import CertChain

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ROOT = KeyPair.generate()
MIDDLE = KeyPair.generate()
SERVER = KeyPair.generate()
Details = CertChain.NoiseCertificate.Details


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


@dataclass
class Forge:
    """A chain in parts, to be spoilt and then signed by whoever should have signed it."""

    root: KeyPair = ROOT
    middle: KeyPair = MIDDLE
    upper: Details = field(
        default_factory=lambda: Details(
            serial=7,
            issuerSerial=0,
            key=MIDDLE.public,
            notBefore=seconds(NOW - DAY),
            notAfter=seconds(NOW + DAY),
        )
    )
    lower: Details = field(
        default_factory=lambda: Details(
            serial=8,
            issuerSerial=7,
            key=SERVER.public,
            notBefore=seconds(NOW - DAY),
            notAfter=seconds(NOW + DAY),
        )
    )

    def chain(self) -> CertChain:
        upper, lower = self.upper.SerializeToString(), self.lower.SerializeToString()
        chain = CertChain()
        chain.intermediate.details = upper
        chain.intermediate.signature = self.root.sign(upper)
        chain.leaf.details = lower
        chain.leaf.signature = self.middle.sign(lower)
        return chain


def check(payload: bytes, now: datetime = NOW) -> None:
    verify_chain(payload, root_key=ROOT.public, server_static=SERVER.public, now=now)


def test_an_issued_chain_is_verified() -> None:
    payload = issue_chain(
        root=ROOT, leaf_key=SERVER.public, not_before=NOW - DAY, not_after=NOW + DAY
    )
    check(payload)
    chain = CertChain.FromString(payload)
    # Baileys compares the decoded field with zero, so that it must be on the wire.
    assert Details.FromString(chain.intermediate.details).HasField("issuerSerial")


def test_validity_includes_its_first_and_last_second() -> None:
    payload = Forge().chain().SerializeToString()
    check(payload, NOW - DAY)
    check(payload, NOW + DAY)


def other_root(forge: Forge) -> None:
    forge.root = KeyPair.generate()


def other_middle(forge: Forge) -> None:
    forge.middle = KeyPair.generate()


def spoil(part: str, name: str, value: object) -> Callable[[Forge], None]:
    def change(forge: Forge) -> None:
        setattr(getattr(forge, part), name, value)

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (other_root, BadIntermediateSignature),
        (other_middle, BadLeafSignature),
        (spoil("upper", "issuerSerial", 1), WrongRootSerial),
        (spoil("upper", "serial", 9), WrongLeafIssuer),
        (spoil("lower", "issuerSerial", 0), WrongLeafIssuer),
        (spoil("lower", "key", KeyPair.generate().public), WrongLeafKey),
        (spoil("upper", "key", MIDDLE.public + b"\0"), WrongCertificateLength),
        (spoil("upper", "key", b""), WrongCertificateLength),
        (spoil("lower", "key", SERVER.public[:31]), WrongCertificateLength),
        (spoil("upper", "notBefore", seconds(NOW) + 1), CertificateNotYetValid),
        (spoil("lower", "notBefore", seconds(NOW) + 1), CertificateNotYetValid),
        (spoil("upper", "notAfter", seconds(NOW) - 1), CertificateExpired),
        (spoil("lower", "notAfter", seconds(NOW) - 1), CertificateExpired),
        (spoil("lower", "notBefore", 2**64 - 1), CertificateNotYetValid),
    ],
)
def test_a_properly_signed_lie_is_refused(
    change: Callable[[Forge], None], error: type[CertificateError]
) -> None:
    forge = Forge()
    change(forge)
    with pytest.raises(error):
        check(forge.chain().SerializeToString())


@pytest.mark.parametrize("name", ["upper", "lower"])
def test_the_error_of_a_date_names_the_certificate(name: str) -> None:
    forge = Forge()
    getattr(forge, name).notAfter = 1
    with pytest.raises(CertificateExpired, match="intermediate" if name == "upper" else "leaf"):
        check(forge.chain().SerializeToString())


def test_a_chain_of_another_root_is_not_whatsapps() -> None:
    payload = Forge().chain().SerializeToString()
    with pytest.raises(BadIntermediateSignature):
        verify_chain(payload, root_key=WHATSAPP_ROOT_KEY, server_static=SERVER.public, now=NOW)


@pytest.mark.parametrize("certificate", ["intermediate", "leaf"])
@pytest.mark.parametrize("name", ["details", "signature"])
def test_a_missing_part_is_refused(certificate: str, name: str) -> None:
    chain = Forge().chain()
    getattr(chain, certificate).ClearField(name)
    with pytest.raises(MalformedCertificate):
        check(chain.SerializeToString())


@pytest.mark.parametrize("certificate", ["intermediate", "leaf"])
@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_the_wrong_length_is_refused(certificate: str, length: int) -> None:
    chain = Forge().chain()
    part = getattr(chain, certificate)
    part.signature = (part.signature + b"\0")[:length]
    with pytest.raises(WrongCertificateLength):
        check(chain.SerializeToString())


@pytest.mark.parametrize(
    ("certificate", "error"),
    [("intermediate", BadIntermediateSignature), ("leaf", BadLeafSignature)],
)
def test_a_changed_byte_breaks_the_signature(
    certificate: str, error: type[CertificateError]
) -> None:
    chain = Forge().chain()
    part = getattr(chain, certificate)
    part.details = part.details[:-1] + bytes((part.details[-1] ^ 1,))
    with pytest.raises(error):
        check(chain.SerializeToString())


def test_bytes_that_are_no_chain_are_refused() -> None:
    for payload in (b"", b"\xff", b"\x0a\xff"):
        with pytest.raises(MalformedCertificate):
            check(payload)


@pytest.mark.parametrize(("part", "signer"), [("intermediate", ROOT), ("leaf", MIDDLE)])
def test_signed_details_that_do_not_parse_are_refused(part: str, signer: KeyPair) -> None:
    chain = Forge().chain()
    getattr(chain, part).details = b"\xff"
    getattr(chain, part).signature = signer.sign(b"\xff")
    with pytest.raises(MalformedCertificate):
        check(chain.SerializeToString())
