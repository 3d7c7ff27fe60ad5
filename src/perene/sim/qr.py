"""The text of a QR code, as a phone reads it (docs/reference/protocol.md §3.1)."""

import base64
import binascii
from dataclasses import dataclass

from perene.sim.candidate import PairingRefused

_FIELDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class QrText:
    """What a client shows of itself: which ref, and its keys."""

    ref: str
    noise: bytes
    identity: bytes
    secret: bytes


def read_qr(text: str) -> QrText:
    """Read a QR text; raises PairingRefused."""
    fields = text.strip().rpartition("#")[2].split(",")
    if len(fields) < _FIELDS - 1:
        raise PairingRefused("a QR text is a ref and four further fields, comma-separated")
    ref, *encoded = fields
    try:
        noise, identity, secret = (base64.b64decode(part, validate=True) for part in encoded[:3])
    except binascii.Error as error:
        raise PairingRefused("a key in the QR text is not base64") from error
    return QrText(ref=ref, noise=noise, identity=identity, secret=secret)
