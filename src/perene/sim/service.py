"""The server's parts put together: what sessions and simulated people call."""

from perene.signal import PreKeyBundle
from perene.sim.iq.groups import GroupService
from perene.sim.iq.keys import KeyServer
from perene.sim.login import Gatekeeper
from perene.sim.model import Device
from perene.sim.pairing import Pairing
from perene.sim.people import People
from perene.sim.queries import Queries
from perene.sim.receipts import Receipts
from perene.sim.relay import Relay
from perene.sim.session import Session
from perene.sim.world import World
from perene.wire.errors import JidError
from perene.wire.jid import Jid
from perene.wire.node import Node


class Service:
    """One simulated WhatsApp, without its sockets."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = KeyServer(world)
        self.groups = GroupService(world)
        self.people = People(world, self)
        self.pairing = Pairing(world, self.people)
        self.gatekeeper = Gatekeeper(world, self.pairing, self)
        self.queries = Queries(
            world, self.people, keys=self.keys, groups=self.groups, unlink=self._unlink_by_query
        )
        self._relay = Relay(world)
        self._receipts = Receipts(world)

    # --- for sessions and simulated people --------------------------------------------------------

    def answer_iq(self, session: Session, iq: Node) -> Node | None:
        """Return the reply to a query."""
        return self.queries.answer(session, iq)

    def submit_message(self, sender: Device, node: Node) -> Node | None:
        """Relay a message."""
        return self._relay.submit(sender, node)

    def submit_receipt(self, sender: Device, node: Node) -> None:
        """Take a receipt."""
        self._receipts.submit_receipt(sender, node)

    def submit_ack(self, sender: Device, node: Node) -> None:
        """Take an ack or nack."""
        self._receipts.submit_ack(sender, node)

    def take_bundle(self, device: Device) -> PreKeyBundle:
        """Hand out a bundle of a device."""
        return self.keys.take_bundle(device)

    def first_sync(self, device: Device) -> None:
        """Let the phone sync a companion that is here for the first time."""
        if device.logins == 1 and not device.synced and self.world.settings.initial_sync:
            device.synced = True
            phone = self.people.of(device.account).phone
            self.world.agenda.add(lambda: phone.sync(device))

    def left(self, session: Session) -> None:
        """A session has ended."""
        self.gatekeeper.left(session)

    # --- devices leave ----------------------------------------------------------------------------

    def unlink(self, device: Device) -> None:
        """Unlink a companion as its phone would: its stream ends, its next login fails with 401."""
        self.people.unlink(device)
        self.world.evidence.events["unlinked"] += 1
        session = self.gatekeeper.sessions.get(device)
        if session is not None:
            conflict = Node("conflict", {"type": "device_removed"})
            session.connection.end(Node("stream:error", {"code": "401"}, (conflict,)))

    def _unlink_by_query(self, session: Session, removal: Node) -> None:
        try:
            device = self.world.directory.device(Jid.parse(removal.attr("jid")))
        except JidError:
            return
        if device is not None and device.account is session.device.account and device.id:
            # After the reply, as the real server does.
            self.world.agenda.add(lambda: self.unlink(device))
