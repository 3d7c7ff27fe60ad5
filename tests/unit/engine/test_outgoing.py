"""What a stanza announces of the message in it."""

from dataclasses import replace

import pytest

from perene.engine.content import describe
from perene.engine.outgoing import (
    copy_for_own_devices,
    media_attrs,
    message_stanza,
    original_of,
)
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.units import key, message
from tests.unit.engine.desk import ANA


@pytest.mark.parametrize(
    ("field", "kind", "media"),
    [
        ("conversation", "text", None),
        ("extendedTextMessage", "text", None),
        ("imageMessage", "media", "image"),
        ("stickerMessage", "media", "sticker"),
        ("documentMessage", "media", "document"),
        ("audioMessage", "media", "audio"),
        ("videoMessage", "media", "video"),
        ("contactMessage", "media", "vcard"),
        ("contactsArrayMessage", "media", "contact_array"),
        ("locationMessage", "media", "location"),
        ("liveLocationMessage", "media", "livelocation"),
        ("reactionMessage", "reaction", None),
        ("encReactionMessage", "reaction", None),
        ("pollCreationMessage", "poll", None),
        ("pollUpdateMessage", "poll", None),
    ],
)
def test_a_stanza_says_what_is_in_it_by_the_names_of_the_protocol(
    field: str, kind: str, media: str | None
) -> None:
    content = wa_pb2.Message()
    if field == "conversation":
        content.conversation = "hello"
    else:
        getattr(content, field).SetInParent()
    sent = replace(message(key("M1", from_me=True)), kind=describe(content).kind or "")
    stanza = message_stanza(sent, Jid.parse(ANA), Node("enc"), phash="2:aaaaaaaa")
    assert stanza.attrs == {"id": "M1", "to": ANA, "type": kind, "phash": "2:aaaaaaaa"}
    assert stanza.children == (Node("enc"),)
    assert media_attrs(content) == ({"mediatype": media} if media else {})


def test_what_only_travels_along_is_no_medium() -> None:
    assert media_attrs(wa_pb2.Message()) == {}


def test_a_copy_for_own_devices_has_what_is_about_the_message_beside_it() -> None:
    content = wa_pb2.Message(conversation="hello")
    assert not copy_for_own_devices(ANA, content).HasField("messageContextInfo")
    content.messageContextInfo.messageSecret = b"secret"
    copy = copy_for_own_devices(ANA, content)
    assert copy.messageContextInfo.messageSecret == b"secret"
    assert copy.deviceSentMessage.message == wa_pb2.Message(conversation="hello")
    assert original_of(copy) == content
