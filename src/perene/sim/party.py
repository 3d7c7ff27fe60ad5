"""Device 0 of an account: a person with a phone, and a real Signal party.

Decrypts what arrives, remembers what it read, answers with receipts, asks again for what it cannot
read, and encrypts again what others could not read. A contact is an account with nothing else.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf.message import DecodeError

from perene.signal import (
    BadMac,
    DuplicateMessage,
    NoRatchet,
    NoSenderKey,
    PreKeyBundle,
    SignalError,
    UnknownPreKey,
)
from perene.sim.groups import Group
from perene.sim.keyring import Keyring, Kind
from perene.sim.mailbox import Held
from perene.sim.model import Account, Device
from perene.sim.stanzas import bundle_nodes, read_bundle
from perene.sim.world import World
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

MAX_RETRIES = 5
"""How often one message is asked for, and encrypted again for one device (facts §4.5)."""
_KEYS_FROM = 2
"""The retry receipt that carries keys first."""
_FRESH_FOR = frozenset({"1", "3", "7"})
"""Retry reasons after which the old ratchet is useless: no session, invalid key id, bad MAC."""


class Uplink(Protocol):
    """The server as a device sees it."""

    def submit_message(self, sender: Device, node: Node) -> Node | None:
        """Send a message."""
        ...

    def submit_receipt(self, sender: Device, node: Node) -> None:
        """Send a receipt."""
        ...

    def submit_ack(self, sender: Device, node: Node) -> None:
        """Send an ack."""
        ...

    def take_bundle(self, device: Device) -> PreKeyBundle:
        """Fetch a bundle of a device; one of its one-time keys is used up."""
        ...


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


@dataclass(slots=True, kw_only=True)
class _Sent:
    """A message of ours, kept to encrypt it again."""

    chat: Account | Group
    message: wa_pb2.Message
    retries: Counter[str] = field(default_factory=Counter[str])


class Party:
    """A simulated person. Also the outlet of device 0's mailbox."""

    def __init__(self, device: Device, keyring: Keyring, *, world: World, uplink: Uplink) -> None:
        self.device = device
        self.keyring = keyring
        self.auto_read = False
        """Whether every message is read as soon as it arrives, and the sender told so."""
        self.inbox: list[Read] = []
        self.counts: Counter[str] = Counter()
        """received, duplicates, repeated, undecryptable, retries_sent, retries_answered, …"""
        self.receipts: dict[str, Counter[str]] = {}
        """For each message sent: how many receipts of which type came back."""
        self.on_peer_message: (
            Callable[[Device, wa_pb2.Message.ProtocolMessage, str], None] | None
        ) = None
        """Called for protocol messages from our own companions; the phone answers some."""
        self._world = world
        self._uplink = uplink
        self._seen: set[tuple[str, str, str]] = set()
        self._asked: Counter[tuple[str, str]] = Counter()
        self._sent: dict[str, _Sent] = {}
        self._count = 0

    # --- sending ----------------------------------------------------------------------------------

    def send_text(self, chat: Account | Group, text: str, message_id: str | None = None) -> str:
        """Send a text; return its id."""
        return self.send(chat, wa_pb2.Message(conversation=text), message_id, text=text)

    def send(
        self,
        chat: Account | Group,
        message: wa_pb2.Message,
        message_id: str | None = None,
        *,
        text: str | None = None,
    ) -> str:
        """Send any message to a person or a group; return its id."""
        message_id = message_id or self.fresh_id()
        self._sent[message_id] = _Sent(chat=chat, message=message)
        if text is not None:
            self._world.evidence.know_text(self.device, message_id, text)
        if isinstance(chat, Group):
            self._send_to_group(chat, message, message_id)
        else:
            self._send_to_person(chat, message, message_id)
        return message_id

    def send_to_companion(self, companion: Device, content: wa_pb2.Message.ProtocolMessage) -> str:
        """Send a protocol message to one of our own companions (facts §7.3 item 10)."""
        message_id = self.fresh_id()
        enc = self._enc_for(companion, wa_pb2.Message(protocolMessage=content))
        attrs = {
            "id": message_id,
            "to": str(companion.jid()),
            "type": "text",
            "category": "peer",
            "push_priority": "high",
        }
        self._uplink.submit_message(self.device, Node("message", attrs, (enc,)))
        return message_id

    def fresh_id(self) -> str:
        """Return a message id; the n-th of a person is always the same."""
        self._count += 1
        digest = hashlib.sha256(f"{self.device.account.phone}/{self._count}".encode())
        return "3A" + digest.hexdigest()[:18].upper()

    def _send_to_person(self, chat: Account, message: wa_pb2.Message, message_id: str) -> None:
        tos = [
            self._to(device, message)
            for device in chat.devices.values()
            if device is not self.device
        ]
        if chat is not self.device.account:
            copy = self._copy_for_own(chat, message)
            tos += [self._to(device, copy) for device in self.device.account.companions]
        attrs = {"id": message_id, "to": str(chat.jid()), "type": "text"}
        body = (Node("participants", {}, tuple(tos)),)
        self._uplink.submit_message(self.device, Node("message", attrs, body))

    def _send_to_group(self, group: Group, message: wa_pb2.Message, message_id: str) -> None:
        holders = self.keyring.holders.setdefault(group.jid, set())
        members = [device for account in group.roles for device in account.devices.values()]
        present = {device.name for device in members}
        if holders - present:
            self.keyring.rotate(group.jid)
            holders = self.keyring.holders.setdefault(group.jid, set())
        new = [
            device for device in members if device.name not in holders and device is not self.device
        ]
        carrier = self._with_sender_key(group, wa_pb2.Message())
        tos = [self._to(device, carrier) for device in new]
        holders.update(device.name for device in new)
        data = self.keyring.encrypt_for_group(group.jid, message.SerializeToString())
        children = [Node("participants", {}, tuple(tos))] if tos else []
        children.append(Node("enc", {"v": "2", "type": "skmsg"}, data))
        attrs = {
            "id": message_id,
            "to": group.jid,
            "type": "text",
            "addressing_mode": group.addressing,
        }
        self._uplink.submit_message(self.device, Node("message", attrs, tuple(children)))

    def _to(self, device: Device, message: wa_pb2.Message) -> Node:
        return Node("to", {"jid": str(device.jid())}, (self._enc_for(device, message),))

    def _enc_for(self, device: Device, message: wa_pb2.Message, count: int = 0) -> Node:
        faults = self._world.faults
        # Phones look after themselves; it is the companion that is to be put to the test.
        if faults and device.id and faults.take("wrong_pre_key", self.device):
            self.keyring.name_wrong_pre_key = True
            self.keyring.lose_ratchets(device.name)
        kind, data = self.keyring.encrypt(
            device.name, message.SerializeToString(), lambda: self._uplink.take_bundle(device)
        )
        attrs = {"v": "2", "type": kind}
        return Node("enc", attrs | {"count": str(count)} if count else attrs, data)

    def _copy_for_own(self, chat: Account, message: wa_pb2.Message) -> wa_pb2.Message:
        sent = wa_pb2.Message.DeviceSentMessage(destinationJid=str(chat.jid()), message=message)
        return wa_pb2.Message(deviceSentMessage=sent)

    def _with_sender_key(self, group: Group, message: wa_pb2.Message) -> wa_pb2.Message:
        carrier = wa_pb2.Message()
        carrier.CopyFrom(message)
        key = carrier.senderKeyDistributionMessage
        key.groupId = group.jid
        key.axolotlSenderKeyDistributionMessage = self.keyring.distribution(group.jid)
        return carrier

    # --- receiving --------------------------------------------------------------------------------

    def offline_preview(self, counts: Counter[str]) -> None:
        """A phone that comes back needs no preview."""

    def offline_done(self, count: int) -> None:
        """A phone that comes back needs no notice."""

    def deliver(self, held: Held, *, offline: bool) -> None:
        """Take a stanza; it is read when its turn comes."""
        counters = self._world.evidence.of(self.device)
        if held.deliveries:
            counters.redelivered += 1
        else:
            counters.delivered += 1
        held.deliveries += 1
        self._world.agenda.add(lambda: self._receive(held.stanza))

    def _receive(self, stanza: Node) -> None:
        if not self.device.mailbox.is_open:
            return
        if stanza.tag == "message":
            self._receive_message(stanza)
            return
        if stanza.tag == "receipt":
            self._receive_receipt(stanza)
        self._ack(stanza)

    def _ack(self, stanza: Node) -> None:
        attrs = {"class": stanza.tag, "id": stanza.attr("id"), "to": stanza.attr("from")}
        for name in ("participant", "type"):
            if value := stanza.attrs.get(name):
                attrs[name] = value
        self._uplink.submit_ack(self.device, Node("ack", attrs))

    def _receive_message(self, stanza: Node) -> None:
        author = stanza.attrs.get("participant") or stanza.attr("from")
        sender = self._world.directory.device(Jid.parse(author))
        if sender is None:
            self._ack(stanza)
            return
        group = stanza.attr("from") if "participant" in stanza.attrs else None
        try:
            message = self._open(stanza, sender, group)
        except DuplicateMessage:
            self.counts["repeated"] += 1
            message = None
        except (SignalError, DecodeError) as error:
            self.counts["undecryptable"] += 1
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
            plaintext = self.keyring.decrypt(sender.name, _kind(kind), enc.data, group)
            message = wa_pb2.Message.FromString(plaintext)
            if message.HasField("deviceSentMessage"):
                message = message.deviceSentMessage.message
            if message.HasField("senderKeyDistributionMessage"):
                key = message.senderKeyDistributionMessage
                self.keyring.take_distribution(
                    sender.name, key.groupId, key.axolotlSenderKeyDistributionMessage
                )
            if content_kind(message):
                content = message
        return content

    def _note(
        self, stanza: Node, sender: Device, group: str | None, message: wa_pb2.Message
    ) -> None:
        message_id = stanza.attr("id")
        own = sender.account is self.device.account
        kind = content_kind(message)
        if own and kind == "protocolMessage" and stanza.attrs.get("category") == "peer":
            if self.on_peer_message is not None:
                self.on_peer_message(sender, message.protocolMessage, message_id)
            return
        other = self._world.directory.find_text(stanza.attrs.get("recipient", ""))
        chat = group or (other.phone if own and other else sender.account.phone)
        key = chat, sender.account.phone, message_id
        if key in self._seen:
            self.counts["duplicates"] += 1
            return
        self._seen.add(key)
        self.counts["received"] += 1
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
        if sender.account is self.device.account:
            attrs["type"] = "peer_msg" if stanza.attrs.get("category") == "peer" else "sender"
            if recipient := stanza.attrs.get("recipient"):
                attrs["recipient"] = recipient
        self._uplink.submit_receipt(self.device, Node("receipt", attrs))
        if self.auto_read and sender.account is not self.device.account:
            read = attrs | {"type": "read", "t": self._world.unix}
            self._uplink.submit_receipt(self.device, Node("receipt", read))

    def mark_read(self, ids: Iterable[str]) -> int:
        """Tell the senders that these messages were read; return how many there were."""
        wanted = set(ids)
        found = [
            read
            for read in self.inbox
            if read.id in wanted and read.sender != self.device.account.phone
        ]
        for read in found:
            author = self._world.directory.by_phone(read.sender)
            if author is None:
                continue
            group = self._world.groups.find(read.chat) if read.chat.endswith("@g.us") else None
            jid = str(author.jid().with_device(read.device))
            attrs = {"id": read.id, "type": "read", "t": self._world.unix, "to": jid}
            if group is not None:
                attrs |= {"to": group.jid, "participant": jid}
            self._uplink.submit_receipt(self.device, Node("receipt", attrs))
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
            registration = self.keyring.local.registration_id.to_bytes(4)
            children = [Node("retry", retry), Node("registration", {}, registration)]
            if count >= _KEYS_FROM:
                children.append(Node("keys", {}, bundle_nodes(self.keyring.bundle())))
            attrs = {"id": message_id, "to": stanza.attr("from"), "type": "retry"}
            for name in ("participant", "recipient", "category"):
                if value := stanza.attrs.get(name):
                    attrs[name] = value
            self.counts["retries_sent"] += 1
            self._uplink.submit_receipt(self.device, Node("receipt", attrs, tuple(children)))
        self._ack(stanza)

    def _receive_receipt(self, stanza: Node) -> None:
        kind = stanza.attrs.get("type", "delivered")
        ids = [stanza.attr("id")]
        listed = stanza.child("list")
        if listed is not None:
            ids += [item.attr("id") for item in listed.children]
        if kind == "retry":
            self._encrypt_again(stanza, ids[0])
            return
        for message_id in ids:
            self.receipts.setdefault(message_id, Counter())[kind] += 1

    def _encrypt_again(self, receipt: Node, message_id: str) -> None:
        """Answer a retry receipt from what was kept, under the same id (facts §4.5)."""
        asker = self._world.directory.device(
            Jid.parse(receipt.attrs.get("participant") or receipt.attr("from"))
        )
        sent = self._sent.get(message_id)
        if asker is None or sent is None:
            self.counts["retries_unanswerable"] += 1
            return
        sent.retries[asker.name] += 1
        if sent.retries[asker.name] > MAX_RETRIES:
            self.counts["retries_refused"] += 1
            return
        retry = receipt.need("retry")
        count = retry.attrs.get("count", "1")
        self._renew_ratchet(asker, receipt, int(count) if count.isdecimal() else 1)
        message, attrs = sent.message, {"id": message_id, "type": "text", "to": str(asker.jid())}
        if isinstance(sent.chat, Group):
            message = self._with_sender_key(sent.chat, message)
            attrs |= {"to": sent.chat.jid, "participant": str(asker.jid(sent.chat.addressing))}
        else:
            attrs["device_fanout"] = "false"
            if asker.account is self.device.account:
                message = self._copy_for_own(sent.chat, message)
                attrs["recipient"] = str(sent.chat.jid())
        enc = self._enc_for(asker, message, int(count) if count.isdecimal() else 1)
        self.counts["retries_answered"] += 1
        self._uplink.submit_message(self.device, Node("message", attrs, (enc,)))

    def _renew_ratchet(self, asker: Device, receipt: Node, count: int) -> None:
        keys = receipt.child("keys")
        if keys is not None:
            registration = int.from_bytes(receipt.need("registration").data)
            self.keyring.begin(asker.name, read_bundle(keys, registration))
        elif count >= _KEYS_FROM or receipt.need("retry").attrs.get("error") in _FRESH_FOR:
            self.keyring.begin(asker.name, self._uplink.take_bundle(asker))


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
    """Return the retry reason (facts §4.5) for what went wrong."""
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
