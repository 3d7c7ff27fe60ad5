"""Messages on their way: from one device to every device they were encrypted for.

docs/reference/protocol.md §4.2, §7.3 items 4 to 7; attribute names as whatsmeow
`parseMessageSource` in `message.go` and Baileys `decode-wa-message.ts` (2026-08-21) read them.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from perene.sim.groups import Group
from perene.sim.mailbox import Held
from perene.sim.model import Account, Addressing, Device
from perene.sim.privacy_tokens import MISSING
from perene.sim.world import World
from perene.wire.errors import JidError
from perene.wire.jid import Jid
from perene.wire.node import Node

_KEPT_BY_SERVER = frozenset(
    {"participants", "enc", "device-identity", "reporting", "tctoken", "cstoken"}
)
"""Children of a message that are not passed on as they are."""
_PASSED_ON = ("type", "category", "edit", "push_priority", "expiration")
NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    """What one sender wants delivered to one device."""

    device: Device
    attrs: dict[str, str]
    encs: tuple[Node, ...]


STALE_GROUP = 421
"""The members are addressed in another way than the group has (docs/reference/protocol.md §2)."""


MIXED = 400
"""A message to a person is addressed in two forms at once, or in one that its sender's account may
not use (whatsapp-rust issues 730, 2026-06-05, and 941, 2026-07-02)."""


class _RefusedError(Exception):
    """The message is not taken, as of one to a stranger; `code` is what its sender is told."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Relay:
    """Takes messages apart by device and puts each part into that device's mailbox."""

    def __init__(self, world: World) -> None:
        self._world = world

    def submit(self, sender: Device, node: Node) -> Node | None:
        """Relay a message of a device; return the acknowledgement, None if a fault swallows it."""
        faults, error, phash = self._world.faults, 0, ""
        if faults:
            if faults.take("lost_message", sender):
                return None
            refusal = faults.take("refuse_message", sender)
            error = (refusal.code or NOT_FOUND) if refusal else 0
        if not error:
            try:
                phash = self._relay(sender, node, Jid.parse(node.attr("to")))
            except _RefusedError as refused:
                error = refused.code
            except (JidError, LookupError):
                self._world.evidence.events["undeliverable_messages"] += 1
                error = NOT_FOUND
        if faults and faults.take("lost_ack", sender):
            return None
        attrs = {
            "class": "message",
            "id": node.attrs.get("id", ""),
            "from": node.attr("to"),
            "t": self._world.unix,
        }
        if participant := node.attrs.get("participant"):
            attrs["participant"] = participant
        if error:
            attrs["error"] = str(error)
        if phash:
            attrs["phash"] = phash
        return Node("ack", attrs)

    def _relay(self, sender: Device, node: Node, to: Jid) -> str:
        if to.is_group:
            group = self._world.groups.find(to.user)
            if group is None or sender.account not in group.roles:
                raise LookupError("the sender is in no such group")
            return self._relay_to_group(sender, node, group)
        chat = self._world.directory.find(to)
        if chat is None:
            raise LookupError("nobody has this address")
        self._check_form(sender, node, to)
        tokens = self._world.tokens
        if sender in sender.account.companions and not tokens.passes(
            self._world, sender.account, chat, node.child("tctoken")
        ):
            raise _RefusedError(MISSING)
        rules = self._world.reach_out
        error = rules.refusal(sender.account, chat, self._world.now())
        if error:
            raise _RefusedError(error)
        rules.wrote(sender.account, chat)
        self._world.evidence.events["messages_submitted"] += 1
        return self._relay_direct(sender, node, to, chat)

    # --- one to one -------------------------------------------------------------------------------

    def _check_form(self, sender: Device, node: Node, to: Jid) -> None:
        """Refuse a message whose devices are not all addressed in the form that its chat is.

        whatsapp-rust pull requests 636, 2026-05-27, and 731, 2026-06-05.
        """
        participants = [jid for jid, _ in _addressed(node)]
        if any(Jid.parse(jid).is_lid != to.is_lid for jid in participants):
            self._world.evidence.events["mixed_addresses"] += 1
            raise _RefusedError(MIXED)
        faults = self._world.faults
        if faults and participants and to.is_lid and faults.take("by_number_only", sender):
            raise _RefusedError(MIXED)

    def _relay_direct(self, sender: Device, node: Node, to: Jid, chat: Account) -> str:
        direct = _encs(node)
        if direct:
            target = chat.devices.get(to.device)
            if target is None:
                raise LookupError("the device is gone")
            recipient = node.attrs.get("recipient")
            other = self._world.directory.find_text(recipient) if recipient else None
            self._deliver(sender, node, self._parcel(sender, node, target, other, direct))
            return ""
        reached: set[Device] = set()
        for jid, encs in _addressed(node):
            target = self._world.directory.device(Jid.parse(jid))
            if target is None:
                self._world.evidence.events["messages_to_unknown_devices"] += 1
                continue
            reached.add(target)
            other = chat if target.account is sender.account else None
            self._deliver(sender, node, self._parcel(sender, node, target, other, encs))
        everybody = [*chat.devices.values(), *sender.account.devices.values()]
        return self._hash_if_missed(sender, everybody, reached)

    def _parcel(
        self,
        sender: Device,
        node: Node,
        target: Device,
        chat: Account | None,
        encs: tuple[Node, ...],
    ) -> _Parcel:
        """Address a part; `chat` is given for a copy that goes to the sender's own account."""
        form = sender.account.addressing
        other = "pn" if form == "lid" else "lid"
        attrs = {"from": str(sender.jid(form)), "addressing_mode": form}
        if chat is not None:
            attrs["recipient"] = str(chat.jid(form))
            attrs[f"peer_recipient_{other}"] = str(chat.jid(other))
        else:
            attrs[f"sender_{other}"] = str(sender.account.jid(other))
        return _Parcel(device=target, attrs=attrs, encs=encs)

    # --- groups -----------------------------------------------------------------------------------

    def _relay_to_group(self, sender: Device, node: Node, group: Group) -> str:
        form = group.addressing
        if node.attrs.get("addressing_mode", form) != form:
            raise _RefusedError(STALE_GROUP)
        other = "pn" if form == "lid" else "lid"
        attrs = {
            "from": group.jid,
            "participant": str(sender.jid(form)),
            f"participant_{other}": str(sender.account.jid(other)),
            "addressing_mode": form,
        }
        common = _encs(node)
        if only := node.attrs.get("participant"):
            # A resend to the one device that asked for it.
            target = self._world.directory.device(Jid.parse(only))
            if target is None:
                raise LookupError("the device is gone")
            self._deliver(sender, node, _Parcel(device=target, attrs=attrs, encs=common))
            return ""
        self._world.evidence.events["messages_submitted"] += 1
        own: dict[Device, tuple[Node, ...]] = {}
        for jid, encs in _addressed(node):
            target = self._world.directory.device(Jid.parse(jid))
            if target is None:
                self._world.evidence.events["messages_to_unknown_devices"] += 1
            else:
                own[target] = encs
        for enc in common:
            self._check(sender, group.jid, node, enc)
        everybody = [device for account in group.roles for device in account.devices.values()]
        for device in everybody:
            if device is sender:
                continue
            for enc in own.get(device, ()):
                self._check(sender, device.name, node, enc)
            parcel = _Parcel(device=device, attrs=attrs, encs=(*own.get(device, ()), *common))
            self._hold(sender, node, parcel)
        return self._hash_if_unlike(node, everybody, form)

    # --- common -----------------------------------------------------------------------------------

    def _deliver(self, sender: Device, node: Node, parcel: _Parcel) -> None:
        for enc in parcel.encs:
            self._check(sender, parcel.device.name, node, enc)
        self._hold(sender, node, parcel)

    def _check(self, sender: Device, recipient: str, node: Node, enc: Node) -> None:
        kind = enc.attrs.get("type", "")
        message_id = node.attrs.get("id", "")
        self._world.evidence.check_key(sender, recipient, kind, enc.data, message_id)

    def _hold(self, sender: Device, node: Node, parcel: _Parcel) -> None:
        attrs = parcel.attrs | {"id": node.attr("id"), "t": self._world.unix}
        for name in _PASSED_ON:
            if value := node.attrs.get(name):
                attrs[name] = value
        if node.attrs.get("category") == "peer":
            attrs.pop("recipient", None)
        if sender.account.name:
            attrs["notify"] = sender.account.name
        children = list(parcel.encs)
        if any(enc.attrs.get("type") == "pkmsg" for enc in parcel.encs):
            children += [child for child in node.children if child.tag == "device-identity"]
        children += [child for child in node.children if child.tag not in _KEPT_BY_SERVER]
        parcel.device.mailbox.put(Held(stanza=Node("message", attrs, tuple(children))))

    def _hash_if_missed(
        self, sender: Device, everybody: Iterable[Device], reached: set[Device]
    ) -> str:
        """Return the hash of the true device list if the sender did not reach all of it."""
        expected = {device for device in everybody if device is not sender}
        if expected <= reached:
            return ""
        self._world.evidence.events["incomplete_device_lists"] += 1
        return device_hash(expected)

    def _hash_if_unlike(self, node: Node, everybody: Iterable[Device], form: Addressing) -> str:
        """Return the hash of a group's device list if the sender says that it has another.

        The sending device is in it (whatsapp-rust PR 678, 2026-06-01).
        """
        true = device_hash(everybody, form)
        if node.attrs.get("phash", true) == true:
            return ""
        self._world.evidence.events["other_device_lists"] += 1
        return true


def device_hash(devices: Iterable[Device], form: Addressing = "lid") -> str:
    """Return the participant hash, version 2 (docs/reference/protocol.md §4.2).

    As whatsmeow computes it: `participantListHashV2` in `send.go`, `ADString` in `types/jid.go`
    (2026-08-21).
    """
    texts: list[str] = []
    for device in devices:
        jid = device.jid(form)
        texts.append(f"{jid.user}.0:{jid.device}@{jid.server}")
    digest = hashlib.sha256("".join(sorted(texts)).encode()).digest()
    return "2:" + base64.b64encode(digest[:6]).decode()


def _encs(node: Node) -> tuple[Node, ...]:
    return tuple(child for child in node.children if child.tag == "enc")


def _addressed(node: Node) -> Iterable[tuple[str, tuple[Node, ...]]]:
    participants = node.child("participants")
    for to in participants.children if participants else ():
        if to.tag == "to" and "jid" in to.attrs:
            yield to.attrs["jid"], _encs(to)
