"""A session of which the server says odd things for a while, and what has become of it then."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from structlog.testing import capture_logs

from perene.core.events import EventType
from perene.core.messages import Status
from perene.sim import Settings
from perene.sim.connection import Connection
from tests.garble.garbling import Garbler
from tests.moments.life import ANA, BIA, CAIO, OWN, PEOPLE, Life, jid
from tests.support.scratch import made
from tests.support.storage import Health
from tests.support.world import DESK, World

_PRE_KEYS: Final = 30
_STEPS: Final = 25
_OF_AN_OUTAGE: Final = "save_failed"
"""What the log holds of a database that is away; every other error is a bug."""
_OTHERS: Final = (ANA, BIA, CAIO)
_LONG_S: Final = 900.0
"""After so long whatever was asked for in vain is given up, or asked for again."""

Deed = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a telling has ended."""

    problems: Sequence[str]
    """What must not be, whatever the server said."""
    counts: Counter[str]
    """How much was spoilt, and what that cost."""


async def tell(folder: Path, template: Path, *, seed: int) -> Ended:
    """Link a session, have people and it write while stanzas are spoilt, and look at it then.

    The folder is made for it, and is gone in the end.
    """
    with made(folder):
        dice = random.Random(f"garble {seed}")
        settings = Settings(initial_sync=dice.random() < 0.3)
        async with World.open(
            folder, template, settings=settings, seed=seed, first_pre_keys=_PRE_KEYS
        ) as world:
            world.resends_expected = True
            with capture_logs() as lines:
                telling = _Telling(world, dice)
                await telling.tell()
                problems = [problem async for problem in telling.problems()]
            bugs = [
                str(line)
                for line in lines
                if line["log_level"] in ("error", "critical") and line["event"] != _OF_AN_OUTAGE
            ]
            return Ended(problems=[*problems, *bugs], counts=await telling.counts())


