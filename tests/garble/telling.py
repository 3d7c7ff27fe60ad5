"""A life of a session of which the server says odd things for a while."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from structlog.testing import capture_logs

from perene.sim import Settings
from perene.sim.connection import Connection
from tests.garble.garbling import Garbler
from tests.garble.outcome import AT_LAST, ROUNDS, Told, to_group, to_person
from tests.moments.life import ANA, BIA, CAIO, OWN, Life, jid
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
                garbler = Garbler(dice, share=dice.choice((0.02, 0.1, 0.3)))
                told = Told(world=world, life=Life(world), garbler=garbler)
                await _Telling(told, dice).tell()
                problems = [problem async for problem in told.problems()]
            bugs = [
                str(line)
                for line in lines
                if line["log_level"] in ("error", "critical") and line["event"] != _OF_AN_OUTAGE
            ]
            return Ended(problems=[*problems, *bugs], counts=await told.counts())


class _Telling:
    def __init__(self, told: Told, dice: random.Random) -> None:
        self._told = told
        self._world = world = told.world
        self._dice = dice
        self._life = told.life
        self._garbler = told.garbler
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
                self._told.alone = False
                world.storage.falls_ill(Health.FAILING)
                await world.pass_time(self._dice.choice((1.0, 15.0)))
                world.storage.recovers()
            case 3:
                self._told.alone = False
                await self._life.finish(world.perene.stop())
                await world.perene.start()
            case 4:
                self._told.alone = False
                await world.perene.kill()
                await world.perene.start()
            case _:
                pass  # there is no connection to spoil

    def _write(self, sender: str, to: str, text: str) -> None:
        self._told.ids[text] = self._world.simulator.send_text(sender, to, text)

    async def _after_all(self) -> None:
        """Have everybody write and be written to, once more."""
        group = self._life.gather(*_OTHERS[1:])
        for round_ in ROUNDS:
            for phone in _OTHERS:
                self._write(phone, OWN, f"{AT_LAST}, {phone} {round_}")
                await self._life.say(jid(phone), to_person(phone, round_))
            self._write(ANA, group, f"{AT_LAST}, to the group {round_}")
            await self._life.say(group, to_group(round_))
            await self._life.calm()
        await self._world.pass_time(100)
