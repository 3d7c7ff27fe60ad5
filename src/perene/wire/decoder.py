"""Bytes to nodes: see `codec` for the format."""

import zlib
from typing import Final

from perene.wire.errors import (
    BadCompression,
    BadNode,
    NodeTooLarge,
    TrailingBytes,
    TruncatedNode,
    UnknownTag,
)
from perene.wire.jid import DOMAINS, INTEROP_SERVER, PN_SERVER
from perene.wire.node import Node
from perene.wire.tags import (
    AD_JID,
    BINARY_8,
    BINARY_20,
    BINARY_32,
    DICTIONARY_0,
    DICTIONARY_3,
    FB_JID,
    HEX_8,
    INTEROP_JID,
    JID_PAIR,
    LIST_8,
    LIST_16,
    LIST_EMPTY,
    MAX_DEPTH,
    MAX_INFLATED,
    MAX_NODES,
    NIBBLE_8,
)
from perene.wire.tokens import DOUBLE_BYTE, SINGLE_BYTE

_ZLIB_FLAG: Final = 2


def decode(data: bytes) -> Node:
    """Read one node from a decrypted frame; raises NodeError and nothing else.

    Text that is not UTF-8 is mended with U+FFFD: other clients cut names inside a character, and
    the stanza must not be lost for it.
    """
    if not data:
        raise TruncatedNode("the frame is empty")
    body = _inflate(data) if data[0] & _ZLIB_FLAG else data
    at = 0 if data[0] & _ZLIB_FLAG else 1
    reader = _Reader(body)
    try:
        node, at = reader.node(at, 1)
    except IndexError:
        raise TruncatedNode(f"the node does not end within {len(body)} bytes") from None
    if at != len(body):
        raise TrailingBytes(f"{len(body) - at} bytes follow the node")
    return node


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        body = stream.decompress(memoryview(data)[1:], MAX_INFLATED + 1)
    except zlib.error as error:
        raise BadCompression("the compressed node is damaged") from error
    if len(body) > MAX_INFLATED:
        raise NodeTooLarge(f"a node inflates to more than {MAX_INFLATED} bytes")
    if not stream.eof:
        raise BadCompression("the compressed node is cut off")
    return body


# An unassigned nibble maps to a letter that no packed text holds.
_NIBBLES = str.maketrans({"a": "-", "b": ".", "c": "!", "d": "!", "e": "!", "f": "\0"})
_DOMAIN_SERVERS = {domain: server for server, domain in DOMAINS.items()}


