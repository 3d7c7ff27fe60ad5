"""The alert engine with everything around it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from perene.core.alert_looks import Conditions
from perene.core.alerts import SERVICE, Alert, Rule, Scope, Severity
from perene.core.errors import StorageUnavailable
from perene.core.ids import SessionId
from perene.supervisor.alerts.alerting import Alerting
from tests.support.virtual_clock import VirtualClock

HOT = Rule(
    name="hot",
    scope=Scope.SESSION,
    signal="heat",
    above=10,
    for_s=0,
    resolve_after_s=0,
    severity=Severity.WARNING,
    sentence="It is hot.",
    remedy="Cool it.",
)
DATABASE = replace(HOT, name="database", scope=Scope.SERVICE, severity=Severity.CRITICAL)


class Receiver:
    """Takes alerts in order, or fails."""

    def __init__(self, name: str = "pager") -> None:
        self.name = name
        self.told: list[tuple[list[str], bool]] = []
        self.failing: BaseException | None = None
        self.remedies: list[str] = []
        self.reasons: list[Mapping[str, str]] = []
        self.tries = 0

    async def tell(
        self, alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]
    ) -> None:
        self.tries += 1
        if self.failing is not None:
            raise self.failing
        self.remedies.append(remedy)
        self.reasons.append(reasons)
        subjects = sorted(alert.subject for alert in alerts)
        self.told.append((subjects, alerts[0].resolved_at is None))


class Shelf:
    """A store of alerts in memory; can be out of reach."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.conditions: Conditions = {}
        self.failing = False
        self.transactions = 0

    def _ask(self) -> None:
        if self.failing:
            raise StorageUnavailable("gone")

    async def open_alerts(self, *, or_resolved_since: datetime | None = None) -> Sequence[Alert]:
        self._ask()
        return [
            alert
            for alert in self.alerts.values()
            if alert.resolved_at is None
            or (or_resolved_since is not None and alert.resolved_at >= or_resolved_since)
        ]

    async def save_alerts(self, found: Sequence[Alert]) -> int:
        self._ask()
        self.transactions += 1
        self.alerts |= {alert.id: alert for alert in found}
        return len(found)

    async def list_alerts(
        self, *, open_only: bool, subject: str | None, limit: int
    ) -> Sequence[Alert]:
        self._ask()
        found = [
            alert
            for alert in self.alerts.values()
            if subject in (None, alert.subject) and not (open_only and alert.resolved_at)
        ]
        return sorted(found, key=lambda alert: alert.fired_at, reverse=True)[:limit]

    async def alert_conditions(self) -> Conditions:
        self._ask()
        return self.conditions

    async def save_alert_conditions(self, conditions: Conditions) -> None:
        self._ask()
        self.transactions += 1
        self.conditions = conditions


class Desk:
    """An engine with everything around it."""

    def __init__(
        self,
        *receivers: Receiver,
        shelf: Shelf | None = None,
        rules: Sequence[Rule] = (HOT, DATABASE),
    ) -> None:
        self.clock = VirtualClock()
        self.shelf = shelf or Shelf()
        self.receivers = receivers
        self.signals: dict[str, dict[str, float]] = {}
        self.reasons: dict[str, str] = {}
        self.alerting = Alerting(
            store=self.shelf,
            notifiers=receivers,
            rules=rules,
            signals=lambda: self.signals,
            clock=self.clock,
            reason=lambda session: self.reasons.get(session, ""),
        )

    async def look(self, after_s: float = 10, **heat: float) -> None:
        await self.clock.advance(after_s)
        self.signals = {
            SERVICE if subject == "service" else subject: {"heat": value}
            for subject, value in heat.items()
        }
        await self.alerting.look()

    async def alerts(self, *, open_only: bool = False, session: str | None = None) -> list[Alert]:
        wanted = None if session is None else SessionId(session)
        return list(await self.alerting.alerts(open_only=open_only, session=wanted, limit=100))
