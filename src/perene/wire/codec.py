"""Binary nodes: the compact form in which stanzas cross the wire.

A node is a list: tag, then names and values of attributes, then perhaps content. Every value begins
with a tag byte; words of the dictionary are one or two bytes, digits and hex digits are packed two to
a byte, addresses have forms of their own. One flag byte comes before the node; its second bit says
that the rest is a zlib stream. Sources: facts/protocol.md §7.2; Baileys
`lib/WABinary/{encode,decode}.js` 7.0.0-rc14, whatsmeow `binary/{encoder,decoder}.go` (2026-08-21).

Limits, so that a few bytes cannot cost much memory or time: MAX_DEPTH (real stanzas nest under a
dozen; two Python frames each, the interpreter allows 1000), MAX_NODES (the largest real answer, all
groups of an account with their participants, has some 100,000), MAX_INFLATED (as much as the
largest frame could carry uncompressed).
"""

import re
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from perene.wire.errors import (
    BadCompression,
    BadNode,
    NodeTooLarge,
    TrailingBytes,
    TruncatedNode,
    UnencodableNode,
    UnknownTag,
)
from perene.wire.jid import DOMAINS, INTEROP_SERVER, MESSENGER_SERVER, PN_SERVER
from perene.wire.node import Node
from perene.wire.tokens import DOUBLE_BYTE, SINGLE_BYTE

MAX_DEPTH: Final = 64
MAX_NODES: Final = 1 << 19
MAX_INFLATED: Final = 1 << 24

LIST_EMPTY: Final = 0
DICTIONARY_0: Final = 236
DICTIONARY_3: Final = 239
INTEROP_JID: Final = 245
FB_JID: Final = 246
AD_JID: Final = 247
LIST_8: Final = 248
LIST_16: Final = 249
JID_PAIR: Final = 250
HEX_8: Final = 251
BINARY_8: Final = 252
BINARY_20: Final = 253
BINARY_32: Final = 254
NIBBLE_8: Final = 255

_ZLIB_FLAG = 2


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


def encode(node: Node) -> bytes:
    """Write one node, uncompressed, ready to be encrypted; raises UnencodableNode (a NodeError).

    Text with an `@` is written as an address when it reads back the same.
    """
    out = bytearray(1)
    try:
        _write_node(out, node, 1)
    except UnicodeEncodeError as error:
        raise UnencodableNode("a text holds half a character") from error
    return bytes(out)


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
            # Two thirds of all names and values are single-byte words: no call for those.
            first = data[at]
            if 0 < first < DICTIONARY_0:
                name = SINGLE_BYTE[first]
                at += 1
            else:
                name, at = self.text(at)
            first = data[at]
            if 0 < first < DICTIONARY_0:
                attrs[name] = SINGLE_BYTE[first]
                at += 1
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
        if first in (BINARY_8, BINARY_20, BINARY_32):
            value, at = self.raw(at)
            return str(value, "utf-8", "replace"), at
        if DICTIONARY_0 <= first <= DICTIONARY_3:
            return DOUBLE_BYTE[first - DICTIONARY_0][data[at + 1]], at + 2
        if first in (NIBBLE_8, HEX_8):
            return self.packed(first, at + 1)
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


# Writing.

_WORDS: Mapping[str, bytes] = {
    **{
        word: bytes((DICTIONARY_0 + book, index))
        for book, words in enumerate(DOUBLE_BYTE)
        for index, word in enumerate(words)
    },
    **{word: bytes((index,)) for index, word in enumerate(SINGLE_BYTE) if word},
}
_PACKABLE = re.compile(r"([0-9.-]{1,127})|[0-9A-F]{1,127}")
_UNNIBBLES = str.maketrans("-.", "ab")
_DEVICE = re.compile(r"([^@:]*):([1-9][0-9]{0,4})")
_INTEGRATOR = re.compile(r"(0|[1-9][0-9]{0,4})-(.*)", re.DOTALL)


def _write_node(out: bytearray, node: Node, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UnencodableNode(f"a node is nested more than {MAX_DEPTH} deep")
    tag, attrs, content = node.tag, node.attrs, node.content
    if not tag:
        raise UnencodableNode("a node has no tag")
    count = 2 * len(attrs) + (1 if content is None else 2)
    out += _list_start(count)
    out += _WORDS.get(tag) or _plain(tag)
    for name, value in attrs.items():
        out += _WORDS.get(name) or _plain(name)
        out += _WORDS.get(value) or _text(value)
    if content is None:
        return
    if isinstance(content, bytes):
        out += _length(len(content))
        out += content
    elif isinstance(content, str):
        out += _WORDS.get(content) or _text(content)
    else:
        out += _list_start(len(content))
        for child in content:
            _write_node(out, child, depth + 1)


def _list_start(count: int) -> bytes:
    if count < 256:
        return bytes((LIST_8, count)) if count else b"\0"
    if count > 0xFFFF:
        raise UnencodableNode(f"a list has at most 65535 items, not {count}")
    return bytes((LIST_16, count >> 8, count & 255))


def _length(size: int) -> bytes:
    if size < 1 << 8:
        return bytes((BINARY_8, size))
    if size < 1 << 20:
        return bytes((BINARY_20, size >> 16, size >> 8 & 255, size & 255))
    if size < 1 << 32:
        return bytes((BINARY_32,)) + size.to_bytes(4)
    raise UnencodableNode("a string has less than 2**32 bytes")


def _text(value: str) -> bytes:
    """Write an attribute's value or a text that is no word of the dictionary."""
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers err
        raise UnencodableNode(f"a value is text, not {type(value).__name__}")
    return _jid(value) if "@" in value else _plain(value)


def _plain(value: str) -> bytes:
    word = _WORDS.get(value)
    if word is not None:
        return word
    packable = _PACKABLE.fullmatch(value)
    if packable is None:
        raw = value.encode()
        return _length(len(raw)) + raw
    odd = len(value) & 1
    size = (len(value) + 1) >> 1 | odd << 7
    if packable.lastindex:
        value = value.translate(_UNNIBBLES)
        return bytes((NIBBLE_8, size)) + bytes.fromhex(value + "f" * odd)
    return bytes((HEX_8, size)) + bytes.fromhex(value + "f" * odd)


@lru_cache(maxsize=8192)
def _jid(text: str) -> bytes:
    """Write an address as whatsmeow's `writeJID` does.

    Any other text with an `@` goes out as a pair, which reads back as the same text.
    """
    user, _, server = text.partition("@")
    if not server:
        return _plain(text)
    match = _DEVICE.fullmatch(user)
    name, device = (match[1], int(match[2])) if match else (user, 0)
    if ":" not in name:
        domain = DOMAINS.get(server)
        if domain is not None and device < 256 and (device or domain >= 128):
            return bytes((AD_JID, domain, device)) + _user(name)
        foreign = device < 1 << 16
        if server == MESSENGER_SERVER and foreign:
            return bytes((FB_JID,)) + _user(name) + device.to_bytes(2) + _plain(server)
        split = _INTEGRATOR.fullmatch(name) if server == INTEROP_SERVER and foreign else None
        if split and int(split[1]) < 1 << 16:
            numbers = device.to_bytes(2) + int(split[1]).to_bytes(2)
            return bytes((INTEROP_JID,)) + _user(split[2]) + numbers + _plain(server)
    return bytes((JID_PAIR,)) + _user(user) + _plain(server)


def _user(name: str) -> bytes:
    return _plain(name) if name else b"\0"
