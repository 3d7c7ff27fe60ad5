"""Device 0 of an account: a person with a phone, and a real Signal party.

A contact is an account with nothing else. What a person reads is in `reading`, what a person sends
in `sending`; here both are the outlet of one mailbox.
"""

from collections import Counter

from perene.sim.desk import Desk
from perene.sim.mailbox import Held
from perene.sim.reading import Reader
from perene.sim.sending import Sender
from perene.wire.node import Node


class Party:
    """A simulated person."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.sender = Sender(desk)
        self.reader = Reader(desk)
        self.receipts: dict[str, Counter[str]] = {}
        """For each message sent: how many receipts of which type came back."""

    def offline_preview(self, counts: Counter[str]) -> None:
        """A phone that comes back needs no preview."""

    def offline_done(self, count: int) -> None:
        """A phone that comes back needs no notice."""

    def deliver(self, held: Held, *, offline: bool) -> None:
        """Take a stanza; it is read when its turn comes."""
        counters = self.desk.world.evidence.of(self.desk.device)
        if held.deliveries:
            counters.redelivered += 1
        else:
            counters.delivered += 1
        held.deliveries += 1
        self.desk.world.agenda.add(lambda: self._receive(held.stanza))

    def _receive(self, stanza: Node) -> None:
        if not self.desk.device.mailbox.is_open:
            return
        if stanza.tag == "message":
            self.reader.receive(stanza)
            return
        if stanza.tag == "receipt":
            self._receive_receipt(stanza)
        self.reader.ack(stanza)

    def _receive_receipt(self, stanza: Node) -> None:
        kind = stanza.attrs.get("type", "delivered")
        ids = [stanza.attr("id")]
        listed = stanza.child("list")
        if listed is not None:
            ids += [item.attr("id") for item in listed.children]
        if kind == "retry":
            self.sender.encrypt_again(stanza, ids[0])
            return
        for message_id in ids:
            self.receipts.setdefault(message_id, Counter())[kind] += 1
