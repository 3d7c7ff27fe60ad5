"""What has become of a session of which the server said odd things: what must not be, and how much
there was of it."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from perene.core.events import EventType
from perene.core.messages import Status
from tests.garble.garbling import Garbler
from tests.moments.life import PEOPLE, Life
from tests.support.world import DESK, World

AT_LAST = "after all"
"""With this every text begins that is written once the server says all well again."""

ROUNDS = range(2)
"""How often everybody writes then, and is written to."""


def to_person(phone: str, round_: int) -> str:
    """Return what a person is written to then."""
    return f"{AT_LAST}, to {phone} {round_}"


def to_group(round_: int) -> str:
    """Return what the group is written to then."""
    return f"{AT_LAST}, from us to the group {round_}"


@dataclass(slots=True, kw_only=True)
class Told:
    """A life that has been told; look at it when all has settled."""

    world: World
    life: Life
    garbler: Garbler
    alone: bool = True
    """Whether nothing has befallen the neighbour, too."""
    ids: dict[str, str] = field(default_factory=dict[str, str])
    """The ids of the messages to the session, by their texts."""

    async def problems(self) -> AsyncIterator[str]:
        """Yield what must not be, whatever the server said."""
        views = [view.message for view in await self.world.stored.messages()]
        stored = Counter(str(one.text) for one in views if not one.key.from_me)
        stored += Counter(
            str(one.text) for one in views if one.key.from_me and one.text in self.ids
        )
        unread = {
            str(one.event.payload["message_id"])
            for one in await self.world.events.seen(EventType.MESSAGE_UNREADABLE)
        }
        for text, id_ in self.ids.items():
            if stored[text] > self._names(id_):
                yield f"{text!r} is stored {stored[text]} times"
            if not stored[text] and id_ not in unread and not self._seems_empty(id_):
                yield f"{text!r} is not stored, and nothing is told of it"
            if not stored[text] and text.startswith(AT_LAST):
                yield f"{text!r} is not stored"
        told = Counter(
            str(one.event.payload["text"])
            for one in await self.world.events.seen(EventType.MESSAGE_RECEIVED)
            if one.session == DESK
        )
        if told != stored:
            yield f"told {dict(told - stored)} and did not tell {dict(stored - told)}"
        for one in views:
            if one.key.from_me and one.text not in self.ids:
                for problem in self._sent_badly(str(one.text), one.status):
                    yield problem
        async for problem in self._broken():
            yield problem

    def _names(self, id_: str) -> int:
        """Return under how many ids a message came: nobody can know that it is one."""
        spoilt = [said for was, said in self.garbler.spoilt if was.attrs.get("id") == id_]
        return len({id_, *(one.attrs.get("id", "") for said in spoilt for one in said)})

    def _seems_empty(self, id_: str) -> bool:
        """Tell whether a message came with a key of its group, and without what that is for."""
        for was, said in self.garbler.spoilt:
            if was.attrs.get("id") != id_ or len(was.children) < 2:
                continue
            key = was.children[0].data
            left = [child for one in said for child in one.children if child.tag == "enc"]
            if left and all(child.data == key for child in left):
                return True
        return False

    def _sent_badly(self, text: str, status: Status | None) -> list[str]:
        problems: list[str] = []
        if status is Status.QUEUED:
            problems.append(f"{text!r} still waits")
        for phone in PEOPLE:
            read = self.world.server.inbox(phone).count(text)
            if read > 1:
                problems.append(f"{phone} read {text!r} {read} times")
            if not read and text in (
                *(to_person(phone, round_) for round_ in ROUNDS),
                *(to_group(round_) for round_ in ROUNDS),
            ):
                problems.append(f"{phone} did not read {text!r}, which is {status}")
        return problems

    async def _broken(self) -> AsyncIterator[str]:
        if reused := self.world.simulator.evidence.reused_keys:
            yield f"keys used twice: {reused}"
        for one in await self.world.events.seen(EventType.SESSION_DISCONNECTED):
            if one.session == DESK and one.event.payload["cause"] == "internal":
                yield f"a bug: {dict(one.event.payload)}"
        async for problem in self.life.neighbour.problems(undisturbed=self.alone):
            yield problem

    async def counts(self) -> Counter[str]:
        """Return how much was spoilt, and what became of messages."""
        counts = Counter(spoilt=len(self.garbler.spoilt))
        for view in await self.world.stored.messages():
            one = view.message
            if one.text in self.ids:
                counts["received"] += 1
            elif one.key.from_me:
                why = view.failure.code if view.failure else ""
                counts[f"own {one.status} {why}"] += 1
        seen = await self.world.events.seen(
            EventType.MESSAGE_UNREADABLE, EventType.SESSION_DISCONNECTED
        )
        for one in seen:
            what = one.event.payload.get("reason") or one.event.payload.get("cause")
            counts[f"{one.event.type}: {what}"] += 1
        return counts
