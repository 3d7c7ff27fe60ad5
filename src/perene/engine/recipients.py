"""Whom a message goes to: the devices of a person, or of all in a group, and our other own."""

from collections.abc import Collection, Sequence

from perene.core.unit import AddressPair
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.groups import Group
from perene.engine.line import Line
from perene.engine.moving import learn
from perene.wire.jid import Jid


class Recipients:
    """Finds the devices. What the server says of addresses meanwhile is learned.

    Raises QueryFailed, QueryTimedOut, and WireError for an answer that makes no sense.
    """

    def __init__(self, line: Line, devices: Devices) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._devices = devices

    async def between(self, chat: Jid) -> tuple[list[Jid], list[Jid]]:
        """Return the devices of a person, and those of our account, under canonical addresses."""
        book, people = self._stage.book, (chat.bare, self._stage.credentials.own_pn.bare)
        await book.load(people)
        asked = [book.canonical(person) for person in people]
        listed = await self._devices.of(asked)
        await self._learn(self._devices.take_learnt())
        await book.load(people)
        for person in asked:
            # The server may list nothing under the number of somebody who was moved to a LID
            # (Baileys#2794, 2026-09-07).
            for other in (book.canonical(person), book.phone_number(person)):
                if not listed[person] and other not in (None, person):
                    listed[person] = (await self._devices.of([other]))[other]
        theirs, ours = ([book.canonical(device) for device in listed[one]] for one in asked)
        return theirs, ours

    async def ask_for_lid(self, person: Jid) -> None:
        """Ask for the LID of a person, by the number that is known for them, if any is.

        By the LID nothing could be told: that is the address in doubt (whatsapp-rust pull request
        1313, 2026-08-16).
        """
        await self._stage.book.load([person])
        number = self._stage.book.phone_number(person.bare)
        if number is not None:
            self._devices.forget(number)
            await self._devices.of([number])
            await self._learn(self._devices.take_learnt())

    async def in_group(self, group: Group) -> dict[Jid, Jid]:
        """Return all devices in a group but this one, and the address of each on the wire.

        Those of our account have the form of the group (whatsmeow send.go, 2026-08-21).
        """
        own = self._stage.credentials
        await self._learn(group.pairs)
        this = own.own_lid if group.addressing_mode == "lid" else own.own_pn
        listed = await self._devices.of([*group.members, this.bare])
        await self._learn(self._devices.take_learnt())
        listed |= await self._not_listed([user for user, found in listed.items() if not found])
        devices = [device for found in listed.values() for device in found]
        await self._stage.book.load(devices)
        canonical: dict[Jid, Jid] = {}
        for device in devices:
            canonical.setdefault(self._stage.book.canonical(device), device)
        canonical.pop(own.own_device, None)
        return canonical

    async def _not_listed(self, users: Sequence[Jid]) -> dict[Jid, tuple[Jid, ...]]:
        """Return the devices of members of a group of whom the server has listed none.

        It may list them under their other address; else they are taken to have a phone, as by
        WhatsApp Web (whatsapp-rust pull request 1328, 2026-08-19). Without our key they could read
        nothing, and nobody would know.
        """
        if not users:
            return {}
        book = self._stage.book
        await book.load(users)
        others = {
            user: other
            for user in users
            for other in (book.canonical(user), book.phone_number(user))
            if other not in (None, user)
        }
        listed = await self._devices.of(others.values()) if others else {}
        await self._learn(self._devices.take_learnt())
        found: dict[Jid, tuple[Jid, ...]] = {}
        for user in users:
            devices = listed.get(others[user], ()) if user in others else ()
            found[user] = tuple(user.with_device(one.device) for one in devices) or (user,)
        return found

    async def _learn(self, pairs: Collection[AddressPair]) -> None:
        """Commit address pairs that are new to us."""
        if not pairs:
            return
        # Else a pair that is stored is new to each connection, and what may be under the number is
        # looked for again: twice for every member of a group, with the first message to it.
        await self._stage.book.load([Jid.parse(pair.pn) for pair in pairs])
        async with self._stage.lock:
            draft = Draft(self._stage)
            await learn(draft, pairs)
            if draft.pairs:
                self._answers.put(draft.submit())