class _Telling:
    def __init__(self, world: World, dice: random.Random) -> None:
        self._world = world
        self._dice = dice
        self._life = Life(world)
        self._alone = True
        """Whether nothing has befallen the neighbour, too."""
        self._ids: dict[str, str] = {}
        """The ids of the messages to the session, by their texts."""
        self._garbler = Garbler(dice, share=dice.choice((0.02, 0.1, 0.3)))
        world.network.on_connection = self._listen

    def _listen(self, session: str, connection: Connection) -> None:
        if session != DESK:
            return
        plainly = connection.channel.send_encoded
        self._garbler.connected()

        def send(encoded: bytes) -> None:
            for said in self._garbler.encoded(encoded):
                plainly(said)

        connection.channel.send_encoded = send

    async def tell(self) -> None:
        """Live through it, and then through a while in which all is said well."""
        await self._life.neighbour.link()
        self._garbler.on = self._dice.random() < 0.3
        if self._dice.random() < 0.3:
            self._world.simulator.use_tokens()
        await self._life.linked(typed=self._dice.random() < 0.3)
        self._garbler.on = True
        for step in range(_STEPS):
            await self._dice.choice(self._deeds(step))()
            self._life.neighbour.hear()
            await self._world.pass_time(self._dice.choice((0.2, 1.0, 5.0, 40.0, 90.0)))
        self._garbler.on = False
        await self._world.pass_time(_LONG_S)
        self._world.simulator.disconnect(OWN)
        await self._life.calm()
        await self._world.pass_time(_LONG_S)
        await self._life.calm()
        await self._after_all()

    def _deeds(self, step: int) -> Sequence[Deed]:
        who = self._dice.choice(_OTHERS)
        simulator = self._world.simulator

        async def written() -> None:
            self._write(who, OWN, f"to the desk, {step}")

        async def said() -> None:
            await self._life.say(jid(who), f"from the desk, {step}")

        async def by_phone() -> None:
            self._write(OWN, who, f"by its phone, {step}")

        async def to_group() -> None:
            group = self._life.gather(*_OTHERS[1:])
            self._write(who, group, f"to all, {step}")
            await self._life.say(group, f"from the desk to all, {step}")

        async def changed() -> None:
            self._dice.choice((simulator.change_identity, simulator.lose_ratchets))(who)

        async def moved() -> None:
            group = self._life.gather(*_OTHERS[1:])
            for change in ("remove", "add"):
                simulator.change_group(group, change, [CAIO])

        async def ended() -> None:
            simulator.disconnect(OWN)

        async def read() -> None:
            simulator.mark_read(who, [one.id for one in simulator.person(who).party.reader.inbox])

        async def strangers() -> None:
            for number in range(4):
                stranger = simulator.add_contact(f"55119711{step:03}{number:02}").account.phone
                self._write(stranger, OWN, f"from somebody new, {step} {number}")

        deeds = by_phone, changed, moved, ended, read, strangers, self._hindered
        return (*(written, said, to_group) * 3, *deeds)

    async def _hindered(self) -> None:
        """Let something else go wrong, too."""
        world = self._world
        match self._dice.randrange(5):
            case 0 if world.network.is_connected(DESK):
                await world.network.cut(DESK)
            case 1 if world.network.is_connected(DESK):
                world.network.half_open(DESK)
            case 2:
                self._alone = False
                world.storage.falls_ill(Health.FAILING)
                await world.pass_time(self._dice.choice((1.0, 15.0)))
                world.storage.recovers()
            case 3:
                self._alone = False
                await self._life.finish(world.perene.stop())
                await world.perene.start()
            case 4:
                self._alone = False
                await world.perene.kill()
                await world.perene.start()
            case _:
                pass  # there is no connection to spoil

    def _write(self, sender: str, to: str, text: str) -> None:
        self._ids[text] = self._world.simulator.send_text(sender, to, text)

    async def _after_all(self) -> None:
        """Have everybody write and be written to, once more."""
        group = self._life.gather(*_OTHERS[1:])
        for round_ in range(2):
            for phone in _OTHERS:
                self._write(phone, OWN, f"after all, {phone} {round_}")
                await self._life.say(jid(phone), f"after all, to {phone} {round_}")
            self._write(ANA, group, f"after all, to the group {round_}")
            await self._life.say(group, f"after all, from us to the group {round_}")
            await self._life.calm()
        await self._world.pass_time(100)

    # --- what has become of it --------------------------------------------------------------------

    async def problems(self) -> AsyncIterator[str]:
        """Yield what must not be."""
        views = [view.message for view in await self._world.stored.messages()]
        stored = Counter(str(one.text) for one in views if not one.key.from_me)
        stored += Counter(
            str(one.text) for one in views if one.key.from_me and one.text in self._ids
        )
        unread = {
            str(one.event.payload["message_id"])
            for one in await self._world.events.seen(EventType.MESSAGE_UNREADABLE)
        }
        for text, id_ in self._ids.items():
            if stored[text] > self._names(id_):
                yield f"{text!r} is stored {stored[text]} times"
            if not stored[text] and id_ not in unread and not self._seems_empty(id_):
                yield f"{text!r} is not stored, and nothing is told of it"
            if not stored[text] and text.startswith("after all"):
                yield f"{text!r} is not stored"
        told = Counter(
            str(one.event.payload["text"])
            for one in await self._world.events.seen(EventType.MESSAGE_RECEIVED)
            if one.session == DESK
        )
        if told != stored:
            yield f"told {dict(told - stored)} and did not tell {dict(stored - told)}"
        for one in views:
            if one.key.from_me and one.text not in self._ids:
                for problem in self._sent_badly(str(one.text), one.status):
                    yield problem
        async for problem in self._broken():
            yield problem

    def _names(self, id_: str) -> int:
        """Return under how many ids a message came: nobody can know that it is one."""
        spoilt = [said for was, said in self._garbler.spoilt if was.attrs.get("id") == id_]
        return len({id_, *(one.attrs.get("id", "") for said in spoilt for one in said)})

    def _seems_empty(self, id_: str) -> bool:
        """Tell whether a message came with a key of its group, and without what that is for."""
        for was, said in self._garbler.spoilt:
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
            read = self._world.server.inbox(phone).count(text)
            if read > 1:
                problems.append(f"{phone} read {text!r} {read} times")
            if not read and text in (
                *(f"after all, to {phone} {round_}" for round_ in range(2)),
                *(f"after all, from us to the group {round_}" for round_ in range(2)),
            ):
                problems.append(f"{phone} did not read {text!r}, which is {status}")
        return problems

    async def _broken(self) -> AsyncIterator[str]:
        if reused := self._world.simulator.evidence.reused_keys:
            yield f"keys used twice: {reused}"
        for one in await self._world.events.seen(EventType.SESSION_DISCONNECTED):
            if one.session == DESK and one.event.payload["cause"] == "internal":
                yield f"a bug: {dict(one.event.payload)}"
        async for problem in self._life.neighbour.problems(undisturbed=self._alone):
            yield problem

    async def counts(self) -> Counter[str]:
        """Return how much was spoilt, and what became of messages."""
        counts = Counter(spoilt=len(self._garbler.spoilt))
        for view in await self._world.stored.messages():
            one = view.message
            if one.text in self._ids:
                counts["received"] += 1
            elif one.key.from_me:
                why = view.failure.code if view.failure else ""
                counts[f"own {one.status} {why}"] += 1
        seen = await self._world.events.seen(
            EventType.MESSAGE_UNREADABLE, EventType.SESSION_DISCONNECTED
        )
        for one in seen:
            what = one.event.payload.get("reason") or one.event.payload.get("cause")
            counts[f"{one.event.type}: {what}"] += 1
        return counts
