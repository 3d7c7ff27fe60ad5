"""Who looks at Perene from outside: its API, its metrics, its alerts, and nothing else."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from perene.core.alert_rules import SHIPPED
from perene.core.alerts import Alert, Rule
from perene.core.ids import SessionId
from perene.supervisor.alerts.alerting import Alerting
from perene.supervisor.alerts.signals import SignalSource
from perene.supervisor.watches.database import DatabaseWatch
from perene.supervisor.watches.health import Vitals
from tests.support.api import api_over
from tests.support.world import World
from tests.unit.api.fakes import KEY, FakeKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An alert that a receiver was told of: fired, or resolved."""

    rule: str
    subject: str
    over: bool
    at: datetime
    id: str


@dataclass(slots=True)
class Receiver:
    """A receiver of alerts that hears everything."""

    told: list[Told] = field(default_factory=list[Told])
    now: Any = None

    @property
    def name(self) -> str:
        return "receiver"

    async def tell(
        self, alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]
    ) -> None:
        self.told += [
            Told(
                rule=one.rule,
                subject=one.subject,
                over=one.resolved_at is not None,
                at=self.now(),
                id=one.id,
            )
            for one in alerts
        ]


class Onlooker:
    """Looks at one life of the service; after a restart make another, with the same receiver."""

    def __init__(
        self, world: World, receiver: Receiver, *, rules: Sequence[Rule] = SHIPPED
    ) -> None:
        perene, clock = world.perene, world.clock
        receiver.now = clock.now
        self.database = DatabaseWatch(perene.store.probe, perene.committer, clock)
        self.alerting = Alerting(
            store=perene.store,
            notifiers=[receiver],
            rules=rules,
            signals=SignalSource(perene.supervisor, self.database, clock),
            clock=clock,
        )
        vitals = Vitals(
            perene.supervisor.roster,
            perene.committer,
            database=self.database.health,
            parts=[self.alerting.health],
        )
        perene.metrics.watch_sessions(vitals.count)
        perene.metrics.watch_alerts(self.alerting.firing)
        self.app = api_over(
            perene, keys=FakeKeys(), health=vitals, metrics=perene.metrics, alerts=self.alerting
        )
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://perene",
            headers={"X-Api-Key": KEY},
        )

    async def get(self, path: str) -> Any:
        """Return what the API answers."""
        answer = await self._client.get(path)
        answer.raise_for_status()
        return answer.json()

    async def session(self, session: SessionId) -> Mapping[str, Any]:
        return await self.get(f"/v1/sessions/{session}")

    async def sample(self) -> dict[str, float]:
        """Return the metrics, by name and labels as Prometheus writes them."""
        return _samples((await self._client.get("/metrics")).text)


def _samples(text: str) -> dict[str, float]:
    return {
        one.name + "".join(f"|{k}={v}" for k, v in sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def _counters(world: World) -> "Counter[str]":
    found = _samples(world.perene.metrics.exposition().decode())
    return Counter({name: int(n) for name, n in found.items() if "_total" in name})


class Onlookers:
    """Who looks on, over all lives of the service: the alerts are looked at meanwhile.

    `now` is whom to ask at present, None while the service is away.
    """

    def __init__(self, world: World, *, rules: Sequence[Rule] = SHIPPED) -> None:
        self.receiver = Receiver()
        self.now: Onlooker | None = None
        self._world = world
        self._rules = rules
        self._looking: asyncio.Task[None] | None = None
        self._earlier: Counter[str] = Counter()
        perene = world.perene
        start, stop, kill = perene.start, perene.stop, perene.kill

        async def started() -> None:
            await start()
            self._begin()

        async def stopped() -> None:
            if self.now is not None:
                self.now.alerting.leave_sessions()
            await stop()
            await self._end()

        async def killed() -> None:
            await self._end()
            await kill()

        for name, method in (("start", started), ("stop", stopped), ("kill", killed)):
            setattr(perene, name, method)
        self._begin()

    def counted(self) -> "Counter[str]":
        """Return what all lives counted, by name and labels as Prometheus writes them."""
        return self._earlier + _counters(self._world)

    def _begin(self) -> None:
        self.now = Onlooker(self._world, self.receiver, rules=self._rules)
        self._looking = asyncio.create_task(self.now.alerting.run())

    async def _end(self) -> None:
        if self.now is not None:
            self._earlier += _counters(self._world)
        self.now = None
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait((self._looking,))
