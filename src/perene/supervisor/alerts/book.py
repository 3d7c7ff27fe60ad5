"""The book of alerts: what is true of each that somebody has yet to store or be told of."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from perene.core.alert_looks import Conditions
from perene.core.alerts import Alert, Notification
from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.core.ids import SessionId

log = structlog.stdlib.get_logger()

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

    async def alert_conditions(self) -> Conditions:
        """Return what was saved last."""
        ...

    async def save_alert_conditions(self, conditions: Conditions) -> None:
        """Store conditions in place of all that were stored."""
        ...


class AlertBook:
    """Holds every alert that is open, or that somebody has yet to be told of, or to store.

    What cannot be stored is kept until it can. Nothing is stored before what an earlier run left
    was `restored`.
    """

    def __init__(self, store: AlertStore, clock: Clock) -> None:
        self.restored = False
        """Whether what an earlier run left was read."""
        self.conditions: Conditions = {}
        """What is to be stored of conditions; at first what an earlier run left."""
        self._store = store
        self._clock = clock
        self._alerts: dict[str, Alert] = {}
        self._unsaved: dict[str, None] = {}
        self._saved_conditions: Conditions = {}

    @property
    def alerts(self) -> Mapping[str, Alert]:
        """The alerts that are held, by their ids."""
        return self._alerts

    async def read(self) -> Sequence[Alert]:
        """Return the alerts that an earlier run left, none if they cannot be read.

        Those that resolved lately are among them: not everybody may have been told. Whoever calls
        takes up what is to be held.
        """
        try:
            async with asyncio.timeout(_SAVE_TIMEOUT_S):
                since = self._clock.now() - _TOLD_LATE
                found = await self._store.open_alerts(or_resolved_since=since)
                self.conditions = await self._store.alert_conditions()
        except (StorageError, TimeoutError) as error:
            log.warning("alerts_not_restored", reason=str(error) or "timed out")
            return ()
        self._saved_conditions = self.conditions
        self.restored = True
        return found

    def take_up(self, alert: Alert) -> None:
        """Hold an alert as it is stored."""
        self._alerts[alert.id] = alert

    def change(self, change: Alert) -> Alert:
        """Hold what has become of an alert, to be stored; return it with what was noted of it."""
        before = self._alerts.get(change.id)
        alert = change if before is None else _after_all_noted(change, before.notified)
        self._hold(alert)
        return alert

    def note(self, alert: str, notification: Notification) -> None:
        """Note an attempt to tell of an alert that is held, to be stored."""
        known = self._alerts[alert]
        # Whatever the clock does: what is noted here comes after what was told.
        at = max(notification.at, known.resolved_at or known.fired_at)
        notified = [*known.notified, replace(notification, at=at)]
        if len(notified) > _NOTED:
            # Who was told must be known, lest a restart tells it again.
            failed = (place for place, one in enumerate(notified) if not one.ok)
            del notified[next(failed, 0)]
        self._hold(replace(known, notified=tuple(notified)))

    def drop(self, alert: str) -> None:
        """Hold an alert no more, and store nothing of it."""
        self._alerts.pop(alert, None)
        self._unsaved.pop(alert, None)

    async def save(self) -> bool:
        """Store what changed, and return whether it was; what is left waits for the next time."""
        if not self.restored:
            return False
        try:
            async with asyncio.timeout(_SAVE_TIMEOUT_S):
                unsaved = [self._alerts[id_] for id_ in self._unsaved]
                for first in range(0, len(unsaved), _AT_ONCE):
                    await self._save(unsaved[first : first + _AT_ONCE])
                if self.conditions != self._saved_conditions:
                    conditions = self.conditions
                    await self._store.save_alert_conditions(conditions)
                    self._saved_conditions = conditions
        except (StorageError, TimeoutError) as error:
            reason = str(error) or "timed out"
            log.warning("alerts_not_saved", count=len(self._unsaved), reason=reason)
            return False
        return True

    async def _save(self, portion: Sequence[Alert]) -> None:
        await self._store.save_alerts(portion)
        for alert in portion:
            if self._alerts[alert.id] is alert:  # nobody was told of it meanwhile
                del self._unsaved[alert.id]

    def forget(self, *, but: Collection[str]) -> None:
        """Let go of what is resolved and stored, but for the alerts that are still to be told."""
        done = [
            alert.id
            for alert in self._alerts.values()
            if alert.resolved_at is not None
            and alert.id not in self._unsaved
            and alert.id not in but
        ]
        for alert in done:
            del self._alerts[alert]

    def firing(self) -> Mapping[tuple[str, str], int]:
        """Return how many alerts are open, by rule and severity."""
        return Counter(
            (alert.rule, alert.severity.value)
            for alert in self._alerts.values()
            if alert.resolved_at is None
        )

    async def list(
        self, *, open_only: bool, session: SessionId | None, limit: int
    ) -> Sequence[Alert]:
        """Return alerts, the one that fired last first; see `ports.Alerts`."""
        held = {
            alert.id: alert
            for alert in self._alerts.values()
            if (session is None or alert.subject == session)
            and not (open_only and alert.resolved_at is not None)
        }
        if not (open_only and self.restored):
            stored = await self._store.list_alerts(
                open_only=open_only, subject=session, limit=limit
            )
            # One that resolved a moment ago, and is not stored so yet, is not open any more.
            known = [alert for alert in stored if alert.id not in self._alerts]
            held |= {alert.id: alert for alert in known}
        ordered = sorted(held.values(), key=lambda alert: (alert.fired_at, alert.id), reverse=True)
        return ordered[:limit]

    def _hold(self, alert: Alert) -> None:
        self._alerts[alert.id] = alert
        self._unsaved[alert.id] = None


def _after_all_noted(alert: Alert, notified: Sequence[Notification]) -> Alert:
    """Return an alert with its attempts; whatever the clock does, it resolves after all of them.

    By that it is known who was told of the end, and who of the beginning alone.
    """
    over = alert.resolved_at
    if over is not None:
        over = max([over, *(one.at + timedelta(microseconds=1) for one in notified)])
    return replace(alert, notified=tuple(notified), resolved_at=over)
