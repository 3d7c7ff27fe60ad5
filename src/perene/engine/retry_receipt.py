"""The receipt by which a device asks for a message again, which it could not read."""

from dataclasses import dataclass

from perene.core.ids import MessageId
from perene.engine.addresses import AddressBook
from perene.engine.bundles import proof_in, read_bundle
from perene.engine.stanza import small_number
from perene.signal.bundle import PreKeyBundle
from perene.wire.errors import NodeError
from perene.wire.jid import Jid
from perene.wire.node import Node

_MAX_COUNT = 99


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryReceipt:
    """A retry receipt, read. `chat` is where it was asked, `bundle` is what it carries itself.

    `proof` comes with that, to show that the device is its account's.
    """

    node: Node
    message_id: MessageId
    chat: Jid
    device: Jid
    wire: Jid
    count: int
    bundle: PreKeyBundle | None
    proof: bytes | None = None


async def read_retry(node: Node, book: AddressBook) -> RetryReceipt:
    """Read a `<receipt type="retry">`; raises WireError if it does not say who asks for what.

    docs/reference/protocol.md §4.5.
    """
    retry = node.need("retry")
    origin = Jid.parse(node.attr("from"))
    wire = Jid.parse(node.attrs["participant"]) if "participant" in node.attrs else origin
    count = small_number(retry.attr("count"), most=_MAX_COUNT)
    keys = node.child("keys")
    await book.load([wire])
    return RetryReceipt(
        node=node,
        message_id=MessageId(retry.attrs.get("id") or node.attr("id")),
        chat=origin.bare,
        device=book.canonical(wire),
        wire=wire,
        count=count or 1,
        bundle=_bundle_of(node, keys) if keys is not None else None,
        proof=proof_in(keys) if keys is not None else None,
    )


def _bundle_of(node: Node, keys: Node) -> PreKeyBundle | None:
    try:
        registration = node.need("registration")
        return read_bundle(Node("user", {}, (*keys.children, registration)))
    except NodeError:
        return None
