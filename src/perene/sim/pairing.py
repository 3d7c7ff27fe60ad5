"""How a companion is linked: by QR, or by a code typed on the phone (facts/protocol.md §3)."""

import base64
import binascii
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from google.protobuf.message import DecodeError

from perene.sim import adv
from perene.sim.connection import Connection
from perene.sim.mailbox import Mailbox
from perene.sim.model import Device, PublicKeys
from perene.sim.pairing_code import CodeOffer
from perene.sim.people import People, Person
from perene.sim.world import World
from perene.wire.errors import NodeError
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from perene.wire.noise import ClientFinish
from perene.wire.proto import wa_pb2

REFS = 6
FIRST_REF = timedelta(seconds=60)
NEXT_REF = timedelta(seconds=20)
"""How long the first ref is shown, and each further one (facts §3.1)."""
CODE_LIFETIME = timedelta(seconds=180)
CODE_ATTEMPTS = 3
RESTART = 515
_QR_FIELDS = 5


class PairingRefused(Exception):
    """A phone cannot link what it was shown; the message says why."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone
        """Whether it was good once: a fresh QR, or code, will do."""


@dataclass(slots=True, kw_only=True)
class _Proposal:
    """A companion that was told it may join, and has not signed yet."""

    device: Device
    signed: wa_pb2.ADVSignedDeviceIdentity
    iq_id: str


class Candidate:
    """A client without an account: a stage of a connection."""

    def __init__(
        self,
        connection: Connection,
        finish: ClientFinish,
        payload: wa_pb2.ClientPayload,
        *,
        pairing: "Pairing",
        refs: tuple[str, ...],
        since: datetime,
    ) -> None:
        data = payload.devicePairingData
        self.connection = connection
        self.noise_static = finish.client_static
        self.push_name = payload.pushName
        self.refs = refs
        self.since = since
        self.keys = PublicKeys(
            registration_id=int.from_bytes(data.eRegid),
            identity=data.eIdent,
            signed_id=int.from_bytes(data.eSkeyId),
            signed_key=data.eSkeyVal,
            signed_signature=data.eSkeySig,
        )
        self.proposal: _Proposal | None = None
        self.platform = wa_pb2.DeviceProps.FromString(data.deviceProps).os
        self._pairing = pairing

    def receive(self, node: Node) -> None:
        """Take a stanza: answers to ours, or the steps of pairing by code."""
        self._pairing.receive(self, node)

    def lost(self) -> None:
        """The client has given up, or has been restarted."""
        self._pairing.forget(self)

    def expires(self, ref: str) -> datetime:
        """Return until when a ref may be scanned."""
        return self.since + FIRST_REF + NEXT_REF * self.refs.index(ref)


@dataclass(slots=True, kw_only=True)
class _Offer:
    """A companion that waits for its code to be typed."""

    candidate: Candidate
    code: CodeOffer
    since: datetime
    attempts: int = 0
    state: str = "waiting"


@dataclass(slots=True)
class Pairing:
    """All candidates, and what phones do with them."""

    world: World
    people: People
    _by_ref: dict[str, Candidate] = field(default_factory=dict[str, Candidate])
    _offers: dict[str, _Offer] = field(default_factory=dict[str, _Offer])

    # --- candidates come and go -------------------------------------------------------------------

    def admit(
        self, connection: Connection, finish: ClientFinish, payload: wa_pb2.ClientPayload
    ) -> Candidate:
        """Show a client without an account its refs."""
        refs = tuple(f"2@{secrets.token_urlsafe(48)}" for _ in range(REFS))
        candidate = Candidate(
            connection, finish, payload, pairing=self, refs=refs, since=self.world.now()
        )
        self._by_ref |= dict.fromkeys(refs, candidate)
        children = tuple(Node("ref", {}, ref.encode()) for ref in refs)
        self._ask(candidate, self.world.stanza_id(), Node("pair-device", {}, children))
        return candidate

    def forget(self, candidate: Candidate) -> None:
        """A candidate is gone."""
        for ref in candidate.refs:
            self._by_ref.pop(ref, None)
        for phone, offer in list(self._offers.items()):
            if offer.candidate is candidate:
                del self._offers[phone]

    def _ask(self, candidate: Candidate, iq_id: str, child: Node) -> None:
        attrs = {
            "from": SERVER_JID,
            "type": "set",
            "xmlns": "md",
            "id": iq_id,
            "t": self.world.unix,
        }
        candidate.connection.send(Node("iq", attrs, (child,)))

    def receive(self, candidate: Candidate, node: Node) -> None:
        """Take a stanza of a candidate."""
        if node.tag != "iq":
            return
        kind = node.attrs.get("type")
        proposal = candidate.proposal
        if kind in ("result", "error"):
            if proposal is not None and node.attrs.get("id") == proposal.iq_id:
                self._conclude(candidate, proposal, node)
            return
        reply = {"from": SERVER_JID, "type": "result", "id": node.attrs.get("id", "")}
        step = node.child("link_code_companion_reg")
        if step is None:
            candidate.connection.send(Node("iq", reply))
        elif step.attrs.get("stage") == "companion_hello":
            candidate.connection.send(Node("iq", reply, (self._hear_hello(candidate, step),)))
        elif step.attrs.get("stage") == "companion_finish":
            candidate.connection.send(Node("iq", reply))
            self._hear_finish(step)

    # --- the phone scans --------------------------------------------------------------------------

    def scan(self, text: str, phone: str | None = None) -> Device:
        """Let a phone scan a QR; return the companion that it proposes. Raises PairingRefused.

        Without a number, the account follows from the push name in the client's payload (the same
        name, the same account, another device); without that, it is a new one.
        """
        fields = text.strip().rpartition("#")[2].split(",")
        if len(fields) < _QR_FIELDS - 1:
            raise PairingRefused("a QR text is a ref and four further fields, comma-separated")
        ref, *encoded = fields
        try:
            noise, identity, secret = (
                base64.b64decode(part, validate=True) for part in encoded[:3]
            )
        except binascii.Error as error:
            raise PairingRefused("a key in the QR text is not base64") from error
        candidate = self._by_ref.get(ref)
        if candidate is None:
            raise PairingRefused("nobody shows this ref", gone=True)
        if self.world.now() >= candidate.expires(ref):
            raise PairingRefused("this ref has expired", gone=True)
        if noise != candidate.noise_static or identity != candidate.keys.identity:
            raise PairingRefused("the keys in the QR text are not those of the client")
        return self._propose(candidate, self._person(candidate, phone), secret)

    def _person(self, candidate: Candidate, phone: str | None) -> Person:
        name = candidate.push_name
        if phone is None and name:
            phone = self.world.numbers.of_name(name)
        person = self.people.get_or_add(phone, name)
        if name:
            person.account.name = name
        return person

    def _propose(self, candidate: Candidate, person: Person, secret: bytes) -> Device:
        """Sign the companion's identity and tell it that it may join (facts §3.2)."""
        account = person.account
        number = account.next_device
        account.next_device += 1
        signed = adv.sign_companion(
            identity=account.identity,
            companion=candidate.keys.identity,
            raw_id=account.raw_id,
            key_index=number,
            timestamp=int(self.world.now().timestamp()),
        )
        device = Device(
            account=account,
            id=number,
            keys=candidate.keys,
            mailbox=Mailbox(),
            noise_static=candidate.noise_static,
            key_index=number,
            platform=candidate.platform,
        )
        if self.world.faults.take("ask_passkey", device) is not None:
            self._notify(candidate, "passkey_prologue_request", _passkey_options())
            return device
        iq_id = self.world.stanza_id()
        candidate.proposal = _Proposal(device=device, signed=signed, iq_id=iq_id)
        children = (
            Node("device-identity", {}, adv.seal(signed, secret)),
            Node("device", {"jid": str(device.jid("pn")), "lid": str(device.jid("lid"))}),
            Node("platform", {"name": "android"}),
        )
        self._ask(candidate, iq_id, Node("pair-success", {}, children))
        self.world.agenda.run()
        return device

    def _notify(self, candidate: Candidate, kind: str, child: Node) -> None:
        attrs = {
            "id": self.world.stanza_id(),
            "from": SERVER_JID,
            "type": kind,
            "t": self.world.unix,
        }
        candidate.connection.send(Node("notification", attrs, (child,)))
        self.world.agenda.run()

    def _conclude(self, candidate: Candidate, proposal: _Proposal, node: Node) -> None:
        """Check the companion's signature; then it is linked, and must restart (515)."""
        complete = None
        if node.attrs.get("type") == "result":
            try:
                answer = node.need("pair-device-sign").need("device-identity")
                complete = adv.countersigned(proposal.signed, answer.data, candidate.keys.identity)
            except (NodeError, DecodeError):
                complete = None
        candidate.proposal = None
        if complete is None:
            self.world.evidence.events["pairings_failed"] += 1
            candidate.connection.end(Node("stream:error", {"code": "401"}))
            return
        self.world.evidence.events["pairings"] += 1
        proposal.device.signed_identity = complete
        self.people.link(proposal.device)
        fault = self.world.faults.take("end_linking", proposal.device)
        if fault is None:
            candidate.connection.end_by("stream_error", RESTART)
        else:
            candidate.connection.end_by(fault.how or "close", fault.code or 0)

    # --- the phone types a code -------------------------------------------------------------------

    def _hear_hello(self, candidate: Candidate, step: Node) -> Node:
        code = CodeOffer.from_hello(step, ref=secrets.token_bytes(24))
        phone = step.attr("jid").partition("@")[0]
        self._offers[phone] = _Offer(candidate=candidate, code=code, since=self.world.now())
        ref = Node("link_code_pairing_ref", {}, code.ref)
        return Node("link_code_companion_reg", {"stage": "companion_hello"}, (ref,))

    def enter_code(self, phone: str, code: str) -> None:
        """Let the phone with this number type a code. Raises PairingRefused.

        Whether the code was right shows later, in `code_state`: the phone learns it from the
        companion's answer.
        """
        offer = self._offers.get(phone)
        if offer is None:
            raise PairingRefused("nobody waits for a code for this number", gone=True)
        if self.world.now() >= offer.since + CODE_LIFETIME:
            raise PairingRefused("the code has expired", gone=True)
        offer.attempts += 1
        if offer.attempts > CODE_ATTEMPTS:
            raise PairingRefused("the code was tried too often", gone=True)
        person = self.people.get_or_add(phone)
        offer.state = "typed"
        child = offer.code.primary_hello(code, person.account.identity)
        self._notify(offer.candidate, "link_code_companion_reg", child)

    def code_state(self, phone: str) -> str | None:
        """Return how far pairing by code is: waiting, typed, wrong; None when nobody waits."""
        offer = self._offers.get(phone)
        return offer.state if offer else None

    def _hear_finish(self, step: Node) -> None:
        phone = step.attr("jid").partition("@")[0]
        offer = self._offers.get(phone)
        person = self.people.find(phone)
        if offer is None or person is None:
            return
        secret = offer.code.open_bundle(step, person.account.identity)
        if secret is None:
            offer.state = "wrong"
            self.world.evidence.events["wrong_codes"] += 1
            return
        offer.state = "right"
        self._propose(offer.candidate, person, secret)


def _passkey_options() -> Node:
    """What a browser is to be asked for (whatsmeow pair-passkey.go, 2026-06-30)."""
    options = {
        "challenge": secrets.token_urlsafe(32),
        "rpId": "whatsapp.com",
        "userVerification": "required",
        "timeout": 600_000,
    }
    return Node("passkey_request_options", {}, json.dumps(options).encode())
