"""A minimal companion, made of wire and signal only: what the simulator is tested with."""

import base64
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from perene.crypto import KeyPair, hmac_sha256
from perene.signal import (
    LocalIdentity,
    PreKey,
    Ratchet,
    SenderKeyRecord,
    SignedPreKey,
    decrypt_message,
    decrypt_pre_key_message,
    encrypt,
    group_decrypt,
    pad,
    parse_pre_key_message,
    process_distribution,
    start_outgoing,
    unpad,
)
from perene.sim import MemoryTransport, Simulator
from perene.sim.stanzas import KEY_TYPE, key_node, read_bundle
from perene.wire.codec import decode, encode
from perene.wire.frames import FrameReader, client_intro, frame
from perene.wire.jid import SERVER_JID, Jid
from perene.wire.node import Node
from perene.wire.noise import ClientHandshake, NoiseTransport
from perene.wire.proto import wa_pb2


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time = datetime(2026, 9, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, delta: timedelta) -> None:
        self.time += delta


@dataclass
class Identity:
    """The keys of a companion: what a client keeps between its connections."""

    noise: KeyPair = field(default_factory=KeyPair.generate)
    local: LocalIdentity = field(default_factory=LocalIdentity.generate)
    adv_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    signed: SignedPreKey = field(init=False)
    pre_keys: dict[int, PreKey] = field(default_factory=dict)
    ratchets: dict[str, Ratchet] = field(default_factory=dict)
    sender_keys: dict[tuple[str, str], SenderKeyRecord] = field(default_factory=dict)
    jid: str = ""
    lid: str = ""
    device_identity: bytes = b""

    def __post_init__(self) -> None:
        self.signed = SignedPreKey.generate(1, self.local.key_pair)

    @property
    def phone(self) -> str:
        return Jid.parse(self.jid).user


