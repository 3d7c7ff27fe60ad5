"""A message on its way out: the copy that own devices get, and its stanza."""

from perene.core.messages import Message
from perene.engine.content import describe
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_MEDIA_KINDS = {
    "image": "image",
    "sticker": "sticker",
    "document": "document",
    "audio": "audio",
    "video": "video",
    "contact": "vcard",
    "contacts_array": "contact_array",
    "location": "location",
    "live_location": "livelocation",
}
"""Our kinds that the stanza names as media, and the names that it uses (whatsmeow send.go
`getMediaTypeFromMessage`, 2026-08-21)."""


def copy_for_own_devices(chat: str, content: wa_pb2.Message) -> wa_pb2.Message:
    """Return what our other devices are told of a message to somebody: its content, and whom to.

    What is about the message stands beside it (whatsapp-rust pull request 696, 2026-06-03).
    """
    copy = wa_pb2.Message()
    copy.deviceSentMessage.destinationJid = chat
    copy.deviceSentMessage.message.CopyFrom(content)
    if content.HasField("messageContextInfo"):
        copy.messageContextInfo.CopyFrom(content.messageContextInfo)
        copy.deviceSentMessage.message.ClearField("messageContextInfo")
    return copy


def original_of(copy: wa_pb2.Message) -> wa_pb2.Message:
    """Return the message that a copy for own devices tells of, and what stands beside it.

    Its secret is among that: without it no vote, edit or answer to it can be read.
    """
    original = wa_pb2.Message()
    if copy.HasField("messageContextInfo"):
        original.messageContextInfo.CopyFrom(copy.messageContextInfo)
    original.MergeFrom(copy.deviceSentMessage.message)
    return original


def media_attrs(content: wa_pb2.Message) -> dict[str, str]:
    """Return what an `<enc>` says of the media that are in it."""
    media = _MEDIA_KINDS.get(describe(content).kind or "")
    return {"mediatype": media} if media else {}


def stanza_type(message: Message) -> str:
    """Return the `type` that a message stanza announces for this content."""
    if message.kind in _MEDIA_KINDS:
        return "media"
    if message.kind in ("reaction", "enc_reaction"):
        return "reaction"
    return "poll" if message.kind.startswith("poll") else "text"


def message_stanza(message: Message, to: Jid, *children: Node, **attrs: str) -> Node:
    """Return the `<message>` that goes to a chat; `attrs` are those that not every one has."""
    known = {"id": str(message.key.id), "to": str(to), "type": stanza_type(message)}
    return Node("message", known | attrs, children)
