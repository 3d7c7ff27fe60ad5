"""The chain that proves a server genuine: root key, intermediate certificate, leaf certificate.

Signatures are XEdDSA over the raw details, without a prefix. Sources:
docs/reference/protocol.md §1.2; `verifyServerCert` and `checkCertValidity` in whatsmeow
`handshake.go` (2026-08-21), whose checks these are, in the same order. Baileys
(`src/Utils/noise-handler.ts`) checks less: both signatures and the root serial.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final

from google.protobuf.message import DecodeError

from perene.crypto import KeyPair, same, verify
from perene.wire.errors import (
    BadIntermediateSignature,
    BadLeafSignature,
    CertificateExpired,
    CertificateNotYetValid,
    MalformedCertificate,
    WrongCertificateLength,
    WrongLeafIssuer,
    WrongLeafKey,
    WrongRootSerial,
)
from perene.wire.proto.wa_pb2 import CertChain

Certificate = CertChain.NoiseCertificate
Details = CertChain.NoiseCertificate.Details

WHATSAPP_ROOT_KEY: Final = bytes.fromhex(
    "142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b"
)

ROOT_SERIAL: Final = 0
_KEY_SIZE = 32
_SIGNATURE_SIZE = 64


def verify_chain(payload: bytes, *, root_key: bytes, server_static: bytes, now: datetime) -> None:
    """Return if the chain proves that `server_static` is the server's key; raise otherwise.

    `payload` is the decrypted payload of the server hello, `now` is aware. Raises a leaf of
    CertificateError, one for each thing that can be wrong.
    """
    chain = _parse_chain(payload)
    intermediate, leaf = chain.intermediate, chain.leaf
    for name, certificate in (("intermediate", intermediate), ("leaf", leaf)):
        if len(certificate.signature) != _SIGNATURE_SIZE:
            raise WrongCertificateLength(f"the {name} signature does not have 64 bytes")
    if not _has_signed(root_key, intermediate.details, intermediate.signature):
        raise BadIntermediateSignature("the root did not sign the intermediate certificate")
    issuer = _parse_details(intermediate.details, "intermediate")
    if issuer.issuerSerial != ROOT_SERIAL:
        raise WrongRootSerial(f"the intermediate's issuer is {issuer.issuerSerial}, not 0")
    if not _has_signed(issuer.key, leaf.details, leaf.signature):
        raise BadLeafSignature("the intermediate did not sign the leaf certificate")
    _check_validity(issuer, now, "intermediate")
    details = _parse_details(leaf.details, "leaf")
    if details.issuerSerial != issuer.serial:
        raise WrongLeafIssuer(f"the leaf's issuer is {details.issuerSerial}, not {issuer.serial}")
    if not same(details.key, server_static):
        raise WrongLeafKey("the leaf certificate is for another key than the server uses")
    _check_validity(details, now, "leaf")


def issue_chain(
    *,
    root: KeyPair,
    leaf_key: bytes,
    not_before: datetime,
    not_after: datetime,
    intermediate: KeyPair | None = None,
    intermediate_serial: int = 1,
    leaf_serial: int = 2,
) -> bytes:
    """Make the chain of a server whose static public key is `leaf_key` (32 bytes).

    The intermediate key is made for the occasion unless given. Times are aware and are cut to whole
    seconds. The root's serial is written though it is zero: Baileys compares the decoded field.
    """
    middle = intermediate or KeyPair.generate()
    window = {"notBefore": int(not_before.timestamp()), "notAfter": int(not_after.timestamp())}
    upper = Details(
        serial=intermediate_serial, issuerSerial=ROOT_SERIAL, key=middle.public, **window
    ).SerializeToString()
    lower = Details(
        serial=leaf_serial, issuerSerial=intermediate_serial, key=leaf_key, **window
    ).SerializeToString()
    chain = CertChain(
        intermediate=Certificate(details=upper, signature=root.sign(upper)),
        leaf=Certificate(details=lower, signature=middle.sign(lower)),
    )
    return chain.SerializeToString()


@lru_cache(maxsize=16)
def _has_signed(public: bytes, details: bytes, signature: bytes) -> bool:
    # A server shows every connection the same certificates. Their times are looked at each time.
    return verify(public, details, signature)


def _parse_chain(payload: bytes) -> CertChain:
    try:
        chain = CertChain.FromString(payload)
    except DecodeError as error:
        raise MalformedCertificate("the certificate chain does not parse") from error
    for certificate in (chain.intermediate, chain.leaf):
        if not (certificate.HasField("details") and certificate.HasField("signature")):
            raise MalformedCertificate("the certificate chain lacks a part")
    return chain


def _parse_details(raw: bytes, name: str) -> Details:
    try:
        details = Details.FromString(raw)
    except DecodeError as error:
        raise MalformedCertificate(f"the details of the {name} do not parse") from error
    if len(details.key) != _KEY_SIZE:
        raise WrongCertificateLength(f"the key of the {name} does not have 32 bytes")
    return details


def _check_validity(details: Details, now: datetime, name: str) -> None:
    moment = now.timestamp()
    if moment < details.notBefore:
        raise CertificateNotYetValid(f"the {name} certificate begins later than {now:%Y-%m-%d}")
    if moment > details.notAfter:
        raise CertificateExpired(f"the {name} certificate ended before {now:%Y-%m-%d}")