class Client:
    """One connection of a companion. `nodes` are the stanzas received and not looked at yet."""

    def __init__(self, simulator: Simulator, identity: Identity | None = None) -> None:
        self.simulator = simulator
        self.me = identity or Identity()
        self.nodes: list[Node] = []
        self.payload = wa_pb2.ClientPayload()
        self.payload.userAgent.appVersion.primary = 2
        self.payload.userAgent.appVersion.secondary = 3000
        self.payload.userAgent.appVersion.tertiary = 1035194821
        self.ended = False
        self.ids = 0
        self._frames = FrameReader()
        self._noise: NoiseTransport | None = None
        self._transport: MemoryTransport | None = None

    # --- the stream -------------------------------------------------------------------------------

    async def open(self, routing_info: bytes | None = None) -> None:
        """Finish the handshake, with whatever payload is set."""
        self._transport = self.simulator.connect()
        handshake = ClientHandshake(
            static=self.me.noise,
            root_key=self.simulator.root_key,
            now=self.simulator.world.now(),
        )
        await self._transport.send(client_intro(routing_info) + frame(handshake.hello()))
        (answer,) = self._frames.receive_data(await self._transport.receive())
        finish = handshake.finish(answer, self.payload.SerializeToString())
        self._noise = handshake.transport
        await self._transport.send(frame(finish))
        await self.read()

    async def read(self) -> list[Node]:
        """Take in everything that has arrived; return all stanzas not looked at yet."""
        assert self._transport
        assert self._noise
        while self._transport.pending:
            for payload in self._frames.receive_data(await self._transport.receive()):
                self.nodes.append(decode(self._noise.decrypt(payload)))
        return self.nodes

    async def send(self, node: Node) -> None:
        assert self._transport
        assert self._noise
        await self._transport.send(frame(self._noise.encrypt(encode(node))))
        await self.read()

    async def close(self) -> None:
        assert self._transport
        await self._transport.close()

    @property
    def pending(self) -> int:
        assert self._transport
        return self._transport.pending

    @property
    def is_closed(self) -> bool:
        assert self._transport
        return self._transport.is_closed

    def take(self, tag: str, **attrs: str) -> list[Node]:
        """Take the received stanzas of this kind out of `nodes`."""

        def fits(node: Node) -> bool:
            return node.tag == tag and all(node.attrs.get(k) == v for k, v in attrs.items())

        found = [node for node in self.nodes if fits(node)]
        self.nodes = [node for node in self.nodes if not fits(node)]
        return found

    def ib(self, tag: str) -> list[Node]:
        """Take the `<ib>` children of this tag."""
        found = [child for node in self.nodes if node.tag == "ib" for child in node.children]
        self.nodes = [n for n in self.nodes if not (n.tag == "ib" and n.child(tag) is not None)]
        return [child for child in found if child.tag == tag]

    async def iq(self, xmlns: str, kind: str, *children: Node, to: str = SERVER_JID) -> Node:
        """Send a query and return its reply."""
        replies = await self.ask(xmlns, kind, *children, to=to)
        assert replies, f"no reply to {xmlns}"
        return replies[0]

    async def ask(self, xmlns: str, kind: str, *children: Node, to: str = SERVER_JID) -> list[Node]:
        self.ids += 1
        iq_id = f"q{self.ids}"
        attrs = {"id": iq_id, "xmlns": xmlns, "type": kind, "to": to}
        await self.send(Node("iq", attrs, children))
        return self.take("iq", id=iq_id)

    # --- pairing and login ------------------------------------------------------------------------

    async def send_registration(self, name: str = "") -> None:
        """Connect without an account."""
        data = self.payload.devicePairingData
        data.eRegid = self.me.local.registration_id.to_bytes(4)
        data.eKeytype = KEY_TYPE
        data.eIdent = self.me.local.key_pair.public
        data.eSkeyId = self.me.signed.id.to_bytes(3)
        data.eSkeyVal = self.me.signed.key_pair.public
        data.eSkeySig = self.me.signed.signature
        data.deviceProps = wa_pb2.DeviceProps(os="test").SerializeToString()
        if name:
            self.payload.pushName = name
        await self.open()

    async def register(self, name: str = "") -> list[str]:
        """Connect without an account; return the QR texts."""
        await self.send_registration(name)
        (asked,) = self.take("iq", type="set")
        await self.send(Node("iq", {"id": asked.attr("id"), "type": "result", "to": SERVER_JID}))
        refs = [ref.data.decode() for ref in asked.need("pair-device").children]
        keys = (self.me.noise.public, self.me.local.key_pair.public, self.me.adv_secret)
        rest = ",".join(base64.b64encode(key).decode() for key in keys)
        return [f"https://wa.me/settings/linked_devices#{ref},{rest},1" for ref in refs]

    async def answer_pairing(self, *, forge: bool = False) -> None:
        """Check pair-success and countersign it."""
        await self.read()
        (iq,) = [n for n in self.take("iq", type="set") if n.child("pair-success")]
        success = iq.need("pair-success")
        sealed = wa_pb2.ADVSignedDeviceIdentityHMAC.FromString(success.need("device-identity").data)
        assert hmac_sha256(self.me.adv_secret, sealed.details) == sealed.hmac
        signed = wa_pb2.ADVSignedDeviceIdentity.FromString(sealed.details)
        own = self.me.local.key_pair
        covered = b"\x06\x01" + signed.details + own.public + signed.accountSignatureKey
        signer = KeyPair.generate() if forge else own
        signed.deviceSignature = signer.sign(covered)
        self.me.device_identity = signed.SerializeToString()
        signed.ClearField("accountSignatureKey")
        device = success.need("device")
        self.me.jid, self.me.lid = device.attr("jid"), device.attr("lid")
        identity = Node("device-identity", {"key-index": "1"}, signed.SerializeToString())
        attrs = {"id": iq.attr("id"), "type": "result", "to": SERVER_JID}
        await self.send(Node("iq", attrs, (Node("pair-device-sign", {}, (identity,)),)))

    @classmethod
    async def paired(cls, simulator: Simulator, phone: str | None = None) -> Identity:
        """Pair by QR and return the identity of the new companion."""
        client = cls(simulator)
        texts = await client.register()
        simulator.scan_qr(texts[0], phone)
        await client.answer_pairing()
        assert client.take("stream:error", code="515")
        return client.me

    async def log_in(self, routing_info: bytes | None = None) -> None:
        """Connect and log in; nothing is asked for yet."""
        jid = Jid.parse(self.me.jid)
        self.payload.username = int(jid.user)
        self.payload.device = jid.device
        self.payload.passive = True
        await self.open(routing_info)

    async def go_active(self) -> None:
        """Upload pre-keys if there are none, and ask for stanzas."""
        if not self.me.pre_keys:
            await self.upload(range(1, 31))
        await self.iq("passive", "set", Node("active"))
        await self.read()

    async def upload(self, ids: range) -> Node:
        new = [PreKey.generate(number) for number in ids]
        self.me.pre_keys |= {key.id: key for key in new}
        keys = tuple(key_node("key", key.id, key.key_pair.public) for key in new)
        signed = self.me.signed
        return await self.iq(
            "encrypt",
            "set",
            Node("registration", {}, self.me.local.registration_id.to_bytes(4)),
            Node("type", {}, KEY_TYPE),
            Node("identity", {}, self.me.local.key_pair.public),
            Node("list", {}, keys),
            key_node("skey", signed.id, signed.key_pair.public, signed.signature),
        )

    @classmethod
    async def online(cls, simulator: Simulator, identity: Identity | None = None) -> "Client":
        """Return a companion that is logged in and gets stanzas; paired first if it is new."""
        client = cls(simulator, identity or await cls.paired(simulator))
        await client.log_in()
        await client.go_active()
        client.nodes.clear()
        return client

    # --- messages ---------------------------------------------------------------------------------

    def decrypt(self, stanza: Node) -> list[wa_pb2.Message]:
        """Decrypt every part of a message."""
        sender = stanza.attrs.get("participant") or stanza.attr("from")
        found: list[wa_pb2.Message] = []
        for enc in stanza.children:
            if enc.tag != "enc":
                continue
            match enc.attr("type"):
                case "skmsg":
                    record = self.me.sender_keys[stanza.attr("from"), sender]
                    opened = group_decrypt(record, enc.data)
                    self.me.sender_keys[stanza.attr("from"), sender] = opened.record
                    plaintext = opened.plaintext
                case "pkmsg":
                    plaintext = self._open_pre_key(sender, enc.data)
                case _:
                    one = decrypt_message(self.me.ratchets[sender], enc.data, self.me.local)
                    self.me.ratchets[sender] = one.ratchet
                    plaintext = one.plaintext
            message = wa_pb2.Message.FromString(unpad(plaintext))
            if message.HasField("senderKeyDistributionMessage"):
                share = message.senderKeyDistributionMessage
                key = share.groupId, sender
                before = self.me.sender_keys.get(key, SenderKeyRecord.empty)
                self.me.sender_keys[key] = process_distribution(
                    before, share.axolotlSenderKeyDistributionMessage
                )
            found.append(message)
        return found

    def _open_pre_key(self, sender: str, data: bytes) -> bytes:
        parsed = parse_pre_key_message(data)
        opened = decrypt_pre_key_message(
            self.me.ratchets.get(sender, Ratchet.empty),
            parsed,
            self.me.local,
            signed_pre_key=self.me.signed,
            pre_key=self.me.pre_keys.get(parsed.pre_key_id or 0),
        )
        self.me.ratchets[sender] = opened.ratchet
        return opened.plaintext

    def texts(self) -> list[str]:
        """Decrypt and take all received messages; return their texts."""
        return [self.decrypt(stanza)[-1].conversation for stanza in self.take("message")]

    async def confirm(self, stanza: Node) -> None:
        """Send the delivery receipt of a message."""
        attrs = {"id": stanza.attr("id"), "to": stanza.attr("from")}
        if participant := stanza.attrs.get("participant"):
            attrs["participant"] = participant
        await self.send(Node("receipt", attrs))

    async def nack(self, stanza: Node, error: int | None = None) -> None:
        attrs = {"class": stanza.tag, "id": stanza.attr("id"), "to": stanza.attr("from")}
        if stanza.tag != "message":
            again = {"participant", "type"} & stanza.attrs.keys()
            attrs |= {name: stanza.attr(name) for name in again}
        if error is not None:
            attrs["error"] = str(error)
        await self.send(Node("ack", attrs))

    async def devices(self, *jids: str) -> list[str]:
        """Return the addresses of all devices of these users."""
        query = Node("query", {}, (Node("devices", {"version": "2"}), Node("lid")))
        users = Node("list", {}, tuple(Node("user", {"jid": jid}) for jid in jids))
        attrs = {"context": "message", "mode": "query", "sid": "1", "index": "0", "last": "true"}
        reply = await self.iq("usync", "get", Node("usync", attrs, (query, users)))
        return [
            str(Jid.parse(user.attr("jid")).with_device(int(device.attr("id"))))
            for user in reply.need("usync").need("list").children
            for device in user.need("devices").need("device-list").children
        ]

    async def encrypt(self, to: str, message: wa_pb2.Message) -> Node:
        """Encrypt for one device, with a fetched bundle if there is no ratchet yet."""
        if to not in self.me.ratchets:
            user = Node("key", {}, (Node("user", {"jid": to}),))
            (found,) = (await self.iq("encrypt", "get", user)).need("list").children
            registration = int.from_bytes(found.need("registration").data)
            bundle = read_bundle(found, registration)
            self.me.ratchets[to] = start_outgoing(Ratchet.empty, bundle, self.me.local)
        sealed = encrypt(self.me.ratchets[to], pad(message.SerializeToString()), self.me.local)
        self.me.ratchets[to] = sealed.ratchet
        return Node("enc", {"v": "2", "type": sealed.kind}, sealed.data)

    async def send_text(self, to: str, text: str, message_id: str, *devices: str) -> Node:
        """Send a text to a user's devices (all of them unless named); return the ack."""
        message = wa_pb2.Message(conversation=text)
        targets = devices or await self.devices(to)
        tos = [Node("to", {"jid": jid}, (await self.encrypt(jid, message),)) for jid in targets]
        attrs = {"id": message_id, "to": to, "type": "text"}
        identity = Node("device-identity", {}, self.me.device_identity)
        await self.send(Node("message", attrs, (Node("participants", {}, tuple(tos)), identity)))
        (ack,) = self.take("ack", id=message_id)
        return ack
