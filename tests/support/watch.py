"""The watch over a world: the look at its database, and the alert engine with the shipped rules."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from perene.core.alert_rules import SHIPPED
from perene.core.alerts import Alert
from perene.core.ids import SessionId
from perene.supervisor.alerts.alerting import Alerting
from perene.supervisor.alerts.reasons import reason_of
from perene.supervisor.alerts.signals import SignalSource
from perene.supervisor.watches.database import DatabaseWatch
from perene.supervisor.watches.health import Vitals
from tests.support.world import World


class Pager:
    """Whom the alerts of a world are told to."""

    name = "pager"

    def __init__(self) -> None:
        self._told: list[Alert] = []
        self.reasons: dict[str, str] = {}
        """Why a session was as it was, when it was told of last."""

    async def tell(
        self, alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]
    ) -> None:
        assert remedy
        self._told += alerts
        self.reasons |= reasons

    @property
    def rules(self) -> set[str]:
        """The rules that anything was told of."""
        return {alert.rule for alert in self._told}

    def told(self, rule: str) -> Sequence[Alert]:
        """Return what was told of a rule, in order."""
        return [alert for alert in self._told if alert.rule == rule]


class Watch:
    """What watches the Perene that runs in a world at this moment, wired as the application is."""

    def __init__(self, world: World) -> None:
        perene, clock = world.perene, world.clock
        self.pager = Pager()
        self.database = DatabaseWatch(perene.store.probe, perene.committer, clock)
        self.alerting = Alerting(
            store=perene.store,
            notifiers=[self.pager],
            rules=SHIPPED,
            signals=SignalSource(perene.supervisor, self.database, clock),
            clock=clock,
            reason=lambda session: reason_of(perene.live(SessionId(session))),
        )
        self.vitals = Vitals(
            perene.supervisor.roster, perene.committer, database=self.database.health
        )


@asynccontextmanager
async def watched(world: World) -> AsyncGenerator[Watch]:
    """Watch a world until the block ends."""
    watch = Watch(world)
    lives = [asyncio.create_task(one.run()) for one in (watch.database, watch.alerting)]
    try:
        yield watch
    finally:
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
