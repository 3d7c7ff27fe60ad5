"""Perene and a simulated WhatsApp in one process: real engine, store, committer and supervisor.

    async with World.open(folder, template) as world:
        desk = await world.pair("desk")
        ana = world.simulator.add_contact(name="Ana")
        world.simulator.send_text(ana.account.phone, desk, "hello")
        await world.event(EventType.MESSAGE_RECEIVED, text="hello")

Nothing listens, nothing sleeps: waits end by what happens, and time passes by `world.clock`.
"""

import asyncio
import random
import shutil
from collections.abc import AsyncGenerator, Callable, Sequence, Sized
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from perene.app.connections import OwnedStore
from perene.core.account import ReachOutPolicy
from perene.core.errors import StorageError
from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.notices import Observer
from perene.core.sessions import Connection as State
from perene.core.sessions import SessionOptions
from perene.core.unit import Unit
from perene.engine.client_payload import ClientIdentity
from perene.engine.config import EngineConfig
from perene.engine.connection import Connection
from perene.engine.content import readable_fields, text_message
from perene.engine.listening import HearingMemory
from perene.engine.ports import SessionStore
from perene.engine.transport import Endpoint
from perene.sim import Settings, Simulator
from perene.sim.evidence import DeviceCounters
from perene.sim.model import Device
from perene.store.store import Store
from perene.supervisor.desks.account import AccountDesk
from perene.supervisor.desks.events import EventFeed
from perene.supervisor.desks.messages import MessageDesk
from perene.supervisor.desks.sessions import SessionDesk
from perene.supervisor.fleet.supervisor import Supervisor, Versions
from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.ports import MessageView, StoredEvent
from perene.supervisor.storage.committer import Committer, Outcome, SavePolicy
from tests.support.edges import WatchedMetrics, WatchedObserver, WatchedTransport
from tests.support.network import Network
from tests.support.record import PATIENCE_S
from tests.support.storage import Storage
from tests.support.virtual_clock import VirtualClock

DESK = SessionId("desk")


