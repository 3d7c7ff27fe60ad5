"""The form of replies."""

from perene.wire.jid import SERVER_JID
from perene.wire.node import Node


def result(iq: Node, *children: Node) -> Node:
    """Return a good reply. It comes from whoever was asked: the server, or a group."""
    attrs = {
        "id": iq.attrs.get("id", ""),
        "from": iq.attrs.get("to", SERVER_JID),
        "type": "result",
    }
    return Node("iq", attrs, children or None)


def error(iq: Node, code: int, text: str) -> Node:
    """Return a refusal."""
    attrs = {
        "id": iq.attrs.get("id", ""),
        "from": iq.attrs.get("to", SERVER_JID),
        "type": "error",
    }
    return Node("iq", attrs, (Node("error", {"code": str(code), "text": text}),))
