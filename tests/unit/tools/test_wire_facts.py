"""The tables of the wire format are those of the pinned package."""

import pytest

from tests.interop.node import FOLDER
from tools.wire_facts import closure, files_of, parse_proto, render


def test_the_tables_are_what_the_pinned_package_says() -> None:
    for path, content in files_of(FOLDER / "node_modules" / "baileys").items():
        assert path.read_text("utf-8") == content, f"run python -m tools.wire_facts for {path.name}"


PROTO = """
syntax = "proto3";
package proto;
message Wanted {
    optional Used used = 1;
    repeated uint32 numbers = 2 [packed=true];
    oneof choice {
        string text = 3;
    }
    message Nested {
        map<uint32, Far.Kind> far = 1;
    }
}
message Unused {
}
message Used {
    required bytes data = 1;
}
message Far {
    enum Kind {
        ONE = 1;
    }
}
"""


def test_only_what_is_reached_is_taken_with_presence_and_packing_kept() -> None:
    blocks = closure(parse_proto(PROTO), ("Wanted",))
    assert [block.name for block in blocks] == ["Wanted", "Used", "Far"]
    text = [line.strip() for block in blocks for line in render(block)]
    assert "Used used = 1;" in text
    assert "repeated uint32 numbers = 2 [features.repeated_field_encoding = PACKED];" in text
    assert "string text = 3;" in text
    # An enum without a zero stays closed: the edition has no open one.
    assert text[text.index("enum Kind {") + 1] == "option features.enum_type = CLOSED;"


@pytest.mark.parametrize("text", ["import 'x';", "message A {", "message A {\nextend B {\n}\n}"])
def test_what_the_script_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|ends inside"):
        parse_proto(text)
