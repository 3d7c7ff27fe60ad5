"""Binary nodes: limits, and an error of its own for each kind of damage."""

import zlib

import pytest

from perene.wire.codec import decode, encode
from perene.wire.errors import (
    BadCompression,
    BadNode,
    NodeError,
    NodeTooLarge,
    TrailingBytes,
    TruncatedNode,
    UnencodableNode,
    UnknownTag,
)
from perene.wire.node import Node
from perene.wire.tags import MAX_DEPTH, MAX_INFLATED, MAX_NODES

A = bytes((252, 1, 97))  # the text "a", raw


def attribute(value: bytes) -> bytes:
    """Return `<a a=value/>` with the value as given."""
    return bytes((0, 248, 3)) + A + A + value


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedNode),
        (b"\0", TruncatedNode),
        (bytes((0, 248)), TruncatedNode),
        (bytes((0, 248, 1)), TruncatedNode),
        (bytes((0, 248, 1, 252, 5, 97)), TruncatedNode),
        (bytes((0, 249, 1)), TruncatedNode),
        (attribute(b""), TruncatedNode),
        (attribute(bytes((253, 15, 255, 255, 97))), TruncatedNode),
        (attribute(bytes((254, 255, 255, 255, 255, 97))), TruncatedNode),
        (attribute(bytes((254, 0, 0))), TruncatedNode),
        (attribute(bytes((255, 5, 1))), TruncatedNode),
        (attribute(bytes((247, 0))), TruncatedNode),
        (attribute(bytes((246, 3, 0))), TruncatedNode),
        (attribute(bytes((236,))), TruncatedNode),
        (bytes((0, 248, 2)) + A + bytes((249, 255, 255)) + bytes(9), TruncatedNode),
        (bytes((0, 248, 1)) + A + b"\0", TrailingBytes),
        (bytes((0, 7)), UnknownTag),
        (bytes((0, 248, 1, 240)), UnknownTag),
        (attribute(bytes((244,))), UnknownTag),
        (attribute(bytes((248, 0))), UnknownTag),
        (attribute(bytes((250, 250, 3, 3, 3))), UnknownTag),  # an address inside an address
        (bytes((0, 0)), BadNode),
        (bytes((0, 248, 0)), BadNode),
        (bytes((0, 248, 1, 0)), BadNode),
        (bytes((0, 248, 1, 252, 0)), BadNode),
        (attribute(bytes((250, 3, 0))), BadNode),
        (attribute(bytes((255, 1, 0xC1))), BadNode),
        (attribute(bytes((246, 3, 0, 1, 0))), BadNode),
        (attribute(bytes((245, 3, 0, 1, 0, 1, 3))), BadNode),
        (b"\x02garbage", BadCompression),
        (b"\x02", BadCompression),
        (b"\x02" + zlib.compress(b"\xf8\x01\x10")[:-2], BadCompression),
        (b"\x02" + zlib.compress(bytes(MAX_INFLATED + 1)), NodeTooLarge),
    ],
)
def test_each_kind_of_damage_has_its_own_error(data: bytes, error: type[NodeError]) -> None:
    with pytest.raises(error):
        decode(data)


def nested(depth: int) -> bytes:
    return b"\0" + (bytes((248, 2)) + A + bytes((248, 1))) * (depth - 1) + bytes((248, 1)) + A


def test_nesting_is_limited_in_both_directions() -> None:
    deepest = decode(nested(MAX_DEPTH))
    assert encode(deepest) == nested(MAX_DEPTH)
    with pytest.raises(NodeTooLarge):
        decode(nested(MAX_DEPTH + 1))
    with pytest.raises(NodeTooLarge):
        decode(nested(100_000))
    with pytest.raises(UnencodableNode):
        encode(Node("a", {}, (deepest,)))


def test_the_number_of_nodes_is_limited() -> None:
    row = bytes((248, 2)) + A + bytes((249, 255, 255)) + bytes((248, 1, 1)) * 65535
    rows = MAX_NODES // 65536 + 1
    data = bytes((248, 2)) + A + bytes((248, rows)) + row * rows
    with pytest.raises(NodeTooLarge):
        decode(b"\x02" + zlib.compress(data, 1))


def test_a_compressed_node_reads_like_a_plain_one() -> None:
    node = Node("iq", {"id": "1"}, (Node("ping"),))
    plain = encode(node)
    assert decode(b"\x02" + zlib.compress(plain[1:])) == node


def test_a_name_cut_inside_a_character_does_not_cost_the_stanza() -> None:
    assert decode(attribute(bytes((252, 3, 97, 0xF0, 0x9F)))).attr("a") == "a\ufffd"


@pytest.mark.parametrize(
    "text",
    [
        "@",
        "a@",
        "a@b@c",
        "1:0@lid",
        "1:07@lid",
        "1:256@lid",
        "1:2:3@lid",
        ":5@lid",
        "u:65535@msgr",
        "u:65536@msgr",
        "u@msgr",
        "7-u:5@interop",
        "07-u@interop",
        "65536-u@interop",
        "u@interop",
        "1@hosted",
        "1:5@hosted.lid",
        "mail me: someone@example.org",
    ],
)
def test_a_text_with_an_at_sign_reads_back_unchanged(text: str) -> None:
    assert decode(encode(Node("a", {"v": text}))).attr("v") == text


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("@s.whatsapp.net", 250),
        ("1@s.whatsapp.net", 250),
        ("1:2@s.whatsapp.net", 247),
        ("1:2@lid", 247),
        ("1@hosted", 247),
        ("1:2@msgr", 246),
        ("3-1:2@interop", 245),
        ("1@g.us", 250),
        ("s.whatsapp.net", 3),
    ],
)
def test_an_address_is_written_in_the_form_of_its_server(text: str, tag: int) -> None:
    written = encode(Node("id", {"id": text}))
    assert written[5] == tag


@pytest.mark.parametrize(
    "node",
    [
        Node(""),
        Node("a", {"v": None}),  # pyright: ignore[reportArgumentType] - a caller's mistake
        Node("a", {"v": 5}),  # pyright: ignore[reportArgumentType] - a caller's mistake
        Node("a", {"v": "\ud800"}),
        Node("a", {}, "\ud800"),
        Node("a", {}, (Node("b"),) * 65536),
        Node("a", {f"n{index}": "" for index in range(32768)}),
    ],
)
def test_what_the_format_cannot_write_is_refused(node: Node) -> None:
    with pytest.raises(UnencodableNode):
        encode(node)
