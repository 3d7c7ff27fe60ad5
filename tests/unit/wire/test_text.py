"""Text in protobuf messages: presence, what is unknown, and what is not UTF-8."""

from perene.wire.proto.wa_pb2 import (
    ADVDeviceIdentity,
    ContextInfo,
    Message,
    SyncActionValue,
)
from perene.wire.text import mend, readable

HALF = b"caf\xc3"


def test_a_broken_text_does_not_cost_the_message() -> None:
    raw = b"\x0a\x04" + HALF
    message = Message.FromString(raw)
    assert readable(message.conversation) == "caf\ufffd"
    assert message.SerializeToString() == raw


def test_broken_texts_are_mended_wherever_they_are() -> None:
    message = Message()
    message.extendedTextMessage.text = "fine"
    message.extendedTextMessage.title = "XXXX"
    message.extendedTextMessage.contextInfo.mentionedJid.extend(["YYYY", "fine"])
    message.pollCreationMessage.options.add(optionName="ZZZZ")
    raw = message.SerializeToString()
    for mark in (b"XXXX", b"YYYY", b"ZZZZ"):
        raw = raw.replace(mark, HALF)
    broken = Message.FromString(raw)
    assert mend(broken) == 3
    assert broken.extendedTextMessage.text == "fine"
    assert broken.extendedTextMessage.title == "caf\ufffd"
    assert list(broken.extendedTextMessage.contextInfo.mentionedJid) == ["caf\ufffd", "fine"]
    assert broken.pollCreationMessage.options[0].optionName == "caf\ufffd"
    assert mend(broken) == 0


def test_what_is_unknown_survives_a_round_trip() -> None:
    unknown = b"\xf8\xff\x7f\x07"  # a field number nobody has assigned
    message = Message.FromString(b"\x0a\x01a" + unknown)
    assert message.SerializeToString() == b"\x0a\x01a" + unknown


def test_an_unknown_kind_reads_as_its_number_not_as_the_first_kind() -> None:
    message = Message.ProtocolMessage.FromString(b"\x10\xe7\x07")
    assert message.HasField("type")
    assert message.type == 999


def test_presence_of_a_zero_is_kept() -> None:
    identity = ADVDeviceIdentity(keyIndex=0)
    assert ADVDeviceIdentity.FromString(identity.SerializeToString()).HasField("keyIndex")
    assert not ContextInfo().HasField("expiration")


def test_broken_texts_in_a_map_are_mended() -> None:
    action = SyncActionValue()
    action.musicUserIdAction.music_user_id_map["a"] = "XXXX"
    broken = SyncActionValue.FromString(action.SerializeToString().replace(b"XXXX", HALF))
    assert mend(broken) == 1
    assert broken.musicUserIdAction.music_user_id_map["a"] == "caf\ufffd"
