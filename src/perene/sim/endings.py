"""The server's ways to end a stream (docs/reference/protocol.md §2)."""

from typing import Literal

from perene.wire.node import Node

Ending = Literal[
    "stream_error",
    "failure",
    "replaced",
    "device_removed",
    "conflict",
    "ack",
    "xml_not_well_formed",
    "xmlstreamend",
    "close",
    "silence",
]


def last_word(how: Ending, code: int) -> Node | None:
    """Return what is said last, None for nothing.

    `code` is that of a stream error or failure; 0 leaves it out.
    """
    match how:
        case "stream_error":
            return Node("stream:error", {"code": str(code)} if code else {})
        case "failure":
            reason = {"reason": str(code)} if code else {}
            return Node("failure", reason | {"location": "sim"})
        case "replaced":
            return Node("stream:error", {}, (Node("conflict", {"type": "replaced"}),))
        case "device_removed":
            conflict = Node("conflict", {"type": "device_removed"})
            return Node("stream:error", {"code": "401"}, (conflict,))
        case "conflict":
            return Node("stream:error", {}, (Node("conflict", {"type": "sim"}),))
        case "ack":
            return Node("stream:error", {}, (Node("ack", {"class": "message", "id": "sim"}),))
        case "xml_not_well_formed":
            return Node("stream:error", {}, (Node("xml-not-well-formed"),))
        case "xmlstreamend":
            return Node("xmlstreamend")
        case "close" | "silence":
            return None
