"""What a decrypted message is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.engine.content import (
    UNKNOWN,
    Content,
    describe,
    parse_message,
    readable_fields,
    text_message,
)
from perene.wire.proto import wa_pb2

Message = wa_pb2.Message
ENVELOPES = [
    field.name
    for field in Message.DESCRIPTOR.fields
    if field.message_type is not None and field.message_type.name == "FutureProofMessage"
]


def varint(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes((low | 0x80, high)) if high else bytes((low,))


def test_a_text_in_either_form_is_text() -> None:
    plain = text_message("hello")
    quoted = Message(extendedTextMessage=Message.ExtendedTextMessage(text="hello"))
    for message in (plain, quoted):
        found = describe(message)
        assert (found.kind, found.text) == ("text", "hello")


def test_envelopes_are_looked_through() -> None:
    message = text_message("inside")
    for field in ("ephemeralMessage", "viewOnceMessage", "documentWithCaptionMessage"):
        outer = Message()
        getattr(outer, field).message.CopyFrom(message)
        message = outer
    found = describe(message)
    assert (found.kind, found.text) == ("text", "inside")


def test_a_caption_is_the_text_of_a_picture() -> None:
    message = Message(imageMessage=Message.ImageMessage(caption="look", mediaKey=b"secret"))
    found = describe(message)
    assert (found.kind, found.text) == ("image", "look")
    shown = readable_fields(message.SerializeToString())
    assert shown["imageMessage"]["caption"] == "look"
    assert "secret" not in str(shown)
    assert "mediaKey" not in shown["imageMessage"]


def test_riders_alone_are_no_content() -> None:
    message = Message()
    message.senderKeyDistributionMessage.groupId = "1@g.us"
    message.messageContextInfo.messageSecret = b"x" * 32
    assert describe(message).kind is None
    message.conversation = "and a text"
    assert describe(message).kind == "text"


NEWER = bytes((*varint(0x7D2), 3)) + b"\x0a\x01x"
"""Content that came with a newer phone: a field, number 250, that the schema does not list."""


def test_content_that_has_no_name_yet_is_content() -> None:
    message = parse_message(NEWER)
    assert message is not None
    assert describe(message) == Content(UNKNOWN, None)
    message.messageContextInfo.messageSecret = b"x" * 32
    assert describe(message).kind == UNKNOWN
    message.conversation = "and a text"
    assert describe(message) == Content("text", "and a text")


def test_every_envelope_is_looked_through_also_one_with_nothing_known_in_it() -> None:
    assert "groupMentionedMessage" in ENVELOPES
    for field in ENVELOPES:
        message = Message()
        getattr(message, field).message.CopyFrom(text_message("inside"))
        assert describe(message) == Content("text", "inside")
        getattr(message, field).message.Clear()
        assert describe(message) == Content(UNKNOWN, None)


def test_every_field_of_a_message_has_a_kind() -> None:
    for field in Message.DESCRIPTOR.fields:
        if field.message_type is not None and not field.is_repeated:
            message = Message()
            getattr(message, field.name).SetInParent()
            found = parse_message(message.SerializeToString())
            assert found is not None
            kind = describe(found).kind
            assert kind is None or kind == kind.lower()


@pytest.mark.parametrize(
    ("number", "kind"), [(0, "revoke"), (14, "message_edit"), (999, "protocol_999")]
)
def test_a_protocol_message_is_named_by_its_type_known_or_not(number: int, kind: str) -> None:
    body = bytes((0x10, *varint(number)))
    message = parse_message(bytes((0x62, len(body))) + body)
    assert message is not None
    assert describe(message).kind == kind


def test_what_is_no_message_is_none() -> None:
    assert parse_message(b"\xff\xff\xff") is None
    assert readable_fields(b"\xff\xff\xff") == {}


def test_text_that_is_cut_inside_a_character_is_readable() -> None:
    message = parse_message(b"\x0a\x03ab\xf0")
    assert message is not None
    assert describe(message).text == "ab\N{REPLACEMENT CHARACTER}"


@given(st.binary(max_size=200))
def test_whatever_parses_can_be_described_and_shown(data: bytes) -> None:
    message = parse_message(data)
    if message is not None:
        describe(message)
        readable_fields(data)