class _Reader:
    """Reads values of one frame. Reading past the end raises IndexError."""

    __slots__ = ("data", "left", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.left = MAX_NODES

    def node(self, at: int, depth: int) -> tuple[Node, int]:
        """Read a node at `at`; return it and the position behind it."""
        data = self.data
        count, at = self.list_size(data[at], at + 1)
        if not count:
            raise BadNode("a node is an empty list")
        first = data[at]
        if 0 < first < DICTIONARY_0:
            tag = SINGLE_BYTE[first]
            at += 1
        else:
            tag, at = self.text(at)
            if not tag:
                raise BadNode("a node has no tag")
        attrs: dict[str, str] = {}
        for _ in range((count - 1) >> 1):
            # Nearly all names and most values are words: no call for those.
            first = data[at]
            if 0 < first < DICTIONARY_0:
                name = SINGLE_BYTE[first]
                at += 1
            elif DICTIONARY_0 <= first <= DICTIONARY_3:
                name = DOUBLE_BYTE[first - DICTIONARY_0][data[at + 1]]
                at += 2
            else:
                name, at = self.text(at)
            first = data[at]
            if 0 < first < DICTIONARY_0:
                attrs[name] = SINGLE_BYTE[first]
                at += 1
            elif first > HEX_8 or first < INTEROP_JID:
                attrs[name], at = self.text(at)
            else:
                attrs[name], at = self.value(at)
        if count & 1:
            return Node(tag, attrs), at
        content, at = self.content(at, depth)
        return Node(tag, attrs, content), at

    def content(self, at: int, depth: int) -> tuple[bytes | str | tuple[Node, ...], int]:
        """Read what follows the attributes."""
        first = self.data[at]
        if first in (BINARY_8, BINARY_20, BINARY_32):
            return self.raw(at)
        if first not in (LIST_8, LIST_16, LIST_EMPTY):
            return self.value(at)
        count, at = self.list_size(first, at + 1)
        if depth >= MAX_DEPTH:
            raise NodeTooLarge(f"a node is nested more than {MAX_DEPTH} deep")
        self.left -= count
        if self.left < 0:
            raise NodeTooLarge(f"a stanza has more than {MAX_NODES} nodes")
        if count * 3 > self.size - at:  # The smallest node has three bytes.
            raise TruncatedNode(f"a list of {count} nodes cannot fit in {self.size - at} bytes")
        children: list[Node] = []
        for _ in range(count):
            child, at = self.node(at, depth + 1)
            children.append(child)
        return tuple(children), at

    def list_size(self, first: int, at: int) -> tuple[int, int]:
        """Read the length of a list whose tag byte is `first`."""
        if first == LIST_8:
            return self.data[at], at + 1
        if first == LIST_16:
            return self.data[at] << 8 | self.data[at + 1], at + 2
        if first == LIST_EMPTY:
            return 0, at
        raise UnknownTag(f"byte {first} at {at - 1} does not begin a list")

    def raw(self, at: int) -> tuple[bytes, int]:
        """Read bytes with their length."""
        data = self.data
        first = data[at]
        if first == BINARY_8:
            start = at + 2
            end = start + data[at + 1]
        elif first == BINARY_20:
            start = at + 4
            end = start + ((data[at + 1] & 15) << 16 | data[at + 2] << 8 | data[at + 3])
        else:
            start = at + 5
            end = start + int.from_bytes(data[at + 1 : start])
        if end > self.size or start > self.size:
            raise TruncatedNode(f"a string of {end - start} bytes at {start} is cut off")
        return data[start:end], end

    def value(self, at: int) -> tuple[str, int]:
        """Read a text or an address."""
        first = self.data[at]
        if first == JID_PAIR:
            user, at = self.text(at + 1)
            server, at = self.text(at)
            if not server:
                raise BadNode(f"an address before {at} has no server")
            return f"{user}@{server}", at
        if first == AD_JID:
            domain = self.data[at + 1]
            device = self.data[at + 2]
            user, at = self.text(at + 3)
            # A domain that nobody knows reads as a phone number, as in both witnesses.
            return _address(user, device, _DOMAIN_SERVERS.get(domain, PN_SERVER)), at
        if first in (FB_JID, INTEROP_JID):
            return self.foreign(first, at + 1)
        return self.text(at)

    def foreign(self, first: int, at: int) -> tuple[str, int]:
        """Read an address of another network: user, device, for interop the integrator, server."""
        user, at = self.text(at)
        device = self.data[at] << 8 | self.data[at + 1]
        at += 2
        if first == INTEROP_JID:
            user = f"{self.data[at] << 8 | self.data[at + 1]}-{user}"
            at += 2
        server, at = self.text(at)
        if not server or (first == INTEROP_JID and server != INTEROP_SERVER):
            raise BadNode(f"an address of another network before {at} has the wrong server")
        return _address(user, device, server), at

    def text(self, at: int) -> tuple[str, int]:
        """Read a text that is no address: an address cannot hold another one."""
        data = self.data
        first = data[at]
        if 0 < first < DICTIONARY_0:
            return SINGLE_BYTE[first], at + 1
        if first in (NIBBLE_8, HEX_8):
            return self.packed(first, at + 1)
        if DICTIONARY_0 <= first <= DICTIONARY_3:
            return DOUBLE_BYTE[first - DICTIONARY_0][data[at + 1]], at + 2
        if first in (BINARY_8, BINARY_20, BINARY_32):
            value, at = self.raw(at)
            return value.decode("utf-8", "replace"), at
        if first == LIST_EMPTY:
            return "", at + 1
        raise UnknownTag(f"byte {first} at {at} does not begin a text")

    def packed(self, first: int, at: int) -> tuple[str, int]:
        """Read digits packed two to a byte; the length byte's top bit drops the last one."""
        length = self.data[at]
        start = at + 1
        end = start + (length & 127)
        if end > self.size:
            raise TruncatedNode(f"a packed text at {start} is cut off")
        digits = self.data[start:end].hex()
        if length & 128:
            digits = digits[:-1]
        if first == HEX_8:
            return digits.upper(), end
        text = digits.translate(_NIBBLES)
        if "!" in text:
            raise BadNode(f"a packed text at {start} holds an unassigned digit")
        return text, end


def _address(user: str, device: int, server: str) -> str:
    return f"{user}:{device}@{server}" if device else f"{user}@{server}"
