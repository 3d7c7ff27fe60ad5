"""The person of a soak, who does what only a person can."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from perene.core.causes import Cause
from perene.core.ids import SessionId
from perene.core.sessions import Connection as State
from perene.sim.candidate import PairingRefused
from perene.supervisor.ports import AlreadyPaired, NotRunning, PairingNotReady
from tests.support.world import World

Action = Callable[[], Awaitable[None]]

_SCANS_AFTER_S = 30.0
_NEEDS_A_PERSON = (State.NEEDS_ATTENTION, State.PAIRING, State.STOPPED)


class Person:
    """Looks after sessions that need somebody. `later` does something after so many seconds."""

    def __init__(
        self,
        world: World,
        names: Sequence[SessionId],
        phones: Mapping[SessionId, str],
        *,
        later: Callable[[float, Action], None],
    ) -> None:
        self._world = world
        self._names = names
        self._phones = phones
        self._later = later
        self._needed: set[SessionId] = set()

    async def looks(self) -> None:
        """Start what was stopped, and scan what asks for it, at the second look."""
        states = {name: self._world.perene.state(name) for name in self._names}
        uncoded = {name for name in self._names if self._waits_for_its_phone(name)}
        needy = {name for name, state in states.items() if state in _NEEDS_A_PERSON} | uncoded
        for name in [name for name in self._names if name in needy & self._needed]:
            if states[name] is State.PAIRING:
                await self._scan(name)
            elif name in uncoded:
                await self._ask_for_a_code(name)
            else:
                await self._world.perene.sessions.start(name)
        self._needed = needy

    def _waits_for_its_phone(self, session: SessionId) -> bool:
        """Tell whether a session shows no code at present, because nobody scanned the last."""
        live = self._world.perene.live(session)
        return live.connection is State.WAITING and live.outlook.cause is Cause.PAIRING_EXPIRED

    async def _ask_for_a_code(self, session: SessionId) -> None:
        """Whoever asks for a code gets one at once; a moment later it is scanned."""
        with contextlib.suppress(PairingNotReady, NotRunning, AlreadyPaired):
            await self._world.perene.sessions.current_qr(session, wait_s=0)
        self._later(_SCANS_AFTER_S, lambda: self._scan(session))

    async def _scan(self, session: SessionId) -> None:
        if not self._world.perene.is_up:
            return
        qr = self._world.perene.live(session).qr
        if qr is None:
            return
        phone, simulator = self._phones[session], self._world.simulator
        simulator.set_online(phone, online=True)
        for companion in simulator.person(phone).account.companions:
            simulator.unlink(phone, companion.id)
        try:
            simulator.scan_qr(qr.text, phone)
        except PairingRefused:
            return  # the code was over; the next look finds another
