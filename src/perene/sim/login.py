"""Who may come in: version, ban, is the device still linked.

docs/reference/protocol.md §1.4, §2.
"""

import hashlib
from collections.abc import Callable

from google.protobuf.message import DecodeError

from perene.sim.candidate import presented
from perene.sim.connection import Connection, Stage
from perene.sim.model import Device
from perene.sim.pairing import Pairing
from perene.sim.session import Services, Session
from perene.sim.world import World
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from perene.wire.noise import ClientFinish
from perene.wire.proto import wa_pb2

UNLINKED = 401
BANNED = 402
OUTDATED = 405
_ROUTING_SIZE = 10


class Gatekeeper:
    """Decides what a client that has finished its handshake may do."""

    def __init__(self, world: World, pairing: Pairing, services: Services) -> None:
        self._world = world
        self._pairing = pairing
        self._services = services
        self.sessions: dict[Device, Session] = {}

    def admit(self, connection: Connection, finish: ClientFinish) -> Stage | None:
        """Begin pairing or a session, or refuse."""
        try:
            payload = wa_pb2.ClientPayload.FromString(finish.payload)
        except DecodeError:
            self._world.evidence.events["malformed_streams"] += 1
            connection.end()
            return None
        if presented(payload) < self._world.faults.minimum_version:
            return self._refuse(connection, OUTDATED)
        if payload.HasField("devicePairingData"):
            fault = self._world.faults.take("refuse_pairing", None)
            if fault is not None:
                return connection.end_by(fault.how or "failure", fault.code or 0)
            return self._pairing.admit(connection, finish, payload)
        return self._log_in(connection, finish, payload)

    def _log_in(
        self, connection: Connection, finish: ClientFinish, payload: wa_pb2.ClientPayload
    ) -> Stage | None:
        phone = str(payload.username)
        account = self._world.directory.by_phone(phone)
        device = account.devices.get(payload.device) if account else None
        if device is None or not device.id or device.noise_static != finish.client_static:
            return self._refuse(connection, UNLINKED)
        ban = self._world.faults.bans.get(phone)
        if ban is not None:
            left = (ban.until - self._world.now()).total_seconds()
            if left > 0:
                more = {"code": str(ban.code), "expire": str(int(left) or 1)}
                return self._refuse(connection, BANNED, more)
            del self._world.faults.bans[phone]
        fault = self._world.faults.take("refuse_login", device)
        if fault is not None and fault.how is not None:
            return connection.end_by(fault.how, fault.code or 0)
        if fault is not None:
            numbers = {"code": fault.code, "expire": fault.expire}
            more = {name: str(value) for name, value in numbers.items() if value is not None}
            return self._refuse(connection, fault.reason, more)
        return self._welcome(connection, device, payload)

    def _welcome(
        self, connection: Connection, device: Device, payload: wa_pb2.ClientPayload
    ) -> Session:
        if (before := self.sessions.get(device)) is not None:
            self._world.evidence.events["replaced"] += 1
            conflict = Node("conflict", {"type": "replaced"})
            before.connection.end(Node("stream:error", {}, (conflict,)))
        session = Session(connection, device, world=self._world, services=self._services)
        self.sessions[device] = session
        device.logins += 1
        self._world.evidence.events["logins"] += 1
        if payload.pushName:
            device.account.name = payload.pushName
        self.arm(session)
        attrs = {"t": self._world.unix, "lid": str(device.jid("lid"))}
        connection.send(Node("success", attrs))
        self._route(connection, device)
        if not payload.passive:
            # Only a passive client asks for its stanzas; any other gets them at once.
            self._world.agenda.add(session.activate)
        return session

    def _route(self, connection: Connection, device: Device) -> None:
        """Tell the client its edge; count whether it came by the one it was told.

        docs/reference/protocol.md §1.1.
        """
        told = hashlib.sha256(device.name.encode()).digest()[:_ROUTING_SIZE]
        came = connection.channel.routing_info
        if came is not None:
            self._world.evidence.events["routed" if came == told else "routed_elsewhere"] += 1
        routing = Node("edge_routing", {}, (Node("routing_info", {}, told),))
        connection.send(Node("ib", {"from": SERVER_JID}, (routing,)))

    def arm(self, session: Session) -> None:
        """Let the faults begin that last as long as a connection."""
        faults, device, connection = self._world.faults, session.device, session.connection
        if not faults:
            return
        if fault := faults.claim("half_frames", device):
            connection.channel.halves = fault.count
        if fault := faults.claim("paired_frames", device):
            connection.channel.pairs = fault.count
        if fault := faults.claim("short_batches", device):
            device.mailbox.per_pull = fault.count
        if faults.claim("deaf", device):
            session.deaf = True
        if faults.claim("silence", device):
            connection.silent = True

    def _refuse(
        self, connection: Connection, reason: int, more: dict[str, str] | None = None
    ) -> None:
        self._world.evidence.events[f"logins_refused_{reason}"] += 1
        attrs = {"reason": str(reason), "location": "sim"} | (more or {})
        connection.end(Node("failure", attrs))

    def left(self, session: Session) -> None:
        """A session has ended."""
        if self.sessions.get(session.device) is session:
            del self.sessions[session.device]

    def each(self, fits: Callable[[Device], bool]) -> list[Session]:
        """Return the sessions of the devices that fit."""
        return [session for device, session in list(self.sessions.items()) if fits(device)]
