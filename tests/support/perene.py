"""The service's side of a world: one Perene in this process, stopped, killed and started again."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from perene.app.owned_stores import OwnedStores
from perene.core.account import ReachOutPolicy
from perene.core.ids import CommitId, SessionId
from perene.core.notices import Observer
from perene.core.policy import POLICIES
from perene.core.sessions import Connection as State
from perene.core.sessions import SessionOptions
from perene.core.unit import Outcome, Unit
from perene.engine.client_payload import ClientIdentity
from perene.engine.config import EngineConfig
from perene.engine.connection import Connection
from perene.engine.content import readable_fields, text_message
from perene.engine.endpoint import Endpoint
from perene.engine.listening import HearingMemory
from perene.engine.ports import SessionStore
from perene.store import ownership
from perene.store.database import Database
from perene.store.store import Store
from perene.supervisor.desks.account import AccountDesk
from perene.supervisor.desks.events import EventFeed
from perene.supervisor.desks.messages import MessageDesk
from perene.supervisor.desks.sessions import SessionDesk
from perene.supervisor.fleet.owner import StoreOwner, Versions
from perene.supervisor.fleet.supervisor import Supervisor
from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.session.live import LiveState
from perene.supervisor.session.means import Means
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy, Saver
from perene.supervisor.storage.sweeper import Sweeper
from tests.support.commits import Commits
from tests.support.database_line import DatabaseLine
from tests.support.edges import WatchedMetrics, WatchedObserver, WatchedTransport
from tests.support.former import Former
from tests.support.hold import Hold, Holder
from tests.support.network import Network
from tests.support.passing import PassingTime
from tests.support.record import PATIENCE_S
from tests.support.shipped import START_AT_ONCE, START_PER_SECOND
from tests.support.standstill import Standstill
from tests.support.storage import Storage

DESK = SessionId("desk")
"""The session of scenarios that need but one."""


def engine_config(root_key: bytes, **changed: Any) -> EngineConfig:
    """Return how connections of a world are made; nothing of it is delayed unless changed."""
    config = EngineConfig(
        endpoint=Endpoint(url="memory:"),
        root_key=root_key,
        client=ClientIdentity(version=(2, 3000, 1)),
        retry_delay_s=0.0,
    )
    return replace(config, **changed)


class Bug(Exception):
    """What nobody can have foreseen."""


class Dice(random.Random):
    """Chance, of which a bug can come: whoever draws next when it is `loaded` raises it."""

    loaded = False

    def random(self) -> float:
        if self.loaded:
            self.loaded = False
            raise Bug
        return super().random()


class Perene:
    """Real engine, store, committer, supervisor and desks, made anew at each `start`.

    `config` goes to the engine. What is made at a start and what it is made from are public: a
    scenario asks the desks, as the API does, and looks at what it is about.
    """

    def __init__(
        self,
        time: PassingTime,
        network: Network,
        storage: Storage,
        *,
        folder: Path,
        url: str,
        root_key: bytes,
        seed: int,
        versions: Versions | None,
        config: dict[str, Any],
    ) -> None:
        self.commits = Commits()
        self.transports: list[WatchedTransport] = []
        """The connections that Perene has not closed, the newest last."""
        self.hearing: dict[SessionId, HearingMemory] = {}
        """What each session has learned of its traffic."""
        self.versions = versions
        """Where a live client version is found; a change counts from the next start."""
        self.policy = ReachOutPolicy()
        """How new chats are paced; a change counts from the next start."""
        self.start_at_once = START_AT_ONCE
        """Places at the start gate; a change counts from the next start."""
        self.start_per_second = START_PER_SECOND
        """How many the gate lets begin in a second; a change counts from the next start."""
        self._time = time
        self._clock = time.clock
        self._network = network
        self._storage = storage
        self._folder = folder
        self._url = url
        self._seed = seed
        self._config = engine_config(root_key, **config)
        self._hold = Hold()
        self.standstill: Standstill
        """What the tasks of the service that runs are known by."""
        self._tasks: list[asyncio.Task[None]] = []

    # --- its life ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the service; sessions that shall run are started."""
        self.store = Store.open(
            self._url,
            clock=self._clock,
            key_file=self._folder / "master.key",
            guard=(holder := Holder(self._hold, self._clock)).guard,
        )
        holder.take()
        self._holder = holder
        self.standstill = Standstill()
        last_life = await self.store.last_life()  # before `storage` counts what is asked
        self._storage.attach(self.store.database)
        self._line = DatabaseLine(self.store.database, self._clock)
        self.committer = Committer(
            Saver(
                commit=partial(self._commit, self.store),
                recall=self.store.recall,
                clock=self._clock,
                policy=SavePolicy(),
            ),
            on_commit=self._committed,
        )
        self.retries = Retries(self._clock, SavePolicy())
        self.patient_store = self.store.asked_by(self.retries.ask)
        self.feed = EventFeed(self.patient_store)
        self.gate = StartGate(
            self._clock, at_once=self.start_at_once, per_second=self.start_per_second
        )
        self.sweeper = Sweeper(partial(self.retries.ask, self.store.remove_remains), self._clock)
        self.dice = Dice(self._seed)
        """What delays are drawn with."""
        self.metrics = WatchedMetrics(self._time.ring)
        self.supervisor = Supervisor(
            self.store,
            self._means(),
            self.retries,
            ring=self._committed,
            reach=self._network.is_reached,
            last_life=last_life,
            forget=lambda _: self.sweeper.ring(),
        )
        self._open_desks()
        self._tasks = [
            asyncio.create_task(life, context=self.standstill.context)
            for life in (self.committer.run(), self.supervisor.run(), self.sweeper.run())
        ]

    def _means(self) -> Means:
        owner = StoreOwner(
            store=self.store,
            open_store=OwnedStores(self.patient_store),
            committer=self.committer,
            clock=self._clock,
            policies=POLICIES,
            versions=self.versions,
            ring=self._committed,
        )
        return Means(
            ownership=owner,
            connect=partial(self._connect, self.hearing, self.transports),
            gate=self.gate,
            clock=self._clock,
            rng=self.dice,
            metrics=self.metrics,
            policies=POLICIES,
        )

    def _open_desks(self) -> None:
        self.sessions = SessionDesk(
            self.patient_store,
            self.supervisor,
            self._clock,
            self.retries,
            at_once=self.store,
            ring=self._committed,
        )
        self.accounts = AccountDesk(
            self.patient_store,
            self.feed,
            self._clock,
            self.policy,
            self.retries,
            ring=self._committed,
        )
        self.messages = MessageDesk(
            self.patient_store,
            self._clock,
            self.retries,
            compose=lambda text: text_message(text).SerializeToString(),
            read_fields=readable_fields,
            wake=self.supervisor.roster.wake_sender,
            doubt=self.supervisor.doubt,
            admission=self.accounts.admission,
        )

    async def stop(self) -> None:
        """Stop as SIGTERM does: drain, commit, close."""
        if not self._tasks:
            return
        committing, supervising, sweeping = self._tasks
        self.supervisor.close()
        async with asyncio.timeout(PATIENCE_S):
            await supervising
            await self.committer.drained()
        committing.cancel()
        sweeping.cancel()
        await self._ended()

    async def kill(self) -> None:
        """End at once: nothing is drained, nothing more is sent."""
        for transport in self.transports:
            await transport.inner.close()
        for task in self._tasks:
            task.cancel()
        await self._ended()

    def leave(self) -> Former:
        """Leave the service that runs to itself: the next start makes another one beside it."""
        former = Former(
            self._clock,
            store=self.store,
            supervisor=self.supervisor,
            committer=self.committer,
            tasks=self._tasks,
            transports=self.transports,
            holder=self._holder,
            line=self._line,
            standstill=self.standstill,
        )
        self._tasks, self.transports, self.hearing = [], [], {}
        self.standstill = Standstill()
        return former

    @property
    def is_left(self) -> bool:
        """Whether it is the turn of a service that was left to itself."""
        return Standstill.present() not in (None, self.standstill)

    def lose_hold(self) -> None:
        """Let the server give up the hold of whoever has it."""
        self._hold.lapse()

    async def restart(self) -> None:
        """Stop, and start again on the same data."""
        await self.stop()
        await self.start()

    @property
    def is_up(self) -> bool:
        """Whether the service runs."""
        return bool(self._tasks)

    async def _ended(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.store.close()

    # --- its sessions -----------------------------------------------------------------------------

    def live(self, session: SessionId = DESK) -> LiveState:
        """Return the live half of a session."""
        return self.supervisor.roster.live(session)

    def state(self, session: SessionId = DESK) -> State:
        """Return the state of a session's connection."""
        return self.live(session).connection

    @property
    def knows_all(self) -> bool:
        """Whether it has read what sessions there are."""
        return self.supervisor.roster.remembered is not None

    def all_open(self, sessions: Sequence[SessionId]) -> bool:
        """Tell whether the connections of all of these are open."""
        return all(self.state(session) is State.OPEN for session in sessions)

    def lose_to_another(self, session: SessionId = DESK) -> None:
        """Let another service hold the database, and become the owner of a session in it."""
        Holder(self._hold, self._clock).take()
        database = Database.open(self._url, migrate=False)
        try:
            database.write_now(ownership.acquire, [(session, None)])
        finally:
            database.close_now()

    # --- its edges --------------------------------------------------------------------------------

    async def _commit(
        self, store: Store, units: Sequence[Unit], commit_id: CommitId
    ) -> Sequence[Outcome]:
        await self.commits.turn(units)
        return await store.commit(units, commit_id)

    def _committed(self) -> None:
        self.feed.ring()  # of whichever service: it looks at what is stored
        self._time.ring()

    def _connect(
        self,
        hearing: dict[SessionId, HearingMemory],
        transports: list[WatchedTransport],
        store: SessionStore,
        options: SessionOptions,
        observer: Observer,
    ) -> Connection:
        config = self._config
        if self.versions is not None:
            client = replace(config.client, version=self.versions.current())
            config = replace(config, client=client)
        return Connection(
            store=store,
            config=config,
            clock=self._clock,
            observer=WatchedObserver(observer, self._time.ring),
            dial=partial(self._dial, transports, store.session),
            hearing=hearing.setdefault(store.session, HearingMemory()),
        )

    async def _dial(
        self, transports: list[WatchedTransport], session: SessionId
    ) -> WatchedTransport:
        transport = WatchedTransport(await self._network.dial(session), self._time.ring)
        transports[:] = [one for one in transports if not one.inner.is_closed]
        transports.append(transport)
        return transport
