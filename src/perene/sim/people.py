"""Accounts come into being here, each with its phone; companions come and go."""

from dataclasses import dataclass

from perene.crypto import KeyPair
from perene.sim.adv import key_index_list
from perene.sim.desk import Desk, Uplink
from perene.sim.evidence import DeviceCounters
from perene.sim.keyring import Keyring
from perene.sim.mailbox import Mailbox
from perene.sim.model import Account, Device
from perene.sim.party import Party
from perene.sim.phone import Phone
from perene.sim.relay import device_hash
from perene.sim.world import World
from perene.wire.jid import PN_SERVER, Jid
from perene.wire.node import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account and the party at its phone."""

    account: Account
    party: Party
    phone: Phone


class People:
    """Makes and finds people."""

    def __init__(self, world: World, uplink: Uplink) -> None:
        self._world = world
        self._uplink = uplink
        self._persons: dict[str, Person] = {}

    def find(self, phone: str) -> Person | None:
        """Return the person with this number."""
        return self._persons.get(phone)

    def of(self, account: Account) -> Person:
        """Return the person whose account this is."""
        return self._persons[account.phone]

    def everybody(self) -> list[Person]:
        """Return all, in the order they came."""
        return list(self._persons.values())

    def get_or_add(self, phone: str | None = None, name: str = "") -> Person:
        """Return the person with this number, made on the spot if there is none.

        Without a number, the next free one.
        """
        while phone is None:
            candidate = self._world.numbers.next()
            phone = candidate if candidate not in self._persons else None
        person = self._persons.get(phone)
        if person is None:
            person = self._persons[phone] = self._add(phone, name)
        return person

    def _add(self, phone: str, name: str) -> Person:
        count = len(self._persons) + 1
        account = Account(
            phone=phone,
            lid=self._world.numbers.lid(phone),
            name=name,
            identity=KeyPair.generate(),
            raw_id=count,
        )
        keyring = Keyring(account.identity, registration_id=count % 16380 + 1)
        device = Device(account=account, id=0, keys=keyring.public(), mailbox=Mailbox())
        account.devices[0] = device
        self._world.directory.add(account)
        desk = Desk(device=device, keyring=keyring, world=self._world, uplink=self._uplink)
        party = Party(desk)
        device.mailbox.open(party)
        return Person(account=account, party=party, phone=Phone(party, world=self._world))

    def reinstall(self, phone: str) -> None:
        """Give somebody's phone a new identity key and no ratchets; its companions are unlinked.

        Whoever looked the account up is notified (docs/reference/protocol.md §4.4).
        """
        person = self._persons[phone]
        account = person.account
        for companion in account.companions:
            self.unlink(companion)
        account.identity = KeyPair.generate()
        keyring = Keyring(
            account.identity, person.party.desk.keyring.local.registration_id % 16380 + 1
        )
        person.party.desk.keyring = keyring
        person.party.desk.device.keys = keyring.public()
        for listener in self._acquainted(account):
            for companion in listener.companions:
                self._world.notify(
                    companion,
                    "encrypt",
                    str(account.jid(account.addressing)),
                    child=Node("identity"),
                )

    def _acquainted(self, account: Account) -> list[Account]:
        found = (self._world.directory.by_lid(lid) for lid in sorted(account.acquainted))
        return [one for one in found if one is not None]

    # --- companions -------------------------------------------------------------------------------

    def link(self, device: Device) -> None:
        """Add a companion to its account, and tell who should know."""
        account = device.account
        account.devices[device.id] = device
        self._world.evidence.devices.setdefault(device.name, DeviceCounters())
        self._announce("add", device)

    def unlink(self, device: Device) -> None:
        """Remove a companion from its account, and tell who should know."""
        account = device.account
        if account.devices.pop(device.id, None) is not None:
            account.removed.add(device.id)
            self._announce("remove", device)

    def _announce(self, change: str, device: Device) -> None:
        """Notify own companions, and those of everybody who looked this account up."""
        account = device.account
        attrs = {"jid": str(device.jid("pn")), "lid": str(device.jid("lid"))}
        if device.key_index:
            attrs["key-index"] = str(device.key_index)
        devices = list(account.devices.values())
        child = Node(
            change,
            {
                "device_hash": device_hash(devices, "pn"),
                "device_lid_hash": device_hash(devices, "lid"),
            },
            (
                Node("device", attrs),
                key_index_list(account, self._world.unix),
            ),
        )
        audience = [account, *self._acquainted(account)]
        for listener in dict.fromkeys(audience):
            for companion in listener.companions:
                if companion is device:
                    continue
                stanza = {"lid": str(account.jid("lid"))}
                self._world.notify(
                    companion,
                    "devices",
                    str(Jid(account.phone, PN_SERVER)),
                    child=child,
                    more=stanza,
                )
        self._announce_to_own(device)

    def _announce_to_own(self, changed: Device) -> None:
        account = changed.account
        devices = list(account.devices.values())
        entries = tuple(
            Node("device", {"jid": str(device.jid("pn")), "key-index": str(device.key_index)})
            for device in devices
        )
        child = Node("devices", {"dhash": device_hash(devices, "pn")}, entries)
        for companion in account.companions:
            if companion is not changed:
                self._world.notify(companion, "account_sync", str(account.jid("pn")), child=child)
