"""What the two halves of a simulated person share."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from perene.signal import PreKeyBundle
from perene.sim.keyring import Keyring
from perene.sim.model import Device
from perene.sim.world import World
from perene.wire.node import Node


class Uplink(Protocol):
    """The server as a device sees it."""

    def submit_message(self, sender: Device, node: Node) -> Node | None:
        """Send a message."""
        ...

    def submit_receipt(self, sender: Device, node: Node) -> None:
        """Send a receipt."""
        ...

    def submit_ack(self, sender: Device, node: Node) -> None:
        """Send an ack."""
        ...

    def take_bundle(self, device: Device) -> PreKeyBundle:
        """Fetch a bundle of a device; one of its one-time keys is used up."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class Desk:
    """A phone: its device, its keys, its line to the server, and what it counts."""

    device: Device
    keyring: Keyring
    world: World
    uplink: Uplink
    counts: Counter[str] = field(default_factory=Counter[str])
