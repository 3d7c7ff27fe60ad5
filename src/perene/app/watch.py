"""What watches the service: health, alerts, and the looks at the machine that both rest on."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from perene.app.sessions import Sessions
from perene.app.versions import version_health
from perene.core.clock import Clock
from perene.delivery.alerts import notifiers_for
from perene.settings import Settings
from perene.settings.alert_rules import read_alert_rules
from perene.store.store import Store
from perene.supervisor.alerting import Alerting
from perene.supervisor.health import Vitals
from perene.supervisor.host_watch import HostWatch
from perene.supervisor.metrics import Metrics
from perene.supervisor.ports import ComponentHealth
from perene.supervisor.signals import SignalSource

log = structlog.stdlib.get_logger()

_AGAIN_AFTER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The parts that look at the service and tell of it."""

    host: HostWatch
    alerting: Alerting
    vitals: Vitals
    clock: Clock

    async def run(self) -> None:
        """Look until cancelled. A look that fails by a bug is begun anew, and ends no other."""
        async with asyncio.TaskGroup() as looks:
            for name, look in (("host", self.host.run), ("alerts", self.alerting.run)):
                looks.create_task(self._kept_up(name, look), name=f"watch {name}")

    async def _kept_up(self, name: str, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await look()
            except Exception:  # whoever watches must not end the service, nor stay silent for long
                log.exception("watch_failed", part=name)
            await self.clock.sleep(_AGAIN_AFTER_S)


def wire_watch(
    settings: Settings, store: Store, clock: Clock, metrics: Metrics, sessions: Sessions
) -> Watch:
    """Make the parts that look at the service. Nothing runs yet."""
    host = HostWatch(clock, disk_free=lambda: shutil.disk_usage(settings.data_dir).free)
    vitals = Vitals(
        sessions.supervisor,
        sessions.committer,
        parts=[
            host.event_loop,
            host.disk,
            _master_key_loaded,
            lambda: version_health(sessions.versions),
        ],
    )
    metrics.watch_sessions(vitals.count)
    alerting = Alerting(
        store=store,
        notifiers=notifiers_for(
            settings.alert_urls.get_secret_value() if settings.alert_urls else ""
        ),
        rules=read_alert_rules(settings.alert_rules_file),
        signals=SignalSource(
            sessions.supervisor,
            sessions.committer,
            clock,
            disk_free=lambda: host.free_bytes,
            key_missing=lambda: (
                settings.master_key is None and not settings.master_key_path.exists()
            ),
        ),
        clock=clock,
    )
    return Watch(host=host, alerting=alerting, vitals=vitals, clock=clock)


def _master_key_loaded() -> ComponentHealth:
    # Without it the store would not have opened; whether its file is still there is an alert.
    return ComponentHealth(name="master_key", ok=True, detail="Loaded.")
