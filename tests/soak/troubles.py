"""What goes wrong, for one session or for all; each says how long it lasts."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from perene.core.ids import SessionId
from perene.sim.endings import Ending
from tests.soak.plan import DAY, HOUR, MINUTE, Dice
from tests.support.storage import Health
from tests.support.world import World

Ended = Callable[[], Awaitable[None]]
"""Puts right what went wrong."""

_DRAINED_S = 15.0
"""In which a service has ended, whatever the network does; a connection drains for 10 s."""


async def _nothing() -> None:
    """What ends by itself, or by what Perene does."""


class Troubles:
    """Troubles of one session. Each returns how long it lasts, and what ends it."""

    def __init__(self, world: World, dice: Dice) -> None:
        self._world = world
        self._sim = world.simulator
        self._dice = dice
        self.kinds: dict[str, tuple[float, Callable[[SessionId, str], Awaitable[_Lasting]]]] = {
            "cut": (3.0, self._cut),
            "half_open": (1.0, self._half_open),
            "stream_end": (3.0, self._stream_end),
            "stream_error": (3.0, self._stream_error),
            "515_storm": (1.5, self._restarts),
            "login_refused": (2.0, self._login_refused),
            "login_refused_for_good": (0.3, self._refused_for_good),
            "ban": (0.7, self._ban),
            "replaced": (0.5, self._replaced),
            "unlinked": (0.3, self._unlinked),
            "deaf": (0.5, self._deaf),
            "silent": (0.5, self._silent),
            "slow_or_lost_query": (1.0, self._lost_query),
            "message_fault": (4.0, self._message_fault),
            "lost_answer": (1.5, self._lost_answer),
            "phone_off": (0.7, self._phone_off),
            "stopped_by_person": (0.7, self._stopped),
        }

    async def befall(self, kind: str, session: SessionId, phone: str) -> "_Lasting":
        """Let a trouble begin."""
        return await self.kinds[kind][1](session, phone)

    def draw(self) -> str:
        """Return a kind of trouble; harmless ones are more frequent, as in life."""
        return self._dice.one_of(list(self.kinds), [weight for weight, _ in self.kinds.values()])

    async def _cut(self, session: SessionId, phone: str) -> "_Lasting":
        if self._world.network.is_connected(session):
            await self._world.network.cut(session)
        return _PASSING

    async def _half_open(self, session: SessionId, phone: str) -> "_Lasting":
        if self._world.network.is_connected(session):
            stuck = self._dice.number(0, 1)
            (self._world.network.stick if stuck else self._world.network.half_open)(session)
        return _PASSING

    async def _stream_end(self, session: SessionId, phone: str) -> "_Lasting":
        ways: list[Ending] = ["close", "xmlstreamend", "ack", "xml_not_well_formed", "conflict"]
        self._sim.disconnect(phone, self._dice.one_of(ways))
        return _PASSING

    async def _stream_error(self, session: SessionId, phone: str) -> "_Lasting":
        code = self._dice.one_of([503, 500, 429, 515, 400, 0, 999])
        self._sim.disconnect(phone, "stream_error", code)
        return _PASSING

    async def _restarts(self, session: SessionId, phone: str) -> "_Lasting":
        count = self._dice.number(1, 9)
        self._sim.add_fault("refuse_login", phone=phone, how="stream_error", code=515, count=count)
        self._sim.disconnect(phone, "stream_error", 515)
        return _PASSING

    async def _login_refused(self, session: SessionId, phone: str) -> "_Lasting":
        reason, count = self._dice.one_of([500, 503, 429, 400, 501]), self._dice.number(1, 4)
        self._sim.add_fault("refuse_login", phone=phone, reason=reason, count=count)
        self._sim.disconnect(phone, "close")
        return _PASSING

    async def _refused_for_good(self, session: SessionId, phone: str) -> "_Lasting":
        reason = self._dice.one_of([401, 403, 406, 409, 415])
        self._sim.add_fault("refuse_login", phone=phone, reason=reason)
        self._sim.disconnect(phone, "close")
        return _PASSING

    async def _ban(self, session: SessionId, phone: str) -> "_Lasting":
        lasts = self._dice.between(10 * MINUTE, 2 * DAY)
        code = self._dice.number(101, 106)
        self._sim.ban(phone, timedelta(seconds=lasts), code)
        return lasts, _nothing

    async def _replaced(self, session: SessionId, phone: str) -> "_Lasting":
        self._sim.disconnect(phone, "replaced")
        return _PASSING

    async def _unlinked(self, session: SessionId, phone: str) -> "_Lasting":
        if self._sim.person(phone).account.companions:
            self._sim.unlink(phone)
        return _PASSING

    async def _deaf(self, session: SessionId, phone: str) -> "_Lasting":
        self._sim.add_fault("deaf", phone=phone)
        return _PASSING

    async def _silent(self, session: SessionId, phone: str) -> "_Lasting":
        self._sim.add_fault("silence", phone=phone)
        return _PASSING

    async def _lost_query(self, session: SessionId, phone: str) -> "_Lasting":
        if self._dice.number(0, 1):
            self._sim.add_fault("iq_drop", phone=phone)
        else:
            self._sim.add_fault("iq_delay", phone=phone, seconds=self._dice.between(1, 300))
        self._sim.disconnect(phone, "close")
        return _PASSING

    async def _message_fault(self, session: SessionId, phone: str) -> "_Lasting":
        kind = self._dice.one_of(
            ["corrupt", "duplicate", "reorder", "close_after", "half_frames", "paired_frames"]
        )
        self._sim.add_fault(kind, phone=phone)  # pyright: ignore[reportArgumentType]  # a literal
        self._world.resends_expected |= kind == "corrupt"
        return _PASSING

    async def _lost_answer(self, session: SessionId, phone: str) -> "_Lasting":
        self._sim.add_fault("lost_ack" if self._dice.number(0, 1) else "lost_message", phone=phone)
        return _PASSING

    async def _phone_off(self, session: SessionId, phone: str) -> "_Lasting":
        self._sim.set_online(phone, online=False)

        async def back() -> None:
            self._sim.set_online(phone, online=True)

        return self._dice.between(HOUR, 16 * DAY), back

    async def _stopped(self, session: SessionId, phone: str) -> "_Lasting":
        if not self._world.perene.is_up or self._world.storage.is_ill:
            return _PASSING
        await self._world.perene.sessions.stop(session)
        return _PASSING


_Lasting = tuple[float, Ended]
_PASSING: _Lasting = (0.0, _nothing)


class Disasters:
    """Troubles of all. One of a kind at a time: there is one network, one database, one Perene."""

    def __init__(self, world: World, dice: Dice) -> None:
        self._world = world
        self._dice = dice
        self._going_on: set[str] = set()
        self.kinds: dict[str, tuple[float, Callable[[], Awaitable[_Lasting]]]] = {
            "network_down": (1.0, self._network_down),
            "network_flaps": (0.7, self._network_flaps),
            "dns": (1.0, self._dns),
            "tls": (0.5, self._tls),
            "connects_stall": (0.5, self._connects_stall),
            "handshakes_stall": (0.5, self._handshakes_stall),
            "server_restart": (1.5, self._server_restart),
            "database_outage": (1.5, self._database),
            "perene_killed": (1.5, self._killed),
            "perene_restarted": (1.5, self._restarted),
            "clock_jump": (1.0, self._clock_jump),
        }

    async def strike(self) -> tuple[str, "_Lasting"] | None:
        """Let something begin; None if one of its kind goes on already."""
        kind = self._dice.one_of(list(self.kinds), [weight for weight, _ in self.kinds.values()])
        place = _PLACES.get(kind, "network")
        if place in self._going_on:
            return None
        self._going_on.add(place)
        lasts, end = await self.kinds[kind][1]()

        async def over() -> None:
            await end()
            self._going_on.discard(place)

        return kind, (lasts, over)

    def _length(self, longest: float = 2 * HOUR) -> float:
        return self._dice.between(5.0, longest)

    async def _up(self) -> None:
        self._world.network.up()

    async def _network_down(self) -> "_Lasting":
        await self._world.network.down()
        return self._length(6 * HOUR), self._up

    async def _network_flaps(self) -> "_Lasting":
        flapping = self._world.network.flap(self._dice.between(10.0, 5 * MINUTE))
        flapping.__enter__()

        async def over() -> None:
            flapping.__exit__(None, None, None)

        return self._dice.between(5 * MINUTE, 20 * MINUTE), over

    async def _dns(self) -> "_Lasting":
        self._world.network.dns_broken()
        await self._world.network.cut_all()
        return self._length(), self._up

    async def _tls(self) -> "_Lasting":
        self._world.network.tls_broken()
        await self._world.network.cut_all()
        return self._length(), self._up

    async def _connects_stall(self) -> "_Lasting":
        self._world.network.stall_connect()
        await self._world.network.cut_all()
        return self._length(), self._up

    async def _handshakes_stall(self) -> "_Lasting":
        self._world.network.stall_handshake()
        await self._world.network.cut_all()
        return self._length(), self._up

    async def _server_restart(self) -> "_Lasting":
        self._world.network.refuse()
        await self._world.network.cut_all()
        return self._length(15 * MINUTE), self._up

    async def _database(self) -> "_Lasting":
        health = self._dice.one_of([Health.FAILING, Health.HANGING, Health.MUTE])
        self._world.storage.falls_ill(health)

        async def well() -> None:
            self._world.storage.recovers()

        return self._length(HOUR), well

    async def _killed(self) -> "_Lasting":
        if not self._world.storage.is_ill:
            # As a service does every 15 s: it was alive till then.
            await self._world.perene.store.probe()
        await self._world.perene.kill()
        return self._dice.between(1.0, HOUR), self._world.perene.start

    async def _restarted(self) -> "_Lasting":
        if self._world.storage.is_ill:
            await self._world.perene.kill()  # it would wait for the database to drain
        else:
            stopping = asyncio.create_task(self._world.perene.stop())
            # A socket that takes nothing is drained until its time is over.
            await self._world.pass_time(_DRAINED_S, until=stopping.done)
            await stopping
        return self._dice.between(1.0, HOUR), self._world.perene.start

    async def _clock_jump(self) -> "_Lasting":
        jump = self._dice.one_of([-1, 1]) * self._dice.between(10.0, HOUR)
        self._world.clock.jump(jump)

        async def back() -> None:
            self._world.clock.jump(-jump)

        return self._length(), back


_PLACES = {
    "database_outage": "perene",
    "perene_killed": "perene",
    "perene_restarted": "perene",
    "clock_jump": "clock",
}
"""What cannot be struck twice; the database and Perene together: a dead one does not notice."""
