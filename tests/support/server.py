"""The simulator's side of a world: what WhatsApp knows of a session, and what people have read."""

from perene.sim import Simulator
from perene.sim.evidence import DeviceCounters
from perene.sim.model import Device
from perene.sim.people import Person
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.passing import PassingTime


class Server:
    """Looks at devices and people by their numbers; nothing of Perene is asked."""

    def __init__(self, simulator: Simulator, time: PassingTime) -> None:
        self._simulator = simulator
        self._time = time

    def device(self, phone: str) -> Device:
        """Return the newest companion of a number: the session, seen from the server."""
        return self._simulator.device(phone)

    def counters(self, phone: str) -> DeviceCounters:
        """Return what the simulator counted of a session."""
        return self._simulator.evidence.of(self.device(phone))

    async def answered(self, phone: str) -> None:
        """Wait until the session owes the server no answer."""
        mailbox = self.device(phone).mailbox
        await self._time.until(lambda: len(mailbox) == 0, "all answers")

    def sealed(self, author: Person, phone: str, body: bytes | wa_pb2.Message) -> Node:
        """Return the part of a message that somebody's phone encrypts for a session."""
        device = self.device(phone)
        kind, data = author.party.desk.keyring.encrypt(
            device.name,
            body if isinstance(body, bytes) else body.SerializeToString(),
            lambda: self._simulator.service.take_bundle(device),
        )
        return Node("enc", {"v": "2", "type": kind}, data)

    def inbox(self, phone: str) -> list[str | None]:
        """Return the texts that a simulated person has read."""
        return [read.text for read in self._simulator.person(phone).party.reader.inbox]
