"""Phones that are switched off, and the companions that the server unlinks for it."""

from datetime import datetime, timedelta

from perene.sim.model import Device
from perene.sim.people import Person
from perene.sim.service import Service

COMPANIONS_LAST = timedelta(days=14)
"""How long companions work without their phone (docs/reference/protocol.md §6.1)."""


class Absences:
    """Knows which phones are off, since when, and what the server does about it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._off_since: dict[str, datetime] = {}

    def off_since(self, phone: str) -> datetime | None:
        """When a phone was switched off, None while it is on."""
        return self._off_since.get(phone)

    def switch_off(self, person: Person) -> None:
        """Take a phone off the net: what it should get waits on the server."""
        phone, world = person.account.phone, self._service.world
        if phone in self._off_since:
            return
        since = self._off_since[phone] = world.now()
        person.party.desk.device.mailbox.close(person.party)
        world.agenda.later(COMPANIONS_LAST, lambda: self._unlink(person, since))

    def switch_on(self, person: Person) -> None:
        """Let a phone come back: it gets what has waited."""
        self._off_since.pop(person.account.phone, None)
        mailbox = person.party.desk.device.mailbox
        if not mailbox.is_open:
            mailbox.open(person.party)

    def _unlink(self, person: Person, since: datetime) -> None:
        """Unlink the companions, unless the phone has been back meanwhile."""
        if self._off_since.get(person.account.phone) != since:
            return
        companions: list[Device] = person.account.companions
        for companion in companions:
            self._service.unlink(companion)
        self._service.world.evidence.events["phones_gone"] += 1
