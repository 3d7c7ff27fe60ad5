"""The outgoing half of a simulated person: sends, and encrypts again what could not be read."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

from perene.sim.desk import Desk
from perene.sim.groups import Group
from perene.sim.model import Account, Device
from perene.sim.stanzas import read_bundle
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

MAX_RETRIES = 5
"""How often one message is encrypted again for one device (docs/reference/protocol.md §4.5)."""
_REFRESH_FROM = 2
"""The retry receipt at which a new ratchet is begun in any case."""
_FRESH_FOR = frozenset({"1", "3", "7"})
"""Retry reasons after which the old ratchet is useless: no session, invalid key id, bad MAC."""


@dataclass(slots=True, kw_only=True)
class _Sent:
    """A message of ours, kept to encrypt it again."""

    chat: Account | Group
    message: wa_pb2.Message
    retries: Counter[str] = field(default_factory=Counter[str])


class Sender:
    """Sends as one person."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sent: dict[str, _Sent] = {}
        self._count = 0

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
            self._desk.world.evidence.know_text(self._desk.device, message_id, text)
        if isinstance(chat, Group):
            self._send_to_group(chat, message, message_id)
        else:
            self._send_to_person(chat, message, message_id)
        return message_id

    def send_to_companion(self, companion: Device, content: wa_pb2.Message.ProtocolMessage) -> str:
        """Send a protocol message to one of our own companions.

        docs/reference/protocol.md §7.3 item 10.
        """
        message_id = self.fresh_id()
        enc = self._enc_for(companion, wa_pb2.Message(protocolMessage=content))
        attrs = {
            "id": message_id,
            "to": str(companion.jid()),
            "type": "text",
            "category": "peer",
            "push_priority": "high",
        }
        self._desk.uplink.submit_message(self._desk.device, Node("message", attrs, (enc,)))
        return message_id

    def fresh_id(self) -> str:
        """Return a message id; the n-th of a person is always the same."""
        self._count += 1
        digest = hashlib.sha256(f"{self._desk.device.account.phone}/{self._count}".encode())
        return "3A" + digest.hexdigest()[:18].upper()

    def _send_to_person(self, chat: Account, message: wa_pb2.Message, message_id: str) -> None:
        tos = [
            self._to(device, message)
            for device in chat.devices.values()
            if device is not self._desk.device
        ]
        if chat is not self._desk.device.account:
            copy = self._copy_for_own(chat, message)
            tos += [self._to(device, copy) for device in self._desk.device.account.companions]
        attrs = {"id": message_id, "to": str(chat.jid()), "type": "text"}
        body = (Node("participants", {}, tuple(tos)),)
        self._desk.uplink.submit_message(self._desk.device, Node("message", attrs, body))

    def _send_to_group(self, group: Group, message: wa_pb2.Message, message_id: str) -> None:
        holders = self._desk.keyring.holders.setdefault(group.jid, set())
        members = [device for account in group.roles for device in account.devices.values()]
        present = {device.name for device in members}
        if holders - present:
            self._desk.keyring.rotate(group.jid)
            holders = self._desk.keyring.holders.setdefault(group.jid, set())
        new = [
            device
            for device in members
            if device.name not in holders and device is not self._desk.device
        ]
        carrier = self._with_sender_key(group, wa_pb2.Message())
        tos = [self._to(device, carrier) for device in new]
        holders.update(device.name for device in new)
        data = self._desk.keyring.encrypt_for_group(group.jid, message.SerializeToString())
        children = [Node("participants", {}, tuple(tos))] if tos else []
        children.append(Node("enc", {"v": "2", "type": "skmsg"}, data))
        attrs = {
            "id": message_id,
            "to": group.jid,
            "type": "text",
            "addressing_mode": group.addressing,
        }
        self._desk.uplink.submit_message(self._desk.device, Node("message", attrs, tuple(children)))

    def _to(self, device: Device, message: wa_pb2.Message) -> Node:
        return Node("to", {"jid": str(device.jid())}, (self._enc_for(device, message),))

    def _enc_for(self, device: Device, message: wa_pb2.Message, count: int = 0) -> Node:
        faults = self._desk.world.faults
        # Phones look after themselves; it is the companion that is to be put to the test.
        if faults and device.id and faults.take("wrong_pre_key", self._desk.device):
            self._desk.keyring.name_wrong_pre_key = True
            self._desk.keyring.lose_ratchets(device.name)
        kind, data = self._desk.keyring.encrypt(
            device.name, message.SerializeToString(), lambda: self._desk.uplink.take_bundle(device)
        )
        attrs = {"v": "2", "type": kind}
        return Node("enc", attrs | {"count": str(count)} if count else attrs, data)

    def _copy_for_own(self, chat: Account | Group, message: wa_pb2.Message) -> wa_pb2.Message:
        to = chat.jid if isinstance(chat, Group) else str(chat.jid())
        sent = wa_pb2.Message.DeviceSentMessage(destinationJid=to, message=message)
        return wa_pb2.Message(deviceSentMessage=sent)

    def _with_sender_key(self, group: Group, message: wa_pb2.Message) -> wa_pb2.Message:
        carrier = wa_pb2.Message()
        carrier.CopyFrom(message)
        key = carrier.senderKeyDistributionMessage
        key.groupId = group.jid
        key.axolotlSenderKeyDistributionMessage = self._desk.keyring.distribution(group.jid)
        return carrier

    # --- again ------------------------------------------------------------------------------------

    def encrypt_again(self, receipt: Node, message_id: str) -> None:
        """Answer a retry receipt from what was kept, under the same id.

        docs/reference/protocol.md §4.5.
        """
        asker = self._desk.world.directory.device(
            Jid.parse(receipt.attrs.get("participant") or receipt.attr("from"))
        )
        sent = self._sent.get(message_id)
        if asker is None or sent is None:
            self._desk.counts["retries_unanswerable"] += 1
            return
        sent.retries[asker.name] += 1
        if sent.retries[asker.name] > MAX_RETRIES:
            self._desk.counts["retries_refused"] += 1
            return
        retry = receipt.need("retry")
        count = retry.attrs.get("count", "1")
        self._renew_ratchet(asker, receipt, int(count) if count.isdecimal() else 1)
        message, attrs = sent.message, {"id": message_id, "type": "text", "to": str(asker.jid())}
        if isinstance(sent.chat, Group):
            message = self._with_sender_key(sent.chat, message)
            if asker.account is self._desk.device.account:
                # As WhatsApp Web does (zapo src/retry/replay.ts, 2026-08-19).
                message = self._copy_for_own(sent.chat, message)
            attrs |= {"to": sent.chat.jid, "participant": str(asker.jid(sent.chat.addressing))}
        else:
            attrs["device_fanout"] = "false"
            if asker.account is self._desk.device.account:
                message = self._copy_for_own(sent.chat, message)
                attrs["recipient"] = str(sent.chat.jid())
        enc = self._enc_for(asker, message, int(count) if count.isdecimal() else 1)
        self._desk.counts["retries_answered"] += 1
        self._desk.uplink.submit_message(self._desk.device, Node("message", attrs, (enc,)))

    def _renew_ratchet(self, asker: Device, receipt: Node, count: int) -> None:
        keys = receipt.child("keys")
        if keys is not None:
            registration = int.from_bytes(receipt.need("registration").data)
            self._desk.keyring.begin(asker.name, read_bundle(keys, registration))
        elif count >= _REFRESH_FROM or receipt.need("retry").attrs.get("error") in _FRESH_FOR:
            self._desk.keyring.begin(asker.name, self._desk.uplink.take_bundle(asker))
