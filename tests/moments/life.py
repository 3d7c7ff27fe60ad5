"""Who takes part in a story: people on phones, and a program that repeats what got no answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from perene.core.errors import NotFound, StorageUnavailable
from perene.core.messages import Status
from perene.sim.candidate import PairingRefused
from perene.sim.model import Device
from perene.supervisor.ports import AlreadyExists, AlreadyPaired, PairingNotReady
from perene.wire.node import Node
from tests.moments.neighbour import Neighbour
from tests.support.perene import Bug
from tests.support.record import PATIENCE_S
from tests.support.truth import Truth
from tests.support.world import DESK, World

T = TypeVar("T")

OWN: Final = "5511970000001"
ANA, BIA, CAIO = "5511970000010", "5511970000011", "5511970000012"
PEOPLE: Final = {ANA: "Ana", BIA: "Bia", CAIO: "Caio"}

_LOOK_S: Final = 10.7
"""No part of any time that Perene goes by: what happens then, happens in a moment of its own."""

_LONG_S: Final = 1800.0
"""After so long all is as it should be, whatever has happened."""


def jid(phone: str) -> str:
    """Return the address of a number."""
    return f"{phone}@s.whatsapp.net"


class Life:
    """A story is told from its start after each death of Perene: what people did stays done.

    `written` and `said` are the texts that came to the session, and those that it took to send; no
    two are alike. `truth` is what became of its connections.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.truth = Truth(world)
        self.neighbour = Neighbour(world)
        self.written: list[str] = []
        self.said: list[str] = []
        self.group = ""
        self.has_left = False
        """Whether the session was logged out, or deleted."""
        self._done: set[str] = set()

    # --- the program ------------------------------------------------------------------------------

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask Perene as a program does: let time pass, and ask again if it gets no answer."""
        while True:
            try:
                return await self.finish(question())
            except (StorageUnavailable, PairingNotReady, Bug):
                await self.world.pass_time(1)

    async def finish(self, doing: Awaitable[T]) -> T:
        """Let time pass until something is done, which may wait for that."""
        service = self.world.perene.standstill
        task = asyncio.create_task(_done(doing), context=service.context)
        try:
            await self.world.pass_time(_LONG_S, until=task.done)
            assert task.done(), "it takes for ever"
            return task.result()
        finally:
            if service is self.world.perene.standstill:
                task.cancel()
            else:  # one that was left to itself goes on with what it was asked, and nobody hears it
                task.add_done_callback(_unheard)

    async def say(self, to: str, text: str) -> None:
        """Have the session send a text, under a key of its own."""
        if text in self.said:
            return
        await self.ask(
            lambda: self.world.perene.messages.send_text(
                DESK, to=to, text=text, idempotency_key=text, request_hash=b""
            )
        )
        self.said.append(text)

    async def started(self) -> None:
        """Have the session made, if there is none yet, and started."""
        try:
            await self.ask(self.world.user.create)
        except AlreadyExists:
            await self.ask(lambda: self.world.perene.sessions.start(DESK))

    async def linked(self, *, typed: bool = False) -> None:
        """Have the session made and linked, by a code that is scanned, or typed."""
        await self.started()
        for phone, name in {**PEOPLE, OWN: "We"}.items():
            self.world.simulator.add_contact(phone, name=name)
        began = self.world.clock.monotonic()
        while not self._is_open():
            assert self.world.clock.monotonic() < began + _LONG_S, "it is not linked"
            await self.world.pass_time(1)  # nobody is quicker
            view = await self.ask(lambda: self.world.perene.sessions.session(DESK))
            if view.qr_available:
                with contextlib.suppress(AlreadyPaired, PairingRefused):  # by now, too late
                    await (self._type() if typed else self._scan())
            await self.world.pass_time(4, until=self._is_open)

    async def _scan(self) -> None:
        qr = await self.ask(lambda: self.world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S))
        self.world.simulator.scan_qr(qr.text, OWN)

    async def _type(self) -> None:
        code = await self.ask(lambda: self.world.perene.sessions.request_pairing_code(DESK, OWN))
        self.world.simulator.enter_code(OWN, code)

    async def remove(self) -> None:
        """Have the session deleted, with what it was told and has sent; its device stays linked."""
        with contextlib.suppress(NotFound):  # deleted by then, before the answer was heard
            await self.ask(lambda: self.world.perene.sessions.delete(DESK))
        self.has_left = True
        self.written.clear()
        self.said.clear()
        self.truth.attempts.clear()

    # --- people -----------------------------------------------------------------------------------

    def once(self, what: str) -> bool:
        """Tell whether something is to be done: the first time it is."""
        first = what not in self._done
        self._done.add(what)
        return first

    def write(self, sender: str, to: str, *texts: str) -> None:
        """Let somebody write, once."""
        for text in texts:
            if self.once(text):
                self.written.append(text)
                self.world.simulator.send_text(sender, to, text)

    def put(self, text: str, stanza: Callable[[str], Node]) -> None:
        """Let the server deliver the stanza that is made of a text, once."""
        if self.once(text):
            self.written.append(text)
            self.world.simulator.inject(OWN, stanza(text))

    def gather(self, *members: str) -> str:
        """Let Ana make a group with the session, once; return its address."""
        if self.once("the group"):
            group = self.world.simulator.create_group("Club", ANA, [*members, OWN])
            self.group = group.jid
        return self.group

    @property
    def device(self) -> Device:
        """The session as the server knows it."""
        return self.world.server.device(OWN)

    # --- time -------------------------------------------------------------------------------------

    async def calm(self) -> None:
        """Let time pass until the session is open, and nothing is on its way to it or from it."""
        began = self.world.clock.monotonic()
        self.neighbour.hear()
        while True:
            await self.world.pass_time(_LOOK_S)
            if self._is_open() and len(self.device.mailbox) == 0:
                stored = await self.ask(self.world.stored.messages)
                if all(view.message.status is not Status.QUEUED for view in stored):
                    return
            assert self.world.clock.monotonic() < began + _LONG_S, await self.world.explain()

    def _is_open(self) -> bool:
        return self.world.perene.is_up and self.world.perene.all_open([DESK])


def _unheard(task: "asyncio.Task[T]") -> None:
    if not task.cancelled():
        task.exception()


async def _done(doing: Awaitable[T]) -> T:
    return await doing
