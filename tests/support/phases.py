"""The phases of a connection: how a session gets to each, and how it can be ended there."""

import asyncio
from collections.abc import Iterable

from perene.core.ids import SessionId
from tests.support.phase import BAN_S, After, Phase, Way


class Connecting(Phase):
    """From the dial to the end of the Noise handshake."""

    async def arrive(self) -> None:
        await self.open_all()
        await self.stop_all()
        self.send(self.meanwhile)

    async def end(self) -> None:
        for way, name in self.names.items():
            assert way.weather is not None
            self.world.network.befall(name, way.weather)
        await self.start(self.ways)

    def ended(self, names: Iterable[SessionId]) -> None:
        for name in names:
            self.world.network.clear(name)


class LoggingIn(Phase):
    """From the end of the handshake to the last step of the login."""

    async def arrive(self) -> None:
        await self.open_all()
        await self.stop_all()
        self.send(self.meanwhile)
        for way, phone in self.phones.items():
            if way.how is None:
                self.world.simulator.add_fault("iq_drop", phone=phone, xmlns="passive")
            elif (way.how, way.code) == ("failure", 402):
                self.world.simulator.add_fault(
                    "refuse_login", phone=phone, reason=402, code=101, expire=BAN_S
                )
            else:
                self.world.simulator.add_fault(
                    "refuse_login", phone=phone, how=way.how, code=way.code
                )

    async def end(self) -> None:
        await self.start(self.ways)


class OfflineDelivery(Phase):
    """While the server delivers what it kept."""

    meanwhile = tuple(f"queued {number}" for number in range(8))

    async def arrive(self) -> None:
        await self.open_all()
        await self.stop_all()
        self.send(self.meanwhile)
        for way, phone in self.phones.items():
            self.world.simulator.add_fault("close_after", phone=phone, how=way.how, code=way.code)

    async def end(self) -> None:
        await self.start(self.ways)


class Open(Phase):
    """While the connection is open and stable."""

    async def arrive(self) -> None:
        await self.open_all()

    async def end(self) -> None:
        for way, phone in self.phones.items():
            match way.name:
                case "reset":
                    await self.world.network.cut(self.names[way])
                case "half-open":
                    self.world.network.half_open(self.names[way])
                case "stuck":
                    self.world.network.stick(self.names[way])
                case _:
                    assert way.how is not None
                    self.world.simulator.disconnect(phone, way.how, way.code)
        self.send(self.meanwhile)


class Draining(Phase):
    """While the session is being stopped, and what it took is being stored."""

    async def arrive(self) -> None:
        await self.open_all()

    async def end(self) -> None:
        world = self.world
        world.perene.commits.hold()
        self.send(self.meanwhile)
        await world.settled()
        turning = [asyncio.create_task(self.turn(name)) for name in self.names.values()]
        await world.settled()
        for way, name in self.names.items():
            assert world.network.open_now(name) == 1, "it drains"
            assert way.how is not None
            world.network.wire(name).server_side.end_by(way.how, way.code)
        await world.pass_time(11)
        assert all(world.network.open_now(name) == 0 for name in self.names.values())
        world.perene.commits.release()
        await asyncio.gather(*turning)

    async def turn(self, name: SessionId) -> None:
        """Let a person do what makes a session drain."""
        await self.world.perene.sessions.stop(name)

    async def wait_for_the_patient(self) -> None:
        """Nobody comes back by itself."""
        await self.world.pass_time(60)


class Restarting(Draining):
    """The same, but a new connection follows at once."""

    async def turn(self, name: SessionId) -> None:
        await self.world.perene.sessions.restart(name)


class Pairing(Phase):
    """While a code is shown, or in place of the offer to pair."""

    before = ()
    meanwhile = ()

    async def arrive(self) -> None:
        pass

    async def end(self) -> None:
        refused = [way for way in self.ways if way.how == "failure"]
        for way in refused:
            self.world.simulator.add_fault("refuse_pairing", how=way.how, code=way.code)
            await self.world.user.create(self.names[way])
            await self.world.pass_time(1, until=lambda: not self.world.simulator.faults)
        others = [way for way in self.ways if way.how != "failure"]
        for way in others:
            await self.world.user.create(self.names[way])
        await self.pass_until(lambda: all(self.has_code(way) for way in others))
        for way in others:
            if way.how is not None:
                wire = self.world.network.wire(self.names[way])
                wire.server_side.end_by(way.how, way.code)

    def is_up_to(self, way: Way) -> bool:
        if way.after is After.BACK:
            return self.has_code(way)
        return super().is_up_to(way)


class _ByCode(Phase):
    """Pairing by a code that is shown to a person, who types it on the phone."""

    async def show_code(self, way: Way) -> str:
        """Ask for a code to type on the phone of a session; return it."""
        phone = self.phones.setdefault(way, self._number_of(way))
        return await self.world.perene.sessions.request_pairing_code(self.names[way], phone)

    async def scan(self, way: Way) -> None:
        self.world.simulator.enter_code(self.phones[way], await self.show_code(way))

    def _number_of(self, way: Way) -> str:
        return f"5511977{self.ways.index(way):06}"


class CodeShown(_ByCode, Pairing):
    """While a code to type is shown."""

    async def end(self) -> None:
        await self.create_all()
        for way in self.ways:
            await self.proceed(way, await self.show_code(way))
            if way.how is not None:
                wire = self.world.network.wire(self.names[way])
                wire.server_side.end_by(way.how, way.code)

    async def proceed(self, way: Way, code: str) -> None:
        """Let the phone go as far as the phase does."""


class CodeTyped(CodeShown):
    """Just when the code has been typed, before the device has answered the phone."""

    async def proceed(self, way: Way, code: str) -> None:
        self.world.simulator.enter_code(self.phones[way], code)


class CodeHalfWay(CodeShown):
    """When the device has answered the phone, which says no more: the code was mistyped."""

    async def proceed(self, way: Way, code: str) -> None:
        phone = self.phones[way]
        self.world.simulator.enter_code(phone, "1111-1111")
        await self.world.settled()
        assert self.world.simulator.service.pairing.codes.state(phone) == "wrong"


class Linked(Phase):
    """After a phone has scanned the code, where the server tells to restart."""

    before = ()

    async def arrive(self) -> None:
        await self.create_all()
        for number, way in enumerate(self.ways):
            phone = f"5511988{number:06}"
            self.phones[way] = phone
            if way.code != 515:
                self.world.simulator.add_fault(
                    "end_linking", phone=phone, how=way.how, code=way.code
                )

    async def end(self) -> None:
        for way in self.ways:
            await self.scan(way)
        await self.world.settled()
        self.send(self.meanwhile)


class LinkedByCode(_ByCode, Linked):
    """The same, by a code that was typed."""
