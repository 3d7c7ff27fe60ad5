"""What watches the service: health, alerts, and the looks at the machine that both rest on."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from perene.app.hearing import Hearings
from perene.app.sessions import Sessions
from perene.app.versions import version_health
from perene.core.clock import Clock
from perene.core.ids import SessionId
from perene.core.server_time import time_of
from perene.delivery.alerts import AppriseNotifier, notifiers_for
from perene.delivery.trial import Trial
from perene.process.open_files import share_used
from perene.process.room import room_at, shares_disk
from perene.process.threads import Threads
from perene.settings import Settings
from perene.settings.alert_rules import read_alert_rules
from perene.store.inspection import sqlite_file
from perene.store.instance_lock import InstanceLock
from perene.store.store import Store
from perene.supervisor.alerts.alerting import Alerting
from perene.supervisor.alerts.reasons import reason_of
from perene.supervisor.alerts.signals import SignalSource
from perene.supervisor.desks.keys import Keyholder
from perene.supervisor.metrics import Metrics
from perene.supervisor.ports import ComponentHealth
from perene.supervisor.storage.janitor import Janitor
from perene.supervisor.storage.sweeper import Sweeper
from perene.supervisor.watches.database import DatabaseWatch
from perene.supervisor.watches.health import Vitals
from perene.supervisor.watches.hold import HoldWatch
from perene.supervisor.watches.host import HostWatch
from perene.supervisor.watches.limits import LimitWatch
from perene.supervisor.watches.twins import TwinWatch

log = structlog.stdlib.get_logger()

_AGAIN_AFTER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The parts that look at something now and then, so that it can be told from memory."""

    host: HostWatch
    database: DatabaseWatch
    limits: LimitWatch
    twins: TwinWatch
    janitor: Janitor
    sweeper: Sweeper
    keys: Keyholder


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The parts that look at the service, and those that tell of it."""

    looks: Looks
    alerting: Alerting
    trial: Trial
    vitals: Vitals
    hearings: Hearings
    clock: Clock

    async def run(self) -> None:
        """Look until cancelled. A look that fails by a bug is begun anew, and ends no other."""
        looks = self.looks
        lives = {
            "host": looks.host.run,
            "database": looks.database.run,
            "limits": looks.limits.run,
            "twins": looks.twins.run,
            "janitor": looks.janitor.run,
            "sweeper": looks.sweeper.run,
            "keys": looks.keys.run,
            "hearing": self.hearings.run,
            "alerts": self.alerting.run,
        }
        async with asyncio.TaskGroup() as group:
            for name, life in lives.items():
                group.create_task(self._kept_up(name, life), name=f"watch {name}")

    async def _kept_up(self, name: str, life: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await life()
            except Exception:  # whoever watches must not end the service, nor stay silent for long
                log.exception("watch_failed", part=name)
            await self.clock.sleep(_AGAIN_AFTER_S)


def hold_watch(lock: InstanceLock, clock: Clock) -> HoldWatch:
    """Make what looks after the hold on the database."""
    # Not the loop's own threads: names that nobody resolves keep all of them, and others waiting.
    threads, loop = Threads(1, "perene-hold"), asyncio.get_running_loop()
    return HoldWatch(lambda: loop.run_in_executor(threads, lock.keep), clock)


def wire_watch(
    settings: Settings,
    store: Store,
    clock: Clock,
    metrics: Metrics,
    sessions: Sessions,
    hold: HoldWatch,
    log_lines_lost: Callable[[], int] = lambda: 0,
) -> Watch:
    """Make the parts that look at the service. Nothing runs yet."""
    looks = _looks(settings, store, clock, sessions)
    alerting = Alerting(
        # Who asks for alerts waits for a database that restarts, and keeps no session waiting.
        store=store.aside().asked_by(sessions.retries.ask),
        notifiers=_notifiers(settings, "perene-alerts"),
        rules=read_alert_rules(settings.alert_rules_file),
        signals=_signals(clock, sessions, looks, hold, log_lines_lost),
        clock=clock,
        reason=lambda session: reason_of(sessions.supervisor.roster.live(SessionId(session))),
    )
    vitals = _vitals(sessions, looks, hold, alerting)
    metrics.watch_sessions(vitals.count)
    metrics.watch_alerts(alerting.firing)
    metrics.watch_log(log_lines_lost)
    metrics.watch_disks(lambda: looks.host.rooms)
    metrics.watch_loop(lambda: looks.host.lag_s)
    return Watch(
        looks=looks,
        alerting=alerting,
        trial=Trial(_notifiers(settings, "perene-trial"), clock, host=socket.gethostname()),
        vitals=vitals,
        hearings=sessions.hearings,
        clock=clock,
    )


def _vitals(sessions: Sessions, looks: Looks, hold: HoldWatch, alerting: Alerting) -> Vitals:
    return Vitals(
        sessions.supervisor.roster,
        sessions.committer,
        database=looks.database.health,
        parts=[
            hold.health,
            looks.host.event_loop,
            looks.host.disk,
            looks.host.open_files,
            _master_key_loaded,
            lambda: version_health(sessions.versions),
            alerting.health,
            looks.janitor.health,
            looks.sweeper.health,
        ],
    )


def _looks(settings: Settings, store: Store, clock: Clock, sessions: Sessions) -> Looks:
    aside = store.aside()
    return Looks(
        host=host_watch(settings, clock),
        # A restart is waited out by everybody, and no trouble yet.
        database=DatabaseWatch(
            partial(sessions.retries.ask, store.probe), sessions.committer, clock
        ),
        limits=LimitWatch(sessions.feed, clock),
        twins=TwinWatch(aside.linked_accounts, clock),
        janitor=Janitor(
            aside,
            clock,
            sessions.retries,
            retention=timedelta(days=settings.retention_days),
            server_time=time_of(sessions.supervisor.roster.times_told, clock),
        ),
        sweeper=sessions.sweeper,
        keys=Keyholder(aside, clock, sessions.retries),
    )


def _notifiers(settings: Settings, threads: str) -> list[AppriseNotifier]:
    """Make a notifier for each receiver, with a thread of its own."""
    return notifiers_for(settings.alert_addresses, lambda: Threads(1, threads))


def _signals(
    clock: Clock,
    sessions: Sessions,
    looks: Looks,
    hold: HoldWatch,
    log_lines_lost: Callable[[], int],
) -> SignalSource:
    return SignalSource(
        sessions.supervisor,
        looks.database,
        clock,
        removers=(looks.janitor, looks.sweeper),
        machine=looks.host,
        limits=looks.limits,
        twins=looks.twins,
        hold=hold,
        log_lines_lost=log_lines_lost,
        presented=sessions.versions.current,
    )


def host_watch(settings: Settings, clock: Clock) -> HostWatch:
    """Make what looks at the machine; the data directory and the database must be there."""
    file = sqlite_file(settings.database)
    # Where a link leads to: SQLite keeps its journal there, too.
    folder = None if file is None else file.resolve().parent
    apart = folder is not None and not shares_disk(folder, settings.data_dir)
    return HostWatch(
        clock,
        room=lambda: room_at(settings.data_dir),
        database_room=(lambda: room_at(folder)) if folder is not None and apart else None,
        key_missing=lambda: settings.master_key is None and not settings.master_key_path.exists(),
        open_files=share_used,
        # Not the loop's own threads: the process would wait at its end for a disk that stalls.
        threads=Threads(1, "perene-look"),
    )


def _master_key_loaded() -> ComponentHealth:
    # Without it the store would not have opened; whether its file is still there is an alert.
    return ComponentHealth(name="master_key", ok=True, detail="Loaded.")
