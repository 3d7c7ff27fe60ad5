"""What a reader can ask of a node, and what a node never shows."""

import pytest

from perene.wire.errors import MissingAttribute, MissingChild, NodeError
from perene.wire.node import Node

NODE = Node(
    "message",
    {"from": "5511999998888@s.whatsapp.net"},
    (Node("enc", {"v": "2"}, b"\x01"), Node("enc", {"v": "3"}), Node("note", {}, "hello")),
)


def test_children_are_found_by_tag_and_the_first_wins() -> None:
    assert [child.tag for child in NODE.children] == ["enc", "enc", "note"]
    assert NODE.need("enc").attr("v") == "2"
    assert NODE.child("nothing") is None


def test_a_missing_part_is_named() -> None:
    with pytest.raises(MissingChild, match="<message> has no <nothing>"):
        NODE.need("nothing")
    with pytest.raises(MissingAttribute, match="<message> has no 'id'"):
        NODE.attr("id")
    assert issubclass(MissingChild, NodeError)
    assert issubclass(MissingAttribute, NodeError)


def test_content_reads_as_bytes_whatever_it_is() -> None:
    assert NODE.need("enc").data == b"\x01"
    assert NODE.need("note").data == b"hello"
    assert NODE.data == b""
    assert Node("empty").data == b""
    assert Node("empty").children == ()
    assert Node("note", {}, "text").children == ()


def test_a_node_in_a_log_shows_neither_numbers_nor_messages() -> None:
    assert repr(NODE) == "<message from [<enc v +1>, <enc v>, <note +5>]>"
