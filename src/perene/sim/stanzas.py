"""Key bundles as stanzas carry them (docs/reference/protocol.md §1.6, §4.2, §4.5)."""

from perene.signal import PreKeyBundle
from perene.wire.node import Node

KEY_TYPE = b"\x05"
"""Curve25519, the only key type there is."""


def key_node(tag: str, key_id: int, key: bytes, signature: bytes | None = None) -> Node:
    """Return a `<key>` or `<skey>`: id in 3 bytes, value, and the signature if there is one."""
    children = [Node("id", {}, key_id.to_bytes(3)), Node("value", {}, key)]
    if signature is not None:
        children.append(Node("signature", {}, signature))
    return Node(tag, {}, tuple(children))


def bundle_nodes(bundle: PreKeyBundle) -> tuple[Node, ...]:
    """Return type, identity and keys of a bundle, without the registration id."""
    nodes = [Node("type", {}, KEY_TYPE), Node("identity", {}, bundle.identity)]
    if bundle.pre_key_id is not None and bundle.pre_key is not None:
        nodes.append(key_node("key", bundle.pre_key_id, bundle.pre_key))
    signed = key_node(
        "skey", bundle.signed_pre_key_id, bundle.signed_pre_key, bundle.signed_pre_key_signature
    )
    nodes.append(signed)
    return tuple(nodes)


def read_bundle(node: Node, registration_id: int) -> PreKeyBundle:
    """Read what `bundle_nodes` writes; raises a NodeError if a part is missing."""
    signed, one_time = node.need("skey"), node.child("key")
    return PreKeyBundle(
        registration_id=registration_id,
        identity=node.need("identity").data,
        signed_pre_key_id=int.from_bytes(signed.need("id").data),
        signed_pre_key=signed.need("value").data,
        signed_pre_key_signature=signed.need("signature").data,
        pre_key_id=int.from_bytes(one_time.need("id").data) if one_time else None,
        pre_key=one_time.need("value").data if one_time else None,
    )
