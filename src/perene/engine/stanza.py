"""The envelope of an incoming message: who, where, when, before anything is decrypted."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from perene.core.ids import MessageId
from perene.core.unit import AddressPair
from perene.engine.credentials import Credentials
from perene.wire.errors import BadNode, JidError
from perene.wire.jid import (
    HOSTED_LID_SERVER,
    HOSTED_SERVER,
    LID_SERVER,
    PN_SERVER,
    STATUS_JID,
    Jid,
)
from perene.wire.node import Node

MESSAGES: Final = frozenset({"message", "status"})
"""The tags under which messages come."""

MAX_ID = 128
"""Real ids have at most 32 characters; a longer one than this is not a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the attributes of `<message>` say. JIDs are as on the wire, not yet canonical.

    `chat` is bare; `sender` keeps its device. `pairs` are the phone number and LID pairs that the
    stanza itself shows. `timestamp` is None when the stanza's is no time.
    """

    id: MessageId
    chat: Jid
    sender: Jid
    from_me: bool
    timestamp: datetime | None
    push_name: str | None
    category: str
    is_group: bool
    pairs: tuple[AddressPair, ...]


def read_envelope(node: Node, own: Credentials) -> Envelope:
    """Read the attributes of a `<message>`; raises WireError if they name no sender or no chat.

    What only adds to it (the time, an alternative address) may be missing or odd: a message is not
    lost for that. docs/reference/protocol.md §4.1 and §4.3; whatsmeow message.go
    `parseMessageSource`, 2026-08-21.
    """
    message_id = node.attr("id")
    if not 0 < len(message_id) <= MAX_ID:
        raise BadNode("a message id has 1 to 128 characters")
    origin = _unhosted(Jid.parse(node.attr("from")))
    is_group = origin.is_group or origin.is_broadcast
    if is_group:
        sender = _unhosted(Jid.parse(node.attr("participant")))
        chat = origin.bare
        from_me = own.is_own(sender)
        pairs = address_pairs(
            sender, node.attrs.get("participant_pn") or node.attrs.get("participant_lid")
        )
    elif origin.is_newsletter:
        sender, chat, from_me, pairs = origin, origin, False, ()
    elif own.is_own(origin):
        sender, from_me = origin, True
        recipient = node.attrs.get("recipient")
        chat = _unhosted(Jid.parse(recipient)).bare if recipient else origin.bare
        pairs = address_pairs(
            chat, node.attrs.get("peer_recipient_pn") or node.attrs.get("peer_recipient_lid")
        )
    else:
        sender, chat, from_me = origin, origin.bare, False
        pairs = address_pairs(origin, node.attrs.get("sender_pn") or node.attrs.get("sender_lid"))
    if not sender.user or not chat.user:
        raise BadNode("a message is from somebody, in a chat")
    return Envelope(
        id=MessageId(message_id),
        chat=chat,
        sender=sender,
        from_me=from_me,
        timestamp=timestamp(node.attrs.get("t", "")),
        push_name=node.attrs.get("notify"),
        category=node.attrs.get("category", ""),
        is_group=is_group,
        pairs=pairs,
    )


def is_status(node: Node) -> bool:
    """Tell a status update, under either of the tags under which these come."""
    return node.tag == "status" or node.attrs.get("from") == STATUS_JID


def _unhosted(jid: Jid) -> Jid:
    # A hosted device belongs to the same person, and is told from the others by its number.
    match jid.server:
        case s if s == HOSTED_SERVER:
            return Jid(jid.user, PN_SERVER, jid.device)
        case s if s == HOSTED_LID_SERVER:
            return Jid(jid.user, LID_SERVER, jid.device)
        case _:
            return jid


def address_pairs(one: Jid, other: str | None) -> tuple[AddressPair, ...]:
    """Return the pair that an address and the text of another make: none unless they are a phone
    number and a LID."""
    if not other:
        return ()
    try:
        alternative = Jid.parse(other)
    except JidError:
        return ()
    if one.is_lid and alternative.is_pn:
        return (AddressPair(pn=str(alternative.bare), lid=str(one.bare)),)
    if one.is_pn and alternative.is_lid:
        return (AddressPair(pn=str(one.bare), lid=str(alternative.bare)),)
    return ()


def timestamp(text: str) -> datetime | None:
    """Read a time from an attribute, in seconds since 1970: None if it is none."""
    if not text.isascii() or not text.isdecimal() or len(text) > 11:
        return None
    return datetime.fromtimestamp(int(text), UTC)


def small_number(text: str, *, most: int) -> int | None:
    """Read a count or an id from an attribute: None unless it is a number from 0 to `most`."""
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        return None
    number = int(text)
    return number if number <= most else None
