"""Who uses Perene: creates sessions, scans their codes with a phone, and has them send."""

from collections.abc import Sequence

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.sessions import SessionOptions
from perene.sim import Simulator
from tests.support.events import Events
from tests.support.passing import PassingTime
from tests.support.perene import DESK, Perene
from tests.support.record import PATIENCE_S


class User:
    """Somebody with phones in hand, at Perene's API."""

    def __init__(
        self, perene: Perene, events: Events, simulator: Simulator, time: PassingTime
    ) -> None:
        self._perene = perene
        self._events = events
        self._simulator = simulator
        self._time = time

    async def create(self, session: SessionId = DESK) -> None:
        """Create a session that starts."""
        await self._perene.sessions.create_session(
            session, name=None, options=SessionOptions(), start=True
        )

    async def pair(self, session: SessionId = DESK, phone: str | None = None) -> str:
        """Create a session, scan its code, wait until it is open; return the phone's number."""
        await self.create(session)
        number = await self._scan(session, phone)
        await self._events.wait(EventType.SESSION_CONNECTED, session=session)
        return number

    async def pair_many(self, count: int, *, at_once: int = 50) -> Sequence[str]:
        """Pair sessions s0, s1, … and return their numbers, in order."""
        names = [SessionId(f"s{number}") for number in range(count)]
        phones: list[str] = []
        for first in range(0, count, at_once):
            batch = names[first : first + at_once]
            for name in batch:
                await self.create(name)
            # Those who wait for their turn to connect wait for time to pass.
            await self._time.pass_time(60, until=lambda batch=batch: self._all_have_codes(batch))
            phones += [await self._scan(name) for name in batch]
            await self._time.pass_time(60, until=lambda batch=batch: self._perene.all_open(batch))
            assert self._perene.all_open(batch), "not all were paired"
        return phones

    async def send(self, to: str, text: str, *, session: SessionId = DESK) -> str:
        """Send a text by the session; return its id."""
        accepted = await self._perene.messages.send_text(
            session, to=to, text=text, idempotency_key=None, request_hash=b""
        )
        return accepted.message.message.key.id

    async def _scan(self, session: SessionId, phone: str | None = None) -> str:
        qr = await self._perene.sessions.current_qr(session, wait_s=PATIENCE_S)
        return self._simulator.scan_qr(qr.text, phone).account.phone

    def _all_have_codes(self, sessions: Sequence[SessionId]) -> bool:
        return all(
            self._perene.supervisor.roster.live(session).qr is not None for session in sessions
        )
