"""Nodes to bytes: see `codec` for the format."""

import re
from collections.abc import Mapping
from functools import lru_cache

from perene.wire.errors import UnencodableNode
from perene.wire.jid import DOMAINS, INTEROP_SERVER, MESSENGER_SERVER
from perene.wire.node import Node
from perene.wire.tags import (
    AD_JID,
    BINARY_8,
    BINARY_20,
    BINARY_32,
    DICTIONARY_0,
    FB_JID,
    HEX_8,
    INTEROP_JID,
    JID_PAIR,
    LIST_8,
    LIST_16,
    MAX_DEPTH,
    NIBBLE_8,
)
from perene.wire.tokens import DOUBLE_BYTE, SINGLE_BYTE


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
