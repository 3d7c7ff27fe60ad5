"""The alert engine at work: looks, tells, and keeps what it told."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from perene.core.alerts import (
    SERVICE,
    Alert,
    Key,
    Notification,
    Rule,
    Signals,
    Watch,
    evaluate,
    restored,
)
from perene.core.clock import Clock, instant
from perene.core.errors import StorageError
from perene.core.ids import SessionId
from perene.supervisor.alerts.tellings import (
    AlertTellings,
    Notifier,
    receivers_misled,
    receivers_told,
)
from perene.supervisor.ports import ComponentHealth

log = structlog.stdlib.get_logger()

LOOK_EVERY_S = 10.0

_LATE_S = 120.0
"""A round lasts as long as the slowest receiver and the database may take; this is longer."""

_SAVE_TIMEOUT_S = 10.0

_AT_ONCE = 100
"""Alerts in one transaction: a thousand sessions that lose their network make thousands."""

_NOTED = 20
"""Attempts that an alert keeps: the latest, and before them those that failed go first."""

_TOLD_LATE = timedelta(days=1)
"""For how long those who know of an alert are told, after a restart, that it has resolved."""


class AlertStore(Protocol):
    """What keeps alerts. Each method raises StorageError when it cannot."""

    async def open_alerts(
        self, *, or_resolved_since: datetime | None = None
    ) -> Sequence[Alert]: ...

    async def save_alerts(self, found: Sequence[Alert]) -> int:
        """Store alerts over what was stored under their ids, but none whose session is gone."""
        ...

    async def list_alerts(
        self, *, open_only: bool, subject: str | None, limit: int
    ) -> Sequence[Alert]:
        """Return alerts, the one that fired last first."""
        ...


class Alerting:
    """Implements `ports.Alerts`. `run` is its life; `look` is one round.

    Neither a receiver nor a database that fails ends it. What cannot be stored is kept in memory
    and told all the same, so that an outage of the database is told too. `emit` is called with
    every alert that fired or resolved.
    """

    def __init__(
        self,
        *,
        store: AlertStore,
        notifiers: Sequence[Notifier],
        rules: Sequence[Rule],
        signals: Callable[[], Signals],
        clock: Clock,
        emit: Callable[[Alert], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._signals = signals
        self._clock = clock
        self._emit = emit
        self._states: dict[Key, Watch] = {}
        self._alerts: dict[str, Alert] = {}
        self._unsaved: dict[str, None] = {}
        self._tellings = AlertTellings(
            notifiers, remedies={rule.name: rule.remedy for rule in rules}, clock=clock
        )
        self._restored = False
        self._left = False
        self._looked_at = clock.monotonic()
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look every ten seconds until cancelled, also when a database that hangs slows a look."""
        while True:
            began = self._clock.monotonic()
            try:
                await self.look()
            except Exception:  # the engine's edge: a bug in one round must not silence all alerts
                log.exception("alerts_not_looked_at")
            await self._clock.sleep(max(0.0, began + LOOK_EVERY_S - self._clock.monotonic()))

    async def look(self) -> None:
        """Compare every number with the rules once, tell what changed, and store it.

        One look at a time: a second one waits until the first has told and stored.
        """
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        if not self._restored:
            await self._restore()
        signals, aside = self._signals(), dict[Key, Watch]()
        if self._left:
            aside = {key: watch for key, watch in self._states.items() if key[1] != SERVICE}
            signals = {SERVICE: signals.get(SERVICE, {})}
        states = {key: watch for key, watch in self._states.items() if key not in aside}
        states, changes = evaluate(self._rules, states, signals, instant(self._clock))
        self._states = {**aside, **states}
        for change in changes:
            self._change(change)
        self._looked_at = self._clock.monotonic()
        # What a receiver that hangs keeps from being stored would be told anew after a restart.
        saved, told = await asyncio.gather(
            self._save_all(),
            self._tellings.tell_due(self._alerts, self._noted),
            return_exceptions=True,  # a bug in one of them must not cut the other short
        )
        for failure in (saved, told):
            if isinstance(failure, BaseException):
                raise failure
        if saved:
            await self._save_all()
        self._forget()

    async def save(self) -> None:
        """Store what a look that was cut short has left, lest the next run tells it again."""
        await self._save_all()

    def leave_sessions(self) -> None:
        """Look at the service alone from now on, which is about to end.

        Its sessions are let go, and stopped by nobody's wish: their alerts are the next run's.
        """
        self._left = True

    def firing(self) -> Mapping[tuple[str, str], int]:
        """Return how many alerts are open, by rule and severity."""
        return Counter(
            (alert.rule, alert.severity.value)
            for alert in self._alerts.values()
            if alert.resolved_at is None
        )

    def health(self) -> ComponentHealth:
        """Tell whether the rules are looked at, how many alerts are open, and who is not told."""
        now = self._clock.monotonic()
        late = now - self._looked_at > _LATE_S
        untold = self._tellings.failed
        told = f"Open alerts: {sum(self.firing().values())}."
        if late:
            told = f"The rules were not looked at for {_LATE_S:.0f} s. {told}"
        if untold:
            told += f" Messages not delivered yet: {untold}; they are tried again."
        return ComponentHealth(name="alerts", ok=not (late or untold), detail=told)

    async def alerts(
        self, *, open_only: bool, session: SessionId | None, limit: int
    ) -> Sequence[Alert]:
        """Return alerts, the one that fired last first; see `ports.Alerts`."""
        held = {
            alert.id: alert
            for alert in self._alerts.values()
            if (session is None or alert.subject == session)
            and not (open_only and alert.resolved_at is not None)
        }
        if not (open_only and self._restored):
            stored = await self._store.list_alerts(
                open_only=open_only, subject=session, limit=limit
            )
            # One that resolved a moment ago, and is not stored so yet, is not open any more.
            known = [alert for alert in stored if alert.id not in self._alerts]
            held |= {alert.id: alert for alert in known}
        ordered = sorted(held.values(), key=lambda alert: (alert.fired_at, alert.id), reverse=True)
        return ordered[:limit]

    async def _restore(self) -> None:
        """Take up the alerts that an earlier run left open; again at the next look if it fails."""
        try:
            async with asyncio.timeout(_SAVE_TIMEOUT_S):
                since = self._clock.now() - _TOLD_LATE
                found = await self._store.open_alerts(or_resolved_since=since)
        except (StorageError, TimeoutError) as error:
            log.warning("alerts_not_restored", reason=str(error) or "timed out")
            return
        self._restored = True
        still_open = [alert for alert in found if alert.resolved_at is None]
        for alert in still_open:
            twin = self._states.get((alert.rule, alert.subject))
            if twin is not None and twin.alert is not None:
                # Fired anew before the older one could be read: the older one goes on.
                self._drop(twin.alert.id)
            self._alerts[alert.id] = alert
            self._tellings.queue(alert.id, self._tellings.names - receivers_told(alert))
        for alert in found:
            misled = receivers_misled(alert) & self._tellings.names
            if misled:
                self._alerts[alert.id] = alert
                self._tellings.queue(alert.id, misled)
        self._states |= restored(still_open)

    def _change(self, change: Alert) -> None:
        before = self._alerts.get(change.id)
        alert = change if before is None else _after_all_noted(change, before.notified)
        self._alerts[alert.id] = alert
        self._unsaved[alert.id] = None
        self._tellings.queue(alert.id)
        line = log.info if alert.resolved_at is not None else log.warning
        line(
            "alert_fired" if alert.resolved_at is None else "alert_resolved",
            rule=alert.rule,
            subject=alert.subject,
            severity=str(alert.severity),
            detail=alert.sentence,
        )
        self._emit(alert)

    def _drop(self, alert: str) -> None:
        self._alerts.pop(alert, None)
        self._unsaved.pop(alert, None)
        self._tellings.drop(alert)

    def _noted(self, alert: str, notification: Notification) -> None:
        known = self._alerts[alert]
        # Whatever the clock does: what is noted here comes after what was told.
        at = max(notification.at, known.resolved_at or known.fired_at)
        notified = [*known.notified, replace(notification, at=at)]
        if len(notified) > _NOTED:
            # Who was told must be known, lest a restart tells it again.
            failed = (place for place, one in enumerate(notified) if not one.ok)
            del notified[next(failed, 0)]
        self._alerts[alert] = replace(known, notified=tuple(notified))
        self._unsaved[alert] = None

    async def _save_all(self) -> bool:
        """Store what changed, and return whether it was; what is left waits for the next round."""
        if not self._restored:
            return False
        try:
            async with asyncio.timeout(_SAVE_TIMEOUT_S):
                unsaved = [self._alerts[id_] for id_ in self._unsaved]
                for first in range(0, len(unsaved), _AT_ONCE):
                    found = unsaved[first : first + _AT_ONCE]
                    await self._store.save_alerts(found)
                    for alert in found:
                        if self._alerts[alert.id] is alert:  # nobody was told of it meanwhile
                            del self._unsaved[alert.id]
        except (StorageError, TimeoutError) as error:
            reason = str(error) or "timed out"
            log.warning("alerts_not_saved", count=len(self._unsaved), reason=reason)
            return False
        return True

    def _forget(self) -> None:
        """Let go of what is resolved, told and stored."""
        waiting = self._tellings.alerts
        done = [
            alert.id
            for alert in self._alerts.values()
            if alert.resolved_at is not None
            and alert.id not in self._unsaved
            and alert.id not in waiting
        ]
        for alert in done:
            del self._alerts[alert]


def _after_all_noted(alert: Alert, notified: Sequence[Notification]) -> Alert:
    """Return an alert with its attempts; whatever the clock does, it resolves after all of them.

    By that it is known who was told of the end, and who of the beginning alone.
    """
    over = alert.resolved_at
    if over is not None:
        over = max([over, *(one.at + timedelta(microseconds=1) for one in notified)])
    return replace(alert, notified=tuple(notified), resolved_at=over)
