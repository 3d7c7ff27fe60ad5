"""The stanza with which a message goes out again to one device."""

from dataclasses import dataclass

from perene.core.messages import Message
from perene.core.unit import HolderChange
from perene.engine.addresses import signal_address
from perene.engine.bundles import device_identity
from perene.engine.content import parse_message
from perene.engine.credentials import Credentials
from perene.engine.draft import Draft
from perene.engine.encrypt import Addressed, seal_enc
from perene.engine.group_key import attach, own_key, set_own_key
from perene.engine.groups import Group
from perene.engine.outgoing import copy_for_own_devices, media_attrs, stanza_type
from perene.engine.retry_receipt import RetryReceipt
from perene.signal.bundle import PreKeyBundle
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A request that is to be granted; with `bundle`, on a fresh ratchet."""

    request: RetryReceipt
    message: Message
    bundle: PreKeyBundle | None
    token: tuple[Node, ...] = ()
    """What the person gave us, without which the resend may be refused (463)."""
    group: Group | None
    """As it was when the asker was found to be in it, None for a message to a person."""


async def content_for(draft: Draft, due: Due, own: Credentials) -> wa_pb2.Message | None:
    """Return what the device that asked shall read, None if the stored message is not readable."""
    message = due.message
    content = parse_message(message.body)
    if content is None:
        return None
    chat = message.key.chat
    if Jid.parse(chat).is_group:
        # It may have lost our sender key as well; that comes along, and counts as held again.
        key = await own_key(draft, chat, own)
        set_own_key(draft, chat, own, key)
        attach(content, chat, key)
        return content
    return copy_for_own_devices(chat, content) if own.is_own(due.request.device) else content


async def resend_to(
    draft: Draft, device: Jid, due: Due, content: wa_pb2.Message, own: Credentials
) -> Node | None:
    """Encrypt content for the device that asked; None if it has no usable keys.

    What was given with it of a group's key counts as held by the device.
    """
    recipient = Addressed(
        device=device, wire=due.request.wire, plaintext=content.SerializeToString()
    )
    said = {"count": str(due.request.count), **media_attrs(content)}
    enc = await seal_enc(draft, recipient, due.bundle, own, said)
    if enc is None:
        return None
    chat = due.message.key.chat
    if Jid.parse(chat).is_group:
        holder = str(signal_address(device))
        draft.holders.change(HolderChange(group=chat, added=(holder,)))
    first_contact = enc.attrs["type"] == "pkmsg"
    introduction = (device_identity(own),) if first_contact else ()
    # The token as well (zapo pull request 167, 2026-06-10).
    return Node("message", _attrs(due), (enc, *due.token, *introduction))


def _attrs(due: Due) -> dict[str, str]:
    request, message = due.request, due.message
    attrs = {
        "id": str(request.message_id),
        "to": request.node.attr("from"),
        "type": stanza_type(message),
        "t": str(int(message.timestamp.timestamp())),
    }
    if not Jid.parse(message.key.chat).is_group:
        attrs["device_fanout"] = "false"
    for name in ("participant", "recipient"):
        if name in request.node.attrs:
            attrs[name] = request.node.attrs[name]
    return attrs
