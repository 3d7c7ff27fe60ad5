"""Pre-key bundles on the wire: those of peers, fetched and read, and the parts of ours."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from perene.engine.credentials import Credentials
from perene.engine.errors import QueryFailed
from perene.engine.queries import Queries
from perene.signal.bundle import PreKey, PreKeyBundle
from perene.wire.errors import BadNode, WireError
from perene.wire.jid import Jid
from perene.wire.node import Node

_KEY_TYPE = b"\x05"
"""Curve25519, in libsignal's numbers."""


_GONE = 406
"""What the server says of a device that is not one (any more)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What is needed to start a ratchet with devices, and which of these are said to be gone.

    `proofs` are what shows that they are their accounts', as it came (see `device_proofs`).
    """

    bundles: Mapping[Jid, PreKeyBundle]
    gone: tuple[Jid, ...] = ()
    proofs: Mapping[Jid, bytes] = field(default_factory=dict[Jid, bytes])


async def fetch_bundles(queries: Queries, devices: Collection[Jid]) -> Mapping[Jid, PreKeyBundle]:
    """Fetch what is needed to start a ratchet with each device.

    A device that the server refuses, or whose bundle is malformed, is left out: one bad device
    must not keep a message from the others. Raises QueryFailed, QueryTimedOut.
    """
    return (await fetch(queries, devices)).bundles


async def fetch(queries: Queries, devices: Collection[Jid]) -> Fetched:
    """Do as `fetch_bundles`, and tell whom the server says to be gone.

    It says so of each (whatsapp-rust pull request 1153, 2026-07-27), or of all at once.
    """
    if not devices:
        return Fetched({})
    users = tuple(Node("user", {"jid": str(device)}) for device in devices)
    try:
        answer = await queries.ask("encrypt", "get", Node("key", {}, users))
    except QueryFailed as error:
        if error.status != _GONE:
            raise
        return Fetched({}, tuple(devices))
    listed = answer.child("list")
    bundles: dict[Jid, PreKeyBundle] = {}
    proofs: dict[Jid, bytes] = {}
    gone: list[Jid] = []
    for node in listed.children if listed is not None else ():
        try:
            device, refused = Jid.parse(node.attr("jid")), node.child("error")
            if refused is None:
                bundles[device] = read_bundle(node)
                proof = proof_in(node)
                if proof is not None:
                    proofs[device] = proof
            elif refused.attrs.get("code") == str(_GONE):
                gone.append(device)
        except WireError:
            continue
    return Fetched(bundles, tuple(gone), proofs)


def read_bundle(source: Node) -> PreKeyBundle:
    """Read a bundle from the children of a `<user>`; raises NodeError."""
    signed = source.need("skey")
    one_time = source.child("key")
    return PreKeyBundle(
        registration_id=_number(source.need("registration"), 4),
        identity=_key(source.need("identity")),
        signed_pre_key_id=_number(signed.need("id"), 3),
        signed_pre_key=_key(signed.need("value")),
        signed_pre_key_signature=_sized(signed.need("signature"), 64),
        pre_key_id=_number(one_time.need("id"), 3) if one_time is not None else None,
        pre_key=_key(one_time.need("value")) if one_time is not None else None,
    )


def proof_in(source: Node) -> bytes | None:
    """Return the `<device-identity>` beside a bundle's keys, None if there is none."""
    proof = source.child("device-identity")
    return proof.data if proof is not None else None


def _number(node: Node, size: int) -> int:
    return int.from_bytes(_sized(node, size), "big")


def _key(node: Node) -> bytes:
    data = node.data
    # Some clients send keys with libsignal's type byte in front (whatsmeow prekeys.go accepts it).
    return _sized(Node(node.tag, {}, data[1:]), 32) if len(data) == 33 else _sized(node, 32)


def _sized(node: Node, size: int) -> bytes:
    if len(node.data) != size:
        raise BadNode(f"<{node.tag}> has {size} bytes")
    return node.data


def own_keys(own: Credentials, *one_time: Node) -> tuple[Node, ...]:
    """Build what a peer needs to start a ratchet with us, but for the registration id.

    `one_time` is a `<key>`, or a `<list>` of many.
    """
    signed = own.signed_pre_key
    return (
        Node("type", {}, _KEY_TYPE),
        Node("identity", {}, own.identity.public),
        *one_time,
        Node(
            "skey",
            {},
            (
                Node("id", {}, signed.id.to_bytes(3, "big")),
                Node("value", {}, signed.key_pair.public),
                Node("signature", {}, signed.signature),
            ),
        ),
    )


def own_registration(own: Credentials) -> Node:
    """Build the registration id, which comes before or beside the keys."""
    return Node("registration", {}, own.registration_id.to_bytes(4, "big"))


def device_identity(own: Credentials) -> Node:
    """Return the proof that our device belongs to our account, for peers at first contact."""
    return Node("device-identity", {}, own.account or b"")


def key_node(key: PreKey) -> Node:
    """Build the `<key>` that offers a one-time pre-key."""
    number = Node("id", {}, key.id.to_bytes(3, "big"))
    return Node("key", {}, (number, Node("value", {}, key.key_pair.public)))


def next_key_id(key_id: int) -> int:
    """Return the pre-key id after `key_id`; ids have 24 bits and 0 is not one."""
    return key_id % 0xFFFFFF + 1
