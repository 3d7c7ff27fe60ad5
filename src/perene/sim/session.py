"""A device that is logged in: what it sends is dispatched, what is held for it is delivered."""

import hashlib
from collections import Counter
from datetime import timedelta
from typing import Protocol

from perene.sim.connection import Connection
from perene.sim.evidence import Delivery
from perene.sim.mailbox import Held
from perene.sim.model import Device
from perene.sim.world import World
from perene.wire.codec import encode
from perene.wire.errors import NodeError
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node


class Services(Protocol):
    """What a session can have done for its device."""

    def answer_iq(self, session: "Session", iq: Node) -> Node | None:
        """Return the reply to a query, None if there is none."""
        ...

    def submit_message(self, sender: Device, node: Node) -> Node | None:
        """Relay a message; return its acknowledgement, None if a fault swallows that."""
        ...

    def submit_receipt(self, sender: Device, node: Node) -> None:
        """Take a receipt: it answers a stanza, and is relayed."""
        ...

    def submit_ack(self, sender: Device, node: Node) -> None:
        """Take an ack or nack: it answers a stanza."""
        ...

    def first_sync(self, device: Device) -> None:
        """The device has seen the end of its first queue: its phone may start to sync it."""
        ...

    def left(self, session: "Session") -> None:
        """The session has ended."""
        ...


