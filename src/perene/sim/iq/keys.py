"""`encrypt`: the pre-key store (docs/reference/protocol.md §1.6, §4.2)."""

import hashlib

from perene.signal import PreKeyBundle
from perene.sim import adv
from perene.sim.iq.reply import error, result
from perene.sim.model import Device
from perene.sim.session import Session
from perene.sim.stanzas import KEY_TYPE, bundle_nodes
from perene.sim.world import World
from perene.wire.jid import SERVER_JID, Jid
from perene.wire.node import Node


class KeyServer:
    """Takes pre-keys in and hands them out."""

    def __init__(self, world: World) -> None:
        self._world = world

    def answer(self, session: Session, iq: Node) -> Node | None:
        """Answer count, digest, upload, rotation and fetches."""
        device = session.device
        if iq.child("count") is not None:
            return result(iq, Node("count", {"value": str(len(device.keys.one_time))}))
        if iq.child("digest") is not None:
            return self._digest(device, iq)
        if (wanted := iq.child("key")) is not None:
            users = tuple(self._bundle(device, user) for user in wanted.children)
            return result(iq, Node("list", {}, users))
        if (rotation := iq.child("rotate")) is not None:
            self._take_signed(device, rotation.need("skey"))
            return result(iq)
        if iq.child("list") is not None:
            return self._upload(device, iq)
        return error(iq, 400, "bad-request")

    def take_bundle(self, device: Device) -> PreKeyBundle:
        """Hand out a bundle of a device, and tell the device if it is low now."""
        bundle = device.keys.take()
        if device.id:
            left = len(device.keys.one_time)
            if left < self._world.settings.low_pre_keys and not device.keys.warned:
                device.keys.warned = True
                self._world.notify(
                    device, "encrypt", SERVER_JID, child=Node("count", {"value": str(left)})
                )
        return bundle

    def _upload(self, device: Device, iq: Node) -> Node:
        keys = device.keys
        if iq.need("identity").data != keys.identity:
            self._world.evidence.events["uploads_of_foreign_identity"] += 1
            return error(iq, 406, "not-acceptable")
        keys.registration_id = int.from_bytes(iq.need("registration").data)
        self._take_signed(device, iq.need("skey"))
        for key in iq.need("list").children:
            key_id = int.from_bytes(key.need("id").data)
            keys.one_time[key_id] = key.need("value").data
        keys.warned = False
        self._world.evidence.events["pre_key_uploads"] += 1
        return result(iq)

    def _take_signed(self, device: Device, skey: Node) -> None:
        keys = device.keys
        keys.signed_id = int.from_bytes(skey.need("id").data)
        keys.signed_key = skey.need("value").data
        keys.signed_signature = skey.need("signature").data

    def _digest(self, device: Device, iq: Node) -> Node:
        keys = device.keys
        if not keys.one_time:
            return error(iq, 404, "item-not-found")
        # What is hashed is as whatsapp-rust `wacore/src/prekeys.rs` says (2026-08-21); no client
        # that we know of reacts to the hash itself.
        digest = hashlib.sha1(usedforsecurity=False)
        for part in (
            keys.identity,
            keys.signed_key,
            keys.signed_signature,
            *keys.one_time.values(),
        ):
            digest.update(part)
        children = (
            Node("registration", {}, keys.registration_id.to_bytes(4)),
            Node("type", {}, KEY_TYPE),
            Node("identity", {}, keys.identity),
            Node(
                "skey",
                {},
                (
                    Node("id", {}, keys.signed_id.to_bytes(3)),
                    Node("value", {}, keys.signed_key),
                    Node("signature", {}, keys.signed_signature),
                ),
            ),
            Node("list", {}, tuple(Node("id", {}, id_.to_bytes(3)) for id_ in keys.one_time)),
            Node("hash", {}, digest.digest()),
        )
        return result(iq, Node("digest", {}, children))

    def _bundle(self, asker: Device, user: Node) -> Node:
        jid = user.attr("jid")
        device = self._world.directory.device(Jid.parse(jid))
        if device is None:
            failed = Node("error", {"code": "404", "text": "item-not-found"})
            if self._world.directory.find(Jid.parse(jid).bare) is not None:
                # As of a device that was unlinked (whatsapp-rust pull request 1153, 2026-07-27).
                failed = Node("error", {"code": "406", "text": "not-acceptable"})
            return Node("user", {"jid": jid}, (failed,))
        device.account.acquainted.add(asker.account.lid)
        bundle = self.take_bundle(device)
        children = [Node("registration", {}, bundle.registration_id.to_bytes(4))]
        children += bundle_nodes(bundle)
        if device.signed_identity:
            shown = adv.shown_to_others(device.signed_identity)
            children.append(Node("device-identity", {}, shown))
        return Node("user", {"jid": jid, "t": self._world.unix}, tuple(children))
