"""The server's ways to end a stream (facts/protocol.md §2)."""

from typing import Literal

from perene.wire.node import Node

Ending = Literal[
    "stream_error", "failure", "replaced", "device_removed", "ack", "xmlstreamend", "close"
]


def last_word(how: Ending, code: int) -> Node | None:
    """Return what is said last, None for nothing; `code` is that of a stream error or failure."""
    match how:
        case "stream_error":
            return Node("stream:error", {"code": str(code)})
        case "failure":
            return Node("failure", {"reason": str(code), "location": "sim"})
        case "replaced":
            return Node("stream:error", {}, (Node("conflict", {"type": "replaced"}),))
        case "device_removed":
            conflict = Node("conflict", {"type": "device_removed"})
            return Node("stream:error", {"code": "401"}, (conflict,))
        case "ack":
            return Node("stream:error", {}, (Node("ack", {"class": "message", "id": "sim"}),))
        case "xmlstreamend":
            return Node("xmlstreamend")
        case "close":
            return None
