"""Answers: what settles a stanza, and which receipts go on to whom.

docs/reference/protocol.md §5.1.
"""

from collections.abc import Callable

from perene.sim.mailbox import Held
from perene.sim.model import Account, Device
from perene.sim.world import World
from perene.wire.errors import JidError
from perene.wire.jid import STATUS_JID, Jid
from perene.wire.node import Node

_FOR_THE_SERVER = frozenset({"hist_sync", "server-error"})
"""Types that concern the phone, and are not shown to the sender."""
_FROM_OWN = frozenset({"sender", "peer_msg"})
"""Types by which an own device says that it has a copy; for the one that sent it only
(whatsmeow types/presence.go, 2026-08)."""
_NOT_AN_ANSWER = frozenset({"retry", "read", "read-self", "played", "hist_sync", "server-error"})
"""Types that come in addition to the receipt, or ack, that settles the stanza."""


class Receipts:
    """Takes receipts and acks of devices."""

    def __init__(self, world: World) -> None:
        self._world = world

    def submit_ack(self, sender: Device, node: Node) -> None:
        """Settle the stanza that an ack, or a nack (with `error`), answers."""
        tag = node.attrs.get("class", "")
        nack = "error" in node.attrs
        held = self._find(sender, tag, node.attrs.get("id", ""), node)
        if held is None:
            self._world.evidence.of(sender).answers_for_nothing += 1
            return
        if nack and _is_status(held.stanza):
            # Seen with an account of somebody's (Baileys PR 2779, 2026-08-22).
            held.refused = True
            self._world.evidence.events["refused_statuses"] += 1
            return
        how = "retry" if held.retry_asked else "nack" if nack else "ack"
        self._settle(sender, held, how)

    def submit_receipt(self, sender: Device, node: Node) -> None:
        """Settle the messages that a receipt answers, and pass it on."""
        kind = node.attrs.get("type", "")
        for message_id in _ids(node):
            held = self._find(sender, "message", message_id, node)
            if kind == "retry":
                self._world.evidence.of(sender).retries_asked += 1
                if held is not None:
                    held.retry_asked = True
            elif held is not None and kind not in _NOT_AN_ANSWER:
                self._settle(sender, held, "receipt")
            elif held is None and kind not in _NOT_AN_ANSWER:
                self._world.evidence.of(sender).answers_for_nothing += 1
        if kind not in _FOR_THE_SERVER:
            try:
                self._pass_on(sender, node, kind)
            except JidError:
                self._world.evidence.events["undeliverable_receipts"] += 1

    # --- settling ---------------------------------------------------------------------------------

    def _find(self, device: Device, tag: str, stanza_id: str, answer: Node) -> Held | None:
        """Find the held stanza; ids are unique only inside a chat and sender.

        A receipt has the id of what it is about, so many stanzas may share one: so an ack
        names the rest, too.
        """
        matches = self._read_by(answer) if tag == "message" else self._named_by(answer)
        return device.mailbox.find(tag, stanza_id, matches)

    def _named_by(self, ack: Node) -> Callable[[Held], bool]:
        """Tell a stanza that an ack repeats: who it is from, for whom, and of which type."""
        wanted = ack.attrs.get("type"), *self._ends(ack, "to")
        return lambda held: (
            (held.stanza.attrs.get("type"), *self._ends(held.stanza, "from")) == wanted
        )

    def _read_by(self, answer: Node) -> Callable[[Held], bool]:
        """Tell a message that is answered; clients differ in the address that they name first."""
        attributes = "to", "participant", "recipient"
        wanted = {self._user(answer.attrs.get(name)) for name in attributes} - {""}
        author = self._user(answer.attrs.get("participant"))

        def matches(held: Held) -> bool:
            sender, member = (
                self._user(held.stanza.attrs.get(name)) for name in ("from", "participant")
            )
            if author and member and author != member:
                return False
            return bool({sender, member} & wanted)

        return matches

    def _ends(self, node: Node, other: str) -> tuple[str, str]:
        return self._device(node.attrs.get(other)), self._device(node.attrs.get("participant"))

    def _device(self, text: str | None) -> str:
        """Return the same name for both forms of a device's address."""
        user = self._user(text)
        return user if text is None or user == text else f"{user}:{Jid.parse(text).device}"

    def _user(self, text: str | None) -> str:
        """Return the same name for both forms of an address, "" for none."""
        if not text:
            return ""
        account = self._world.directory.find_text(text)
        return account.phone if account else text

    def _settle(self, device: Device, held: Held, how: str) -> None:
        self._world.evidence.of(device).answered[how] += 1
        device.mailbox.settle(held, how)

    # --- passing on -------------------------------------------------------------------------------

    def _pass_on(self, sender: Device, node: Node, kind: str) -> None:
        to = Jid.parse(node.attr("to"))
        if to.is_group:
            author = node.attrs.get("participant")
            if author is not None:
                self._to_author(sender, node, kind, Jid.parse(author), group=str(to))
        elif not to.is_server and not to.is_broadcast:
            self._to_author(sender, node, kind, to, group=None)

    def _to_author(
        self, sender: Device, node: Node, kind: str, author: Jid, *, group: str | None
    ) -> None:
        account = self._world.directory.find(author)
        if account is None:
            self._world.evidence.events["undeliverable_receipts"] += 1
            return
        if kind == "retry":
            asked = account.devices.get(author.device)
            targets = [asked] if asked is not None else []
        elif kind in _FROM_OWN:
            sent_by = account.devices.get(author.device)
            targets = [sent_by] if sent_by is not None else []
        elif kind == "read-self":
            # Only the reader's own devices learn what was read.
            targets = [device for device in sender.account.devices.values() if device is not sender]
        else:
            targets = list(account.devices.values())
        attrs = self._receipt_attrs(sender, node, account, kind, group)
        children = tuple(node.children)
        for target in targets:
            if target is not sender:
                target.mailbox.put(Held(stanza=Node("receipt", attrs, children)))

    def _receipt_attrs(
        self, sender: Device, node: Node, author: Account, kind: str, group: str | None
    ) -> dict[str, str]:
        form = sender.account.addressing
        attrs = {"id": node.attr("id"), "t": node.attrs.get("t") or self._world.unix}
        if group is not None:
            found = self._world.groups.find(group)
            in_group = str(sender.jid(found.addressing if found else form))
            attrs |= {"from": group, "participant": in_group}
        else:
            attrs["from"] = str(sender.jid(form))
        if kind:
            attrs["type"] = kind
        if kind == "read-self":
            attrs["recipient"] = str(author.jid(form))
        elif recipient := node.attrs.get("recipient"):
            attrs["recipient"] = recipient
        return attrs


def _ids(node: Node) -> list[str]:
    """Return the ids that a receipt is about: its own, and those it lists."""
    ids = [node.attrs.get("id", "")]
    listed = node.child("list")
    if listed is not None:
        ids += [item.attrs.get("id", "") for item in listed.children if item.tag == "item"]
    return ids


def _is_status(stanza: Node) -> bool:
    return stanza.tag == "status" or stanza.attrs.get("from") == STATUS_JID