class World:
    """One simulator and one Perene, which can be stopped, killed and started again.

    Every random choice comes from `seed`; it is printed, so that a test that fails shows it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        url: str | None = None,
        settings: Settings | None = None,
        seed: int = 7,
        **config: Any,
    ) -> None:
        print(f"seed {seed}")
        self.seed = seed
        self.clock = VirtualClock()
        self.simulator = Simulator(
            now=self.clock.now_elsewhere,
            seed=seed,
            settings=settings or Settings(initial_sync=False),
        )
        self.network = Network(self.clock, self.simulator)
        self.storage = Storage(self.clock)
        self.clock.on_move = self.simulator.run_due
        self.clock.on_sleep = self.tell
        self.transports: list[WatchedTransport] = []
        """The connections that Perene has not closed, the newest last."""
        self.commit_failures: list[StorageError] = []
        """Errors that the next transactions end with, instead of being made."""
        self.hearing: dict[SessionId, HearingMemory] = {}
        """What each session has learned of its traffic."""
        self.versions: Versions | None = None
        """Where a live client version is found; a change counts from the next start."""
        self.policy = ReachOutPolicy()
        """How new chats are paced; a change counts from the next start."""
        self.start_at_once = 50
        """Places at the start gate; a change counts from the next start."""
        self._folder = folder
        self._url = url or f"sqlite:///{folder / 'perene.db'}"
        self._config = config
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._at_work: set[asyncio.Future[Any]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        template: Path,
        *,
        url: str | None = None,
        settings: Settings | None = None,
        seed: int = 7,
        versions: Versions | None = None,
        **config: Any,
    ) -> AsyncGenerator[Self]:
        """Start on a copy of an empty database, or at a URL; `config` goes to the engine."""
        if url is None:
            shutil.copyfile(template, folder / "perene.db")
        world = cls(folder, url=url, settings=settings, seed=seed, **config)
        world.versions = versions
        await world.start()
        try:
            yield world
        finally:
            await world.stop()

    # --- Perene -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the service; sessions that shall run are started."""
        self._watch_threads()
        self.store = Store.open(
            self._url,
            clock=self.clock,
            key_file=self._folder / "master.key",
        )
        last_life = await self.store.last_life()  # before `storage` counts what is asked
        self.storage.attach(self.store.database)
        self.feed = EventFeed(self.store)
        self.committer = Committer(
            commit=self._commit, clock=self.clock, policy=SavePolicy(), on_commit=self._committed
        )
        self.gate = StartGate(self.clock, at_once=self.start_at_once, per_second=200)
        self.metrics = WatchedMetrics(self.tell)
        self.supervisor = Supervisor(
            last_life=last_life,
            store=self.store,
            open_store=lambda session, epoch, lane: OwnedStore(self.store, session, epoch, lane),
            committer=self.committer,
            connect=self._connect,
            clock=self.clock,
            ring=self._committed,
            rng=random.Random(self.seed),
            versions=self.versions,
            gate=self.gate,
            metrics=self.metrics,
        )
        self.sessions = SessionDesk(self.store, self.supervisor, self.clock, ring=self._committed)
        self.accounts = AccountDesk(
            self.store, self.feed, self.clock, self.policy, ring=self._committed
        )
        self.messages = MessageDesk(
            self.store,
            self.clock,
            compose=lambda text: text_message(text).SerializeToString(),
            read_fields=readable_fields,
            wake=self.supervisor.wake_sender,
            doubt=self.supervisor.doubt,
            admission=self.accounts.admission,
        )
        self._tasks = [
            asyncio.create_task(self.committer.run()),
            asyncio.create_task(self.supervisor.run()),
        ]

    async def stop(self) -> None:
        """Stop as SIGTERM does: drain, commit, close."""
        if not self._tasks:
            return
        committing, supervising = self._tasks
        self.supervisor.close()
        async with asyncio.timeout(PATIENCE_S):
            await supervising
            await self.committer.drained()
        committing.cancel()
        await self._ended()

    async def kill(self) -> None:
        """End at once: nothing is drained, nothing more is sent."""
        for transport in self.transports:
            await transport.inner.close()
        for task in self._tasks:
            task.cancel()
        await self._ended()

    @property
    def is_up(self) -> bool:
        """Whether the service runs."""
        return bool(self._tasks)

    async def restart(self) -> None:
        """Stop, and start again on the same data."""
        await self.stop()
        await self.start()

    def _watch_threads(self) -> None:
        """Keep count of what runs in threads, to know when nothing is under way any more."""
        loop = asyncio.get_running_loop()
        inner = loop.run_in_executor

        def run_in_executor(executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
            future = inner(executor, func, *args)
            self._at_work.add(future)
            future.add_done_callback(self._at_work.discard)
            return future

        if not getattr(loop, "is_watched", False):
            setattr(loop, "is_watched", True)  # noqa: B010  # an event loop has no such attribute
            setattr(loop, "run_in_executor", run_in_executor)  # noqa: B010  # a method

    async def _ended(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.store.close()

    async def _commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        if self.commit_failures and any(unit.messages or unit.ratchets for unit in units):
            raise self.commit_failures.pop(0)
        return await self.store.commit(units)

    def _committed(self) -> None:
        self.feed.ring()
        self.tell()

    def _connect(
        self, store: SessionStore, options: SessionOptions, observer: Observer
    ) -> Connection:
        config = EngineConfig(
            endpoint=Endpoint(url="memory:"),
            root_key=self.simulator.root_key,
            client=ClientIdentity(version=(2, 3000, 1)),
            retry_delay_s=0.0,
        )
        config = replace(config, **self._config)
        return Connection(
            store=store,
            config=config,
            clock=self.clock,
            observer=WatchedObserver(observer, self.tell),
            dial=partial(self._dial, store.session),
            hearing=self.hearing.setdefault(store.session, HearingMemory()),
        )

    async def _dial(self, session: SessionId) -> WatchedTransport:
        transport = WatchedTransport(await self.network.dial(session), self.tell)
        still = [one for one in self.transports if not one.inner.is_closed]
        self.transports = [*still, transport]
        return transport

    # --- waiting ----------------------------------------------------------------------------------

    def tell(self) -> None:
        """Something has happened: whoever waits looks again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def until(self, condition: Callable[[], bool], what: str = "a condition") -> None:
        """Return once a condition holds; it is looked at whenever something has happened."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            found = [(e.event.type.value, dict(e.event.payload)) for e in await self.events()]
            raise AssertionError(f"waited for {what}; the events were {found[-12:]}") from None

    async def settled(self) -> None:
        """Return once everybody waits for time or for the other side: nothing is under way."""
        # Whoever will go on is in the loop's queue, or waits for a thread. To ask the loop is not
        # its public way; to give it many turns instead takes most of a long scenario's time.
        ready: Sized = getattr(asyncio.get_running_loop(), "_ready")  # noqa: B009  # not public
        while True:
            await asyncio.sleep(0)
            if self._at_work:
                await asyncio.wait(self._at_work, return_when=asyncio.FIRST_COMPLETED)
            elif not ready:
                return

    async def pass_time(
        self, seconds: float, *, until: Callable[[], bool] = lambda: False
    ) -> float:
        """Let time pass, and everybody finish what a moment brings before the next one comes.

        It stops early when `until` holds. Returns the seconds that have passed.
        """
        began = self.clock.monotonic()
        await self.settled()
        while not until() and (left := began + seconds - self.clock.monotonic()) > 1e-6:
            await self.clock.advance_to_next(at_most=left)
            await self.settled()
        return self.clock.monotonic() - began

    async def events(self, *types: EventType, since: int = 0) -> Sequence[StoredEvent]:
        """Return every event (of these types) after a position."""
        page = await self.feed.after(since, session=None, types=types, limit=10_000)
        return page.items

    async def now(self) -> int:
        """Return the position behind the last event, to look only at what follows."""
        return await self.feed.latest()

    async def event(
        self, kind: EventType, *, since: int = 0, session: SessionId = DESK, **facts: object
    ) -> StoredEvent:
        """Return the first event of a type with these facts, waiting for it."""
        return (await self.event_many(kind, 1, since=since, session=session, **facts))[0]

    async def event_many(
        self,
        kind: EventType,
        count: int,
        *,
        since: int = 0,
        session: SessionId = DESK,
        **facts: object,
    ) -> Sequence[StoredEvent]:
        """Return the events of a type with these facts, once there are so many."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    changed = self._changed
                    found = [
                        one
                        for one in await self.events(kind, since=since)
                        if one.session == session
                        and all(one.event.payload.get(k) == v for k, v in facts.items())
                    ]
                    if len(found) >= count:
                        return found
                    await changed.wait()
        except TimeoutError:
            seen = [(e.event.type.value, dict(e.event.payload)) for e in await self.events()]
            raise AssertionError(
                f"waited for {count} x {kind} {facts}; the events were {seen[-12:]}"
            ) from None

    # --- conversations ----------------------------------------------------------------------------

    async def pair(self, session: SessionId = DESK, phone: str | None = None) -> str:
        """Create a session, let a phone scan its code, wait until it is open; return its number."""
        await self.sessions.create_session(session, name=None, options=SessionOptions(), start=True)
        qr = await self.sessions.current_qr(session, wait_s=PATIENCE_S)
        device = self.simulator.scan_qr(qr.text, phone)
        await self.event(EventType.SESSION_CONNECTED, session=session)
        return device.account.phone

    async def pair_many(self, count: int, *, at_once: int = 50) -> Sequence[str]:
        """Pair sessions s0, s1, … and return their numbers, in order."""
        names = [SessionId(f"s{number}") for number in range(count)]
        phones: list[str] = []
        for first in range(0, count, at_once):
            batch = names[first : first + at_once]
            for name in batch:
                await self.sessions.create_session(
                    name, name=None, options=SessionOptions(), start=True
                )
            # Those who wait for their turn to connect wait for time to pass.
            await self.pass_time(60, until=lambda batch=batch: self._all_have_codes(batch))
            for name in batch:
                qr = await self.sessions.current_qr(name, wait_s=PATIENCE_S)
                phones.append(self.simulator.scan_qr(qr.text).account.phone)
            await self.pass_time(60, until=lambda batch=batch: self.all_open(batch))
            assert self.all_open(batch), "not all were paired"
        return phones

    def _all_have_codes(self, sessions: Sequence[SessionId]) -> bool:
        return all(self.supervisor.live(session).qr is not None for session in sessions)

    def all_open(self, sessions: Sequence[SessionId]) -> bool:
        """Tell whether the connections of all of these are open."""
        return all(self.state(session) is State.OPEN for session in sessions)

    async def come_back(self, session: SessionId = DESK, *, since: int) -> None:
        """Wait out the delay before the next connection, and wait until that is open."""
        await self.event(EventType.SESSION_DISCONNECTED, since=since, session=session)
        while True:
            changed = self._changed
            ends = await self.events(
                EventType.SESSION_CONNECTED, EventType.SESSION_DISCONNECTED, since=since
            )
            last = [one for one in ends if one.session == session][-1].event
            if last.type is EventType.SESSION_CONNECTED:
                return
            delay = last.payload["retry_in_s"]
            assert isinstance(delay, int | float), f"no attempt will be made: {last}"
            if self.state(session) is State.WAITING and any(
                abs(seconds - delay) < 0.001 for seconds in self.clock.asleep
            ):
                await self.clock.advance(delay)
                continue
            async with asyncio.timeout(PATIENCE_S):
                await changed.wait()

    def state(self, session: SessionId = DESK) -> State:
        """Return the state of a session's connection."""
        return self.supervisor.live(session).connection

    def device(self, phone: str) -> Device:
        """Return the newest companion of a number: the session, seen from the server."""
        return self.simulator.device(phone)

    def counters(self, phone: str) -> DeviceCounters:
        """Return what the simulator counted of a session."""
        return self.simulator.evidence.of(self.device(phone))

    async def answered(self, phone: str) -> None:
        """Wait until the session owes the server no answer."""
        mailbox = self.device(phone).mailbox
        await self.until(lambda: len(mailbox) == 0, "all answers")

    async def send(self, to: str, text: str, *, session: SessionId = DESK) -> str:
        """Send a text by the session; return its id."""
        accepted = await self.messages.send_text(
            session, to=to, text=text, idempotency_key=None, request_hash=b""
        )
        return accepted.message.message.key.id

    async def stored(
        self, chat: str | None = None, *, session: SessionId = DESK
    ) -> Sequence[MessageView]:
        """Return the session's messages, oldest first."""
        page = await self.messages.list_messages(
            session, chat=chat, cursor=None, limit=1000, newest_first=False
        )
        return page.items

    async def texts(
        self, chat: str | None = None, *, session: SessionId = DESK
    ) -> list[str | None]:
        """Return the texts of the session's messages, oldest first."""
        return [view.message.text for view in await self.stored(chat, session=session)]


def inbox(world: World, phone: str) -> list[str | None]:
    """Return the texts that a simulated person has read."""
    return [read.text for read in world.simulator.person(phone).party.reader.inbox]
