"""People and sessions write to each other; every message is remembered until the end."""

import asyncio
from collections import Counter, defaultdict

from perene.core.errors import PereneError
from perene.core.ids import SessionId
from perene.core.messages import Status
from perene.sim.model import Device
from tests.support.world import World

FRIENDS = 10
_ARRIVED = (Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED)


class Talk:
    """Who wrote what to whom, and what must have become of it.

    What lies in the mailbox of a companion when that is unlinked is lost with it, as at WhatsApp:
    it may have been stored or not.
    """

    def __init__(self, world: World) -> None:
        self.received = 0
        self.asked = 0
        self.accepted = 0
        self.not_taken = 0
        self._world = world
        self._friends = [
            world.simulator.add_contact(name=f"Friend {n}").account.phone for n in range(FRIENDS)
        ]
        self._written: dict[SessionId, set[str]] = defaultdict(set)
        self._perhaps: dict[SessionId, set[str]] = defaultdict(set)
        self._asked: dict[SessionId, set[str]] = defaultdict(set)
        self._texts: dict[str, tuple[SessionId, str]] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._watch_unlinking()

    def _watch_unlinking(self) -> None:
        service = self._world.simulator.service
        unlink = service.unlink

        def watched(device: Device) -> None:
            for held in device.mailbox:
                if (found := self._texts.get(held.stanza.attrs.get("id", ""))) is not None:
                    self._perhaps[found[0]].add(found[1])
            unlink(device)

        setattr(service, "unlink", watched)  # noqa: B010  # a method

    def receive(self, session: SessionId, phone: str, friend: int) -> None:
        """Let a friend write to a session; it counts if a companion is linked."""
        self.received += 1
        text = f"in {self.received}"
        sender = self._friends[friend % FRIENDS]
        if self._world.simulator.person(phone).account.companions:
            self._written[session].add(text)
        message_id = f"{self.received:032X}"
        self._texts[message_id] = session, text
        self._world.simulator.send_text(sender, phone, text, message_id)

    def send(self, session: SessionId, friend: int) -> None:
        """Ask a session to write to a friend; it counts once it was accepted."""
        self.asked += 1
        text = f"out {self.asked}"
        to = self._friends[friend % FRIENDS]
        request = asyncio.create_task(self._send(session, to, text))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _send(self, session: SessionId, to: str, text: str) -> None:
        try:
            await self._world.user.send(f"{to}@s.whatsapp.net", text, session=session)
        except PereneError:
            self.not_taken += 1
        else:
            self.accepted += 1
            self._asked[session].add(text)

    async def answered(self) -> None:
        """Wait until every request to send has got its answer."""
        await asyncio.gather(*self._requests)

    def give_up_requests(self) -> None:
        """The service was killed: whoever waits for its answer gets none."""
        for request in self._requests:
            request.cancel()

    async def problems(self, sessions: list[SessionId]) -> list[str]:
        """Return what is missing, doubled, or still on its way."""
        arrived = Counter(
            text for friend in self._friends for text in self._world.server.inbox(friend)
        )
        found: list[str] = []
        for session in sessions:
            views = [view.message for view in await self._world.stored.messages(session=session)]
            stored = Counter(one.text for one in views if not one.key.from_me)
            found += self._missing(session, stored)
            own = Counter(one.text for one in views if one.key.from_me)
            for one in views:
                if one.key.from_me and one.text in self._asked[session]:
                    found += _unsent(session, one.text, one.status, arrived[one.text])
            for text in self._asked[session]:
                if own[text] != 1:
                    found.append(f"{session}: {text!r} is stored {own[text]} times")
        return found

    def _missing(self, session: SessionId, stored: "Counter[str | None]") -> list[str]:
        written, perhaps = self._written[session], self._perhaps[session]
        return [
            *(
                f"{session}: {text!r} is stored {stored[text]} times"
                for text in sorted(written)
                if stored[text] != 1 and not (stored[text] == 0 and text in perhaps)
            ),
            *(
                f"{session}: {text!r} was never written to it"
                for text in stored
                if text not in written
            ),
        ]


def _unsent(session: SessionId, text: str | None, status: Status, arrived: int) -> list[str]:
    if status is Status.FAILED:
        return [f"{session}: {text!r} failed"]
    if status in _ARRIVED and arrived == 1:
        return []
    return [f"{session}: {text!r} is {status.value}, and arrived {arrived} times"]
