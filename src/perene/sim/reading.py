"""The incoming half of a simulated person: reads, confirms, and asks again."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from perene.signal import (
    BadMac,
    DuplicateMessage,
    NoRatchet,
    NoSenderKey,
    SignalError,
    UnknownPreKey,
)
from perene.sim.desk import Desk
from perene.sim.keyring import Kind
from perene.sim.model import Device
from perene.sim.stanzas import bundle_nodes
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

MAX_RETRIES = 5
"""The attempt at which one message is given up (docs/reference/protocol.md §4.5)."""
_KEYS_FROM = 2
"""The retry receipt that carries keys first."""

PeerListener = Callable[[Device, wa_pb2.Message.ProtocolMessage, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A message that a person has read: `text`, or what `kind` of content it was."""

    chat: str
    sender: str
    device: int
    id: str
    kind: str
    text: str | None
    time: int
    edit: str = ""


class Reader:
    """Reads as one person."""

    def __init__(self, desk: Desk) -> None:
        self.auto_read = False
        """Whether every message is read as soon as it arrives, and the sender told so."""
        self.inbox: list[Read] = []
        self.on_peer_message: PeerListener | None = None
        """Called for protocol messages from our own companions; the phone answers some."""
        self._desk = desk
        self._seen: set[tuple[str, str, str]] = set()
        self._asked: Counter[tuple[str, str]] = Counter()

    def ack(self, stanza: Node) -> None:
        attrs = {"class": stanza.tag, "id": stanza.attr("id"), "to": stanza.attr("from")}
        for name in ("participant", "type"):
            if value := stanza.attrs.get(name):
                attrs[name] = value
        self._desk.uplink.submit_ack(self._desk.device, Node("ack", attrs))

    def receive(self, stanza: Node) -> None:
        author = stanza.attrs.get("participant") or stanza.attr("from")
        sender = self._desk.world.directory.device(Jid.parse(author))
        if sender is None:
            self.ack(stanza)
            return
        group = stanza.attr("from") if "participant" in stanza.attrs else None
        try:
            message = self._open(stanza, sender, group)
        except DuplicateMessage:
            self._desk.counts["repeated"] += 1
            message = None
        except (SignalError, DecodeError) as error:
            self._desk.counts["undecryptable"] += 1
            self._ask_again(stanza, sender, error)
            return
        if message is not None:
            self._note(stanza, sender, group, message)
        self._confirm(stanza, sender)

    def _open(self, stanza: Node, sender: Device, group: str | None) -> wa_pb2.Message | None:
        """Decrypt every part in order; return the content, None if there was only a sender key."""
        content: wa_pb2.Message | None = None
        for enc in stanza.children:
            if enc.tag != "enc":
                continue
            kind = enc.attrs.get("type", "")
            if kind not in ("pkmsg", "msg", "skmsg"):
                continue
            plaintext = self._desk.keyring.decrypt(sender.name, _kind(kind), enc.data, group)
            message = wa_pb2.Message.FromString(plaintext)
            if message.HasField("deviceSentMessage"):
                message = message.deviceSentMessage.message
            if message.HasField("senderKeyDistributionMessage"):
                key = message.senderKeyDistributionMessage
                self._desk.keyring.take_distribution(
                    sender.name, key.groupId, key.axolotlSenderKeyDistributionMessage
                )
            if content_kind(message):
                content = message
        return content

    def _note(
        self, stanza: Node, sender: Device, group: str | None, message: wa_pb2.Message
    ) -> None:
        message_id = stanza.attr("id")
        own = sender.account is self._desk.device.account
        kind = content_kind(message)
        if own and kind == "protocolMessage" and stanza.attrs.get("category") == "peer":
            if self.on_peer_message is not None:
                self.on_peer_message(sender, message.protocolMessage, message_id)
            return
        other = self._desk.world.directory.find_text(stanza.attrs.get("recipient", ""))
        chat = group or (other.phone if own and other else sender.account.phone)
        key = chat, sender.account.phone, message_id
        if key in self._seen:
            self._desk.counts["duplicates"] += 1
            return
        self._seen.add(key)
        self._desk.counts["received"] += 1
        self.inbox.append(
            Read(
                chat=chat,
                sender=sender.account.phone,
                device=sender.id,
                id=message_id,
                kind=kind,
                text=text_of(message),
                time=int(stanza.attrs.get("t", "0")),
                edit=stanza.attrs.get("edit", ""),
            )
        )

    # --- answering --------------------------------------------------------------------------------

    def _confirm(self, stanza: Node, sender: Device) -> None:
        attrs = {"id": stanza.attr("id"), "to": stanza.attr("from")}
        if participant := stanza.attrs.get("participant"):
            attrs["participant"] = participant
        if sender.account is self._desk.device.account:
            attrs["type"] = "peer_msg" if stanza.attrs.get("category") == "peer" else "sender"
            if recipient := stanza.attrs.get("recipient"):
                attrs["recipient"] = recipient
        self._desk.uplink.submit_receipt(self._desk.device, Node("receipt", attrs))
        if self.auto_read and sender.account is not self._desk.device.account:
            read = attrs | {"type": "read", "t": self._desk.world.unix}
            self._desk.uplink.submit_receipt(self._desk.device, Node("receipt", read))

    def mark_read(self, ids: Iterable[str]) -> int:
        """Tell the senders that these messages were read; return how many there were."""
        wanted = set(ids)
        found = [
            read
            for read in self.inbox
            if read.id in wanted and read.sender != self._desk.device.account.phone
        ]
        for read in found:
            author = self._desk.world.directory.by_phone(read.sender)
            if author is None:
                continue
            group = self._desk.world.groups.find(read.chat) if read.chat.endswith("@g.us") else None
            jid = str(author.jid().with_device(read.device))
            attrs = {"id": read.id, "type": "read", "t": self._desk.world.unix, "to": jid}
            if group is not None:
                attrs |= {"to": group.jid, "participant": jid}
            self._desk.uplink.submit_receipt(self._desk.device, Node("receipt", attrs))
        return len(found)

    def _ask_again(self, stanza: Node, sender: Device, error: Exception) -> None:
        message_id = stanza.attr("id")
        self._asked[sender.name, message_id] += 1
        count = self._asked[sender.name, message_id]
        if count < MAX_RETRIES:
            retry = {
                "count": str(count),
                "id": message_id,
                "t": stanza.attrs.get("t", "0"),
                "v": "1",
                "error": _reason(error),
            }
            registration = self._desk.keyring.local.registration_id.to_bytes(4)
            children = [Node("retry", retry), Node("registration", {}, registration)]
            if count >= _KEYS_FROM:
                children.append(Node("keys", {}, bundle_nodes(self._desk.keyring.bundle())))
            attrs = {"id": message_id, "to": stanza.attr("from"), "type": "retry"}
            for name in ("participant", "recipient", "category"):
                if value := stanza.attrs.get(name):
                    attrs[name] = value
            self._desk.counts["retries_sent"] += 1
            self._desk.uplink.submit_receipt(
                self._desk.device, Node("receipt", attrs, tuple(children))
            )
        self.ack(stanza)


def content_kind(message: wa_pb2.Message) -> str:
    """Return the name of the content's field; "" for none but a sender key or context."""
    for descriptor, _ in message.ListFields():
        if descriptor.name not in ("senderKeyDistributionMessage", "messageContextInfo"):
            return descriptor.name
    return ""


def text_of(message: wa_pb2.Message) -> str | None:
    """Return the text of a text message."""
    if message.HasField("conversation"):
        return message.conversation
    if message.HasField("extendedTextMessage"):
        return message.extendedTextMessage.text
    return None


def _reason(error: Exception) -> str:
    """Return the retry reason (docs/reference/protocol.md §4.5) for what went wrong."""
    match error:
        case NoRatchet() | NoSenderKey():
            return "1"
        case UnknownPreKey():
            return "3"
        case BadMac():
            return "7"
        case _:
            return "4"


def _kind(text: str) -> Kind:
    return "pkmsg" if text == "pkmsg" else "msg" if text == "msg" else "skmsg"
