"""A message on its way in: its stanza, its canonical addresses, and what is told of it."""

from dataclasses import dataclass
from datetime import datetime

from perene.core.events import Event, EventType, Json
from perene.core.messages import Message, MessageKey, Status
from perene.engine.addresses import AddressBook, is_person
from perene.engine.content import UNKNOWN, Content
from perene.engine.decrypt import digest
from perene.engine.draft import Draft
from perene.engine.moving import learn
from perene.engine.stanza import Envelope
from perene.wire.jid import Jid
from perene.wire.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A `<message>` with its canonical addresses.

    `digests` are the hashes of its ciphertexts, under which a redelivery is recognised.
    """

    node: Node
    envelope: Envelope
    chat: Jid
    sender: Jid
    key: MessageKey
    digests: tuple[bytes, ...]

    @property
    def group(self) -> str | None:
        """The group that it came in, None for a message between two people."""
        return str(self.chat) if self.envelope.is_group else None


def digests_of(node: Node) -> tuple[bytes, ...]:
    """Return the ciphertext hashes of a message stanza."""
    sender = node.attrs.get("participant") or node.attrs.get("from", "")
    return tuple(digest(sender, child) for child in node.children if child.tag == "enc")


async def identify(
    node: Node,
    envelope: Envelope,
    digests: tuple[bytes, ...],
    *,
    book: AddressBook,
    draft: Draft,
) -> Incoming:
    """Find the canonical addresses of a message, learning the pairs that it shows."""
    if envelope.pairs:
        await learn(draft, envelope.pairs)
    await book.load([jid for jid in (envelope.chat, envelope.sender) if is_person(jid)])
    chat, sender = book.canonical(envelope.chat), book.canonical(envelope.sender)
    key = MessageKey(
        chat=str(chat), sender=str(sender.bare), id=envelope.id, from_me=envelope.from_me
    )
    return Incoming(
        node=node, envelope=envelope, chat=chat, sender=sender, key=key, digests=digests
    )


def message_of(
    incoming: Incoming,
    key: MessageKey,
    described: Content,
    body: bytes,
    *,
    book: AddressBook,
    now: datetime,
) -> Message:
    """Return the message with the event that tells of it."""
    return message_from(
        key,
        described,
        body,
        book=book,
        timestamp=incoming.envelope.timestamp or now,
        push_name=incoming.envelope.push_name,
        sender_device=incoming.sender.device,
        now=now,
    )


def message_from(
    key: MessageKey,
    described: Content,
    body: bytes,
    *,
    book: AddressBook,
    timestamp: datetime,
    push_name: str | None,
    sender_device: int,
    now: datetime,
) -> Message:
    """Return a message that somebody wrote, with the event that tells of it.

    The book must know its chat and its sender.
    """
    kind = described.kind or UNKNOWN
    sender_pn = book.phone_number(Jid.parse(key.sender))
    chat_pn = sender_pn
    if key.chat != key.sender:
        chat_pn = book.phone_number(Jid.parse(key.chat))
    payload: dict[str, Json] = {
        "message_id": key.id,
        "chat": key.chat,
        "chat_pn": str(chat_pn) if chat_pn else None,
        "sender": key.sender,
        "sender_pn": str(sender_pn) if sender_pn else None,
        "from_me": key.from_me,
        "kind": kind,
        "text": described.text,
        "timestamp": timestamp.isoformat(),
        "push_name": push_name,
    }
    return Message(
        key=key,
        kind=kind,
        text=described.text,
        body=body,
        timestamp=timestamp,
        status=Status.SENT if key.from_me else Status.RECEIVED,
        push_name=push_name,
        sender_device=sender_device,
        event=Event(type=EventType.MESSAGE_RECEIVED, at=now, payload=payload),
    )


def told_of(
    kind: EventType, incoming: Incoming, details: dict[str, Json], *, now: datetime
) -> Event:
    """Return an event about a message that did not become one of the store's."""
    return Event(
        type=kind,
        at=now,
        payload={
            "message_id": incoming.key.id,
            "chat": incoming.key.chat,
            "sender": incoming.key.sender,
            **details,
        },
    )
