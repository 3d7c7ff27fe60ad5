"""Stanzas of one's own making, to see what a client does with them."""

from perene.sim.mailbox import Held
from perene.sim.model import Device
from perene.sim.service import Service
from perene.sim.session import Session
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node

_UNHELD = frozenset(
    {"ack", "chatstate", "error", "failure", "ib", "iq", "presence", "stream:error", "success"}
)
"""Tags that are sent and forgotten; any other stanza a client must answer, also one that it does
not know (whatsapp-rust src/client/node_io.rs, 2026-08-21)."""


class Injection:
    """Sends stanzas that no simulated person would."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def put(self, device: Device, stanza: Node) -> str:
        """Give a device a stanza, with an id, a sender and a time if it has none; return its id.

        What asks for an answer is held until it is answered; any other stanza is sent if the
        device is connected.
        """
        world = self._service.world
        attrs = {"from": SERVER_JID, "t": world.unix} | dict(stanza.attrs)
        if stanza.tag not in _UNHELD or stanza.tag == "iq":
            attrs.setdefault("id", world.stanza_id())
        node = Node(stanza.tag, attrs, stanza.content)
        session = self._service.gatekeeper.sessions.get(device)
        if stanza.tag not in _UNHELD:
            device.mailbox.put(Held(stanza=node))
        elif session is not None:
            session.connection.send(node)
        world.agenda.run()
        return attrs.get("id", "")

    def ping(self, session: Session) -> str:
        """Ask a client for a sign of life; it counts as `pongs`.

        docs/reference/protocol.md §1.7.
        """
        iq_id = self._service.world.stanza_id()
        session.expected_pongs.add(iq_id)
        attrs = {"id": iq_id, "from": SERVER_JID, "type": "get", "xmlns": "urn:xmpp:ping"}
        session.connection.send(Node("iq", attrs, (Node("ping"),)))
        return iq_id