class Session:
    """One login of one device: a stage of a connection, and the outlet of a mailbox."""

    def __init__(
        self, connection: Connection, device: Device, *, world: World, services: Services
    ) -> None:
        self.connection = connection
        self.device = device
        self.deaf = False
        """Whether queries are answered but no stanza is delivered."""
        self.expected_pongs: set[str] = set()
        """Ids of pings of the server that the client has not answered yet."""
        self._world = world
        self._services = services
        self._late: Held | None = None
        self._since = world.now()
        self._watching = False

    # --- from the client --------------------------------------------------------------------------

    def receive(self, node: Node) -> None:
        """Take a stanza of the client."""
        match node.tag:
            case "iq":
                self._receive_iq(node)
            case "message":
                ack = self._services.submit_message(self.device, node)
                if ack is not None:
                    self.connection.send(ack)
            case "receipt":
                self._services.submit_receipt(self.device, node)
            case "ack":
                self._services.submit_ack(self.device, node)
            case "ib":
                self._receive_ib(node)
            case "presence":
                if name := node.attrs.get("name"):
                    self.device.account.name = name
            case _:
                self._world.evidence.events[f"ignored_{node.tag}"] += 1

    def _receive_iq(self, iq: Node) -> None:
        if iq.attrs.get("type") in ("result", "error"):
            if iq.attrs.get("id", "") in self.expected_pongs:
                self.expected_pongs.remove(iq.attr("id"))
                self._world.evidence.events["pongs"] += 1
            return
        xmlns = iq.attrs.get("xmlns", "")
        faults = self._world.faults
        if faults:
            if xmlns == "w:p" and faults.take("no_pong", self.device):
                return
            if faults.take("iq_drop", self.device, xmlns):
                return
        try:
            reply = self._services.answer_iq(self, iq)
        except NodeError:
            self._world.evidence.events["bad_iqs"] += 1
            reply = _bad_request(iq)
        if reply is None:
            return
        late = faults.take("iq_delay", self.device, xmlns) if faults else None
        if late is None:
            self.connection.send(reply)
        else:
            self._world.agenda.later(
                timedelta(seconds=late.seconds), lambda: self.connection.send(reply)
            )

    def _receive_ib(self, node: Node) -> None:
        for child in node.children:
            if child.tag == "offline_batch":
                count = child.attrs.get("count", "")
                self.device.mailbox.pull(int(count) if count.isdecimal() else 0)
            else:
                self._world.evidence.events[f"ib_{child.tag}"] += 1

    def activate(self) -> None:
        """The client takes stanzas from now on."""
        if not self.connection.closed:
            self.device.mailbox.open(self)

    def lost(self) -> None:
        """The connection has ended."""
        self.device.mailbox.close(self)
        self._services.left(self)

    # --- to the client ----------------------------------------------------------------------------

    def offline_preview(self, counts: Counter[str]) -> None:
        """Tell what is waiting (docs/reference/protocol.md §1.8)."""
        attrs = {
            "count": str(counts.total()),
            "message": str(counts["message"]),
            "receipt": str(counts["receipt"]),
            "notification": str(counts["notification"]),
            "call": str(counts["call"]),
            "appdata": "0",
            "status": "0",
        }
        self.connection.send(Node("ib", {"from": SERVER_JID}, (Node("offline_preview", attrs),)))

    def offline_done(self, count: int) -> None:
        """Tell that nothing is waiting any more."""
        child = Node("offline", {"count": str(count)})
        self.connection.send(Node("ib", {"from": SERVER_JID}, (child,)))
        self._services.first_sync(self.device)

    def deliver(self, held: Held, *, offline: bool) -> None:
        """Send a stanza, with whatever faults are due."""
        if self.connection.closed or self.connection.silent or self.deaf:
            return
        misbehaves = bool(self._world.faults) or self._late is not None
        if misbehaves and held.stanza.tag == "message" and self._mistreat(held, offline=offline):
            return
        self._send(held, offline=offline)

    def _send(self, held: Held, *, offline: bool) -> None:
        counters = self._world.evidence.of(self.device)
        if held.deliveries:
            counters.redelivered += 1
        else:
            counters.delivered += 1
            if held.stanza.tag == "message":
                self._record(held.stanza)
        held.deliveries += 1
        held.delivered_at = self._world.now()
        self._watch()
        if offline:
            attrs = {**held.stanza.attrs, "offline": "1"}
            self.connection.send(Node(held.stanza.tag, attrs, held.stanza.content))
        else:
            self.connection.send_encoded(held.encoded or encode(held.stanza))

    def _watch(self) -> None:
        """Look for stanzas without an answer when this one has been due for long."""
        if not self._watching:
            self._watching = True
            self._world.agenda.later(self._world.settings.answer_within, self._look)

    def _look(self) -> None:
        """End the stream for a stanza whose answer is owed for too long.

        docs/reference/protocol.md §2.
        """
        self._watching = False
        if self.connection.closed or self.connection.silent:
            return
        waiting = [
            held
            for held in self.device.mailbox.unanswered
            if held.delivered_at is not None and held.delivered_at >= self._since
        ]
        latest = self._world.now() - self._world.settings.answer_within
        for held in waiting:
            if held.delivered_at is not None and held.delivered_at <= latest:
                owed = {"class": held.stanza.tag, "id": held.stanza.attrs.get("id", "")}
                self._world.evidence.events["answers_overdue"] += 1
                self.connection.end(Node("stream:error", {}, (Node("ack", owed),)))
                return
        if waiting:
            self._watch()

    def _mistreat(self, held: Held, *, offline: bool) -> bool:
        """Do to a message what a test asked for; tell whether that was all of it."""
        faults = self._world.faults
        if self._late is not None:
            late, self._late = self._late, None
            self._send(held, offline=offline)
            self._send(late, offline=offline)
            return True
        if faults.take("reorder", self.device):
            self._late = held
            return True
        change = None
        if faults.take("corrupt", self.device):
            change = corrupted
        elif faults.take("unavailable", self.device):
            change = _without_content
        if change is not None:
            changed = Held(stanza=change(held.stanza), deliveries=held.deliveries)
            self._send(changed, offline=offline)
            held.deliveries = changed.deliveries
            return True
        if faults.take("duplicate", self.device):
            self._send(held, offline=offline)
        if (ending := faults.take("close_after", self.device)) is not None:
            self._send(held, offline=offline)
            self.connection.end_by(ending.how or "close", ending.code or 0)
            return True
        return False

    def _record(self, stanza: Node) -> None:
        encs = [child for child in stanza.children if child.tag == "enc"]
        evidence = self._world.evidence
        sender = stanza.attrs.get("participant") or stanza.attrs["from"]
        account = self._world.directory.find_text(sender)
        message_id = stanza.attrs.get("id", "")
        evidence.record_delivery(
            self.device,
            Delivery(
                chat=stanza.attrs.get("recipient") or stanza.attrs["from"],
                sender=sender,
                id=message_id,
                text=evidence.text(account.lid, message_id) if account else None,
                ciphertext_sha256=hashlib.sha256(encs[-1].data).hexdigest() if encs else "",
            ),
        )


def corrupted(stanza: Node) -> Node:
    """Return the stanza with one bit of each ciphertext flipped, inside what its MAC covers."""

    def flip(child: Node) -> Node:
        data = bytearray(child.data)
        if child.tag != "enc" or not data:
            return child
        # The last 8 bytes are a MAC or part of a signature; before them is ciphertext.
        data[max(len(data) - 12, 0)] ^= 1
        return Node(child.tag, child.attrs, bytes(data))

    return Node(stanza.tag, stanza.attrs, tuple(flip(child) for child in stanza.children))


def _without_content(stanza: Node) -> Node:
    """Return what a device gets that a message was not encrypted for.

    whatsapp-rust pull request 506, 2026-04-08; tulir/whatsmeow#924, 2025-09-09.
    """
    rest = tuple(child for child in stanza.children if child.tag != "enc")
    return Node(stanza.tag, stanza.attrs, (*rest, Node("unavailable")))


def _bad_request(iq: Node) -> Node:
    attrs = {"id": iq.attrs.get("id", ""), "from": SERVER_JID, "type": "error"}
    return Node("iq", attrs, (Node("error", {"code": "400", "text": "bad-request"}),))
