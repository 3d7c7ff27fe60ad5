"""The byte stream under the messages: an intro, then frames of 3-byte length and payload.

Sans-I/O: feed what the socket delivers, in pieces of any size. Source:
docs/reference/protocol.md §1.1; whatsmeow `socket/framesocket.go` and `socket/constants.go`
(2026-08-21).
"""

from dataclasses import dataclass
from typing import Final

from perene.wire.errors import BadIntro, FrameTooLarge, IntroTooLarge
from perene.wire.tokens import DICTIONARY_VERSION

PROLOGUE: Final = b"WA\x06" + bytes((DICTIONARY_VERSION,))
"""First bytes of a client, also the prologue of the Noise handshake: magic, then dictionary."""

MAX_FRAME: Final = (1 << 24) - 1
"""Three bytes of length cannot say more."""

MAX_ROUTING_INFO: Final = 4096
"""A server that reads intros needs a limit; real routing information has some ten bytes."""

_ROUTING = b"ED\x00\x01"
_LENGTH_SIZE = 3


def frame(payload: bytes) -> bytes:
    """Prefix a payload with its length; raises FrameTooLarge above MAX_FRAME."""
    if len(payload) > MAX_FRAME:
        raise FrameTooLarge(f"a frame has at most {MAX_FRAME} bytes, not {len(payload)}")
    return len(payload).to_bytes(_LENGTH_SIZE) + payload


def client_intro(routing_info: bytes | None = None) -> bytes:
    """Return what a client sends once, before its first frame.

    `routing_info` is what the server gave in an earlier connection (`<edge_routing>`); it lets the
    edge pick a nearer server and is no part of the handshake. Raises IntroTooLarge.
    """
    if not routing_info:
        return PROLOGUE
    if len(routing_info) > MAX_ROUTING_INFO:
        raise IntroTooLarge(f"routing information has at most {MAX_ROUTING_INFO} bytes")
    return _ROUTING + len(routing_info).to_bytes(_LENGTH_SIZE) + routing_info + PROLOGUE


class FrameReader:
    """Cuts the byte stream of one connection into payloads.

    Holds at most one unfinished frame. After FrameTooLarge the stream is out of step for good:
    close the connection.
    """

    def __init__(self, maximum: int = MAX_FRAME) -> None:
        """Refuse frames above `maximum` bytes as soon as their length is known."""
        self._maximum = min(maximum, MAX_FRAME)
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream; return the payloads that are now whole, in order."""
        buffer = self._buffer
        buffer += data
        payloads: list[bytes] = []
        at = 0
        available = len(buffer)
        while available - at >= _LENGTH_SIZE:
            size = buffer[at] << 16 | buffer[at + 1] << 8 | buffer[at + 2]
            if size > self._maximum:
                raise FrameTooLarge(f"a frame announces {size} bytes, over {self._maximum}")
            start = at + _LENGTH_SIZE
            if available - start < size:
                break
            at = start + size
            payloads.append(bytes(memoryview(buffer)[start:at]))
        if at:
            del buffer[:at]
        return payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Intro:
    """What a client said first, and the bytes that already follow it."""

    routing_info: bytes | None
    rest: bytes


class IntroReader:
    """Takes the intro off the stream of a client, on the server's side."""

    def __init__(self) -> None:
        self._buffer = b""

    def receive_data(self, data: bytes) -> Intro | None:
        """Take the next bytes; return the intro once it is whole, else None.

        Feed `rest` and everything later to a FrameReader. Raises BadIntro or IntroTooLarge at the
        first byte that shows it.
        """
        self._buffer += data
        buffer = self._buffer
        routing_info = None
        if _agree(buffer, _ROUTING) and buffer:
            start = len(_ROUTING) + _LENGTH_SIZE
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[len(_ROUTING) : start])
            if size > MAX_ROUTING_INFO:
                raise IntroTooLarge(f"an intro announces {size} bytes of routing information")
            if len(buffer) < start + size:
                return None
            routing_info, buffer = buffer[start : start + size], buffer[start + size :]
        if not _agree(buffer, PROLOGUE):
            raise BadIntro("the first bytes are not those of this protocol version")
        if len(buffer) < len(PROLOGUE):
            return None
        return Intro(routing_info=routing_info, rest=buffer[len(PROLOGUE) :])


def _agree(data: bytes, expected: bytes) -> bool:
    # Both may still be incomplete: what there is of them must be equal.
    return data[: len(expected)] == expected[: len(data)]
