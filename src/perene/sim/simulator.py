"""The simulator as a test, the admin API or a command uses it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Unpack

from perene.crypto import KeyPair
from perene.sim.absence import Absences
from perene.sim.addresses import Numbers
from perene.sim.agenda import Agenda
from perene.sim.channel import Link
from perene.sim.connection import Connection
from perene.sim.endings import Ending
from perene.sim.evidence import Evidence
from perene.sim.faults import Ban, Fault, FaultDetails, FaultKind, Faults
from perene.sim.groups import Group
from perene.sim.identity import ServerIdentity
from perene.sim.injection import Injection
from perene.sim.media import MediaStore
from perene.sim.memory import MemoryTransport
from perene.sim.model import Account, Addressing, Device, Directory
from perene.sim.people import Person
from perene.sim.phone import PastMessage
from perene.sim.reach_out import TimeLock, notice
from perene.sim.service import Service
from perene.sim.traffic import Traffic, TrafficPlan
from perene.sim.web_version import WebVersion
from perene.sim.world import Settings, World
from perene.wire.node import Node


class UnknownPerson(LookupError):
    """Nobody has this number, or no such device is linked to it."""


def system_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


class Simulator:
    """One simulated WhatsApp: its people, its state, its faults, and what it has seen.

    Every method does all that follows from it before it returns. Timed faults wait on the clock
    that was given: call `run_due` after moving a virtual one; a server that runs does it itself.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = system_now,
        seed: int | None = None,
        settings: Settings | None = None,
        root: KeyPair | None = None,
    ) -> None:
        """Begin with nobody. The same seed gives the same numbers and LIDs."""
        self.world = World(
            now=now, settings=settings or Settings(), numbers=Numbers(seed), agenda=Agenda(now)
        )
        self.service = Service(self.world)
        self.identity = ServerIdentity.issue(now=now(), root=root)
        self.traffic: dict[str, Traffic] = {}
        self.certificate: bytes | None = None
        """The TLS certificate (PEM) of the server that listens, if it has one."""
        self.injection = Injection(self.service)
        self.absences = Absences(self.service)
        self.media = MediaStore()
        self.web_version = WebVersion()

    # --- connections ------------------------------------------------------------------------------

    @property
    def root_key(self) -> bytes:
        """The public root key, which a client must trust instead of WhatsApp's."""
        return self.identity.root.public

    def accept(self, link: Link) -> Connection:
        """Return the server's end of a new connection."""
        return Connection(
            link,
            world=self.world,
            gate=self.service.gatekeeper.admit,
            static=self.identity.static,
            chain=self.identity.chain,
        )

    def connect(self) -> MemoryTransport:
        """Open a connection inside the process."""
        transport = MemoryTransport()
        transport.attach(self.accept(transport))
        return transport

    # --- time -------------------------------------------------------------------------------------

    @property
    def next_deadline(self) -> datetime | None:
        """When `run_due` has something to do, None if never."""
        return self.world.agenda.next_deadline

    def run_due(self) -> None:
        """Do what has become due since the clock moved."""
        self.world.agenda.run()

    # --- people -----------------------------------------------------------------------------------

    @property
    def directory(self) -> Directory:
        """All accounts."""
        return self.world.directory

    @property
    def evidence(self) -> Evidence:
        """What happened."""
        return self.world.evidence

    @property
    def faults(self) -> Faults:
        """What is still to go wrong."""
        return self.world.faults

    def add_contact(
        self, phone: str | None = None, name: str = "", addressing: Addressing = "lid"
    ) -> Person:
        """Add somebody without companions; return the one who has the number already."""
        person = self.service.people.get_or_add(phone, name)
        person.account.addressing = addressing
        if name:
            person.account.name = name
        return person

    def person(self, phone: str) -> Person:
        """Return the person with a number; raises UnknownPerson."""
        person = self.service.people.find(phone)
        if person is None:
            raise UnknownPerson("nobody has this number")
        return person

    def device(self, phone: str, number: int | None = None) -> Device:
        """Return a companion: the newest one, unless numbered; raises UnknownPerson."""
        account = self.person(phone).account
        found = account.devices.get(number) if number is not None else None
        if number is None and account.companions:
            found = account.companions[-1]
        if found is None:
            raise UnknownPerson("no such device is linked to this number")
        return found

    # --- what phones and contacts do --------------------------------------------------------------

    def scan_qr(self, text: str, phone: str | None = None) -> Device:
        """Scan a QR with a phone; return the companion it proposes. Raises PairingRefused."""
        return self.service.pairing.scan(text, phone)

    def enter_code(self, phone: str, code: str) -> None:
        """Type a pairing code on a phone. Raises PairingRefused."""
        self.service.pairing.enter_code(phone, code)

    def send_text(self, sender: str, to: str, text: str, message_id: str | None = None) -> str:
        """Let the phone with the number `sender` send a text; return its id.

        `to` is a number, or a group's address. Raises UnknownPerson.
        """
        chat: Account | Group | None
        chat = self.world.groups.find(to) if to.endswith("@g.us") else self.person(to).account
        if chat is None:
            raise UnknownPerson("there is no such group")
        giver = self.person(sender)
        sent = giver.party.sender.send_text(chat, text, message_id)
        if isinstance(chat, Account) and not self.world.tokens.knows(giver.account, chat):
            self.world.tokens.give(self.world, giver.account, chat, self.world.unix)
        self.world.agenda.run()
        return sent

    def mark_read(self, phone: str, ids: list[str]) -> int:
        """Let somebody read messages; return how many there were."""
        count = self.person(phone).party.reader.mark_read(ids)
        self.world.agenda.run()
        return count

    def set_online(self, phone: str, online: bool) -> None:
        """Switch a phone off or on; while it is off the server holds what it should get.

        Its companions go on working. After 14 days they are unlinked, as `unlink` does.
        """
        person = self.person(phone)
        if online:
            self.absences.switch_on(person)
        else:
            self.absences.switch_off(person)
        self.world.agenda.run()

    def lose_ratchets(self, phone: str, peer: Device | None = None) -> None:
        """Let a phone forget its ratchets, with one device or with all."""
        self.person(phone).party.desk.keyring.lose_ratchets(peer.name if peer else None)

    def change_identity(self, phone: str) -> None:
        """Let somebody without companions reinstall: a new identity key, and no ratchets.

        Companions that know the contact are notified (docs/reference/protocol.md §4.4).
        """
        self.service.people.reinstall(phone)
        self.world.agenda.run()

    def remember(self, phone: str, past: list[PastMessage]) -> None:
        """Give a phone messages from before: its next companion gets them as history."""
        self.person(phone).phone.past.messages.extend(past)

    # --- groups -----------------------------------------------------------------------------------

    def create_group(
        self, subject: str, creator: str, members: list[str], addressing: Addressing = "lid"
    ) -> Group:
        """Make a group of these numbers and tell everybody in it."""
        accounts = [self.person(phone).account for phone in members]
        group = self.service.groups.create(
            subject, self.person(creator).account, accounts, addressing=addressing
        )
        self.world.agenda.run()
        return group

    def change_group(
        self, jid: str, change: str, phones: list[str], by: str | None = None
    ) -> Group:
        """Add, remove, promote or demote numbers; raises UnknownPerson for a group nobody has."""
        group = self.world.groups.find(jid)
        if group is None:
            raise UnknownPerson("there is no such group")
        actor = self.person(by).account if by else group.creator
        accounts = [self.person(phone).account for phone in phones]
        self.service.groups.change_participants(group, change, accounts, by=actor)
        self.world.agenda.run()
        return group

    # --- what goes wrong --------------------------------------------------------------------------

    def add_fault(self, kind: FaultKind, **details: Unpack[FaultDetails]) -> Fault:
        """Plan a fault; one that lasts as long as a connection begins at once."""
        fault = self.faults.add(kind, **details)
        for session in self.service.gatekeeper.each(fault.fits):
            self.service.gatekeeper.arm(session)
        return fault

    def disconnect(self, phone: str | None = None, how: Ending = "close", code: int = 503) -> int:
        """End the sessions of a number, or of all, in one of the server's ways; return how many.

        `code` is that of the stream error or failure, 0 for none. Nothing is remembered: the next
        login works.
        """
        sessions = self.service.gatekeeper.each(
            lambda device: phone in (None, device.account.phone)
        )
        for session in sessions:
            session.connection.end_by(how, code)
        self.world.agenda.run()
        return len(sessions)

    def ban(self, phone: str, duration: timedelta, code: int = 101) -> None:
        """Ban a number for a while: its stream ends, its logins fail with 402 and the time left."""
        self.faults.bans[phone] = Ban(until=self.world.now() + duration, code=code)
        self.disconnect(phone, "close")

    def limit(self, phone: str, duration: timedelta, code: int = 463, tell: bool = False) -> None:
        """Let a number write only to those who wrote to it; `tell` its companions of it too.

        A duration of nothing lifts the limit.
        """
        now = self.world.now()
        self.world.reach_out.locks[phone] = TimeLock(until=now + duration, code=code)
        if tell:
            lock = self.world.reach_out.lock(phone, now)
            for companion in self.person(phone).account.companions:
                self.world.notify(companion, "mex", child=notice(lock))

    def require_tokens(
        self, phone: str, required: bool = True, *, weeks: int | None = None
    ) -> None:
        """Refuse a number's companions with 463 when they show no token of whom they write to."""
        self.use_tokens(weeks=weeks)
        (self.world.tokens.wanted.add if required else self.world.tokens.wanted.discard)(phone)

    def use_tokens(self, *, weeks: int | None = None) -> None:
        """Let phones give a privacy token with their first message, and pass companions' on.

        They are good for four weeks, or as many as the clients are told.
        """
        self.world.tokens.in_use = True
        self.world.tokens.weeks = weeks or self.world.tokens.weeks

    def unlink(self, phone: str, number: int | None = None) -> None:
        """Unlink a companion: its stream ends as device_removed, its next login fails with 401."""
        self.service.unlink(self.device(phone, number))
        self.world.agenda.run()

    def require_version(self, version: tuple[int, ...], *, to_link: bool = False) -> None:
        """Refuse clients older than this with 405, from their next login on.

        With `to_link` they are taken, and only no phone links them. `/sw.js` then names this
        version, or a newer one.
        """
        if to_link:
            self.faults.linking_version = version
        else:
            self.faults.minimum_version = version

    # --- stanzas of one's own making --------------------------------------------------------------

    def inject(self, phone: str, stanza: Node, number: int | None = None) -> str:
        """Give a companion any stanza; return its id. See `Injection.put`."""
        return self.injection.put(self.device(phone, number), stanza)

    def ping(self, phone: str) -> int:
        """Ping the connected companions of a number; return how many there are."""
        sessions = self.service.gatekeeper.each(lambda device: device.account.phone == phone)
        for session in sessions:
            self.injection.ping(session)
        return len(sessions)

    # --- load -------------------------------------------------------------------------------------

    def prepare_traffic(self, plan: TrafficPlan) -> Traffic:
        """Encrypt many messages beforehand; `fire` them later. Raises UnknownPerson."""
        traffic = Traffic.prepare(plan, self.service, self.device(plan.to, plan.device))
        self.traffic[traffic.id] = traffic
        return traffic
