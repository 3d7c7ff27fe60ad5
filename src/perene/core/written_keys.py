"""Secret keys as people write them."""

import base64
import re


def key_of_32_bytes(text: str) -> bytes:
    """Return the bytes of a key written in hex or base64, of either alphabet.

    Raises ValueError, which does not quote it.
    """
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("not 32 bytes in hex or base64")
    return key
