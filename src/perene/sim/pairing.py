"""How a companion is linked: by QR, or by a code typed on the phone.

docs/reference/protocol.md §3.
"""

import json
import secrets

from google.protobuf.message import DecodeError

from perene.sim import adv
from perene.sim.candidate import Candidate, PairingRefused, Proposal
from perene.sim.code_offers import CodeOffers
from perene.sim.connection import Connection
from perene.sim.iq.reply import error
from perene.sim.mailbox import Mailbox
from perene.sim.model import Device
from perene.sim.people import People, Person
from perene.sim.qr import read_qr
from perene.sim.world import World
from perene.wire.errors import NodeError
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from perene.wire.noise import ClientFinish
from perene.wire.proto import wa_pb2

REFS = 6
RESTART = 515


class Pairing:
    """All candidates, and what phones do with them."""

    def __init__(self, world: World, people: People) -> None:
        self.world = world
        self.people = people
        self.codes = CodeOffers(world)
        self._by_ref: dict[str, Candidate] = {}

    # --- candidates come and go -------------------------------------------------------------------

    def admit(
        self, connection: Connection, finish: ClientFinish, payload: wa_pb2.ClientPayload
    ) -> Candidate:
        """Show a client without an account its refs."""
        refs = tuple(f"2@{secrets.token_urlsafe(48)}" for _ in range(REFS))
        candidate = Candidate(
            connection, finish, payload, host=self, refs=refs, since=self.world.now()
        )
        self._by_ref |= dict.fromkeys(refs, candidate)
        children = tuple(Node("ref", {}, ref.encode()) for ref in refs)
        self._ask(candidate, self.world.stanza_id(), Node("pair-device", {}, children))
        return candidate

    def forget(self, candidate: Candidate) -> None:
        """A candidate is gone."""
        for ref in candidate.refs:
            self._by_ref.pop(ref, None)
        self.codes.forget(candidate)

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
            candidate.connection.send(Node("iq", reply, (self.codes.hello(candidate, step),)))
        elif step.attrs.get("stage") == "companion_finish":
            fault = self.world.faults.take("refuse_code", None)
            if fault is not None:
                candidate.connection.send(error(node, fault.code or 400, "bad-request"))
                return
            candidate.connection.send(Node("iq", reply))
            self._hear_finish(step)

    # --- the phone scans --------------------------------------------------------------------------

    def scan(self, text: str, phone: str | None = None) -> Device:
        """Let a phone scan a QR; return the companion that it proposes. Raises PairingRefused.

        Without a number, the account follows from the push name in the client's payload (the same
        name, the same account, another device); without that, it is a new one.
        """
        shown = read_qr(text)
        candidate = self._by_ref.get(shown.ref)
        if candidate is None:
            raise PairingRefused("nobody shows this ref", gone=True)
        if self.world.now() >= candidate.expires(shown.ref):
            raise PairingRefused("this ref has expired", gone=True)
        if (shown.noise, shown.identity) != (candidate.noise_static, candidate.keys.identity):
            raise PairingRefused("the keys in the QR text are not those of the client")
        if shown.secret in candidate.retired:
            raise PairingRefused("the server has had this code replaced", gone=True)
        self._check_version(candidate)
        return self._propose(candidate, self._person(candidate, phone), shown.secret, scanned=True)

    def _check_version(self, candidate: Candidate) -> None:
        """Let the phone say "Couldn't link device"; the client hears nothing of it."""
        if candidate.version < self.world.faults.linking_version:
            self.world.evidence.events["outdated_not_linked"] += 1
            raise PairingRefused("the client's version is too old to be linked")

    def _person(self, candidate: Candidate, phone: str | None) -> Person:
        name = candidate.push_name
        if phone is None and name:
            phone = self.world.numbers.of_name(name)
        person = self.people.get_or_add(phone, name)
        if name:
            person.account.name = name
        return person

    def _propose(
        self, candidate: Candidate, person: Person, secret: bytes, *, scanned: bool = False
    ) -> Device:
        """Sign the companion's identity and tell it that it may join.

        docs/reference/protocol.md §3.2.
        """
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
        if scanned and self.world.faults.take("downgrade", device) is not None:
            candidate.connection.send(
                Node("ib", {"from": SERVER_JID}, (Node("downgrade_webclient"),))
            )
            return device
        if self.world.faults.take("ask_passkey", device) is not None:
            self._notify(candidate, "passkey_prologue_request", _passkey_options())
            return device
        if scanned and self.world.faults.take("refresh_registration", device) is not None:
            # Since July 2026 (Baileys#2737; verygoodplugins/whatsapp-mcp#205, 2026-09-18).
            candidate.retired.add(secret)
            self._notify(candidate, "companion_reg_refresh", Node("companion_reg_refresh"))
            return device
        iq_id = self.world.stanza_id()
        candidate.proposal = Proposal(device=device, signed=signed, iq_id=iq_id)
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

    def _conclude(self, candidate: Candidate, proposal: Proposal, node: Node) -> None:
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

    def enter_code(self, phone: str, code: str) -> None:
        """Let the phone with this number type a code. Raises PairingRefused.

        Whether the code was right shows later, in `codes.state`: the phone learns it from the
        companion's answer.
        """
        offer = self.codes.tried(phone)
        self._check_version(offer.candidate)
        child = offer.code.primary_hello(code, self.people.get_or_add(phone).account.identity)
        if self.world.faults.take("empty_code_notice", None) is not None:
            # Seen from May 2026 on (Baileys#2600).
            empty = Node("link_code_companion_reg")
            self._notify(offer.candidate, "link_code_companion_reg", empty)
        if self.world.faults.take("odd_code_notice", None) is not None:
            cut = tuple(Node(part.tag, part.attrs, part.data[:31]) for part in child.children[1:])
            odd = Node(child.tag, child.attrs, (child.children[0], *cut))
            self._notify(offer.candidate, "link_code_companion_reg", odd)
        self._notify(offer.candidate, "link_code_companion_reg", child)

    def refresh_code(self, phone: str) -> None:
        """Tell the companion that waits for this phone that its code is not taken any more.

        Raises PairingRefused if nobody waits (whatsapp-rust src/pair_code.rs, 2026-08-21).
        """
        offer = self.codes.withdrawn(phone)
        ref = Node("link_code_pairing_ref", {}, offer.code.ref)
        attrs = {"stage": "refresh_code", "force_manual_refresh": "true"}
        child = Node("link_code_companion_reg", attrs, (ref,))
        self._notify(offer.candidate, "link_code_companion_reg", child)

    def _hear_finish(self, step: Node) -> None:
        phone = step.attr("jid").partition("@")[0]
        person = self.people.find(phone)
        if person is None:
            return
        opened = self.codes.opened(phone, step, person.account.identity)
        if opened is not None:
            self._propose(opened.candidate, person, opened.secret)


def _passkey_options() -> Node:
    """What a browser is to be asked for (whatsmeow pair-passkey.go, 2026-06-30)."""
    options = {
        "challenge": secrets.token_urlsafe(32),
        "rpId": "whatsapp.com",
        "userVerification": "required",
        "timeout": 600_000,
    }
    return Node("passkey_request_options", {}, json.dumps(options).encode())
