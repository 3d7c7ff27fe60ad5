"""The alert engine at work: looks, and has what changed told and kept."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from perene.core.alert_looks import Firing, State, conditions, evaluate, restored
from perene.core.alerts import SERVICE, Alert, Key, Rule, Signals
from perene.core.clock import Clock, instant
from perene.core.ids import SessionId
from perene.supervisor.alerts.book import AlertBook, AlertStore
from perene.supervisor.alerts.tellings import (
    AlertTellings,
    Notifier,
    Reason,
    no_reason,
    receivers_misled,
    receivers_told,
)
from perene.supervisor.ports import ComponentHealth

log = structlog.stdlib.get_logger()

LOOK_EVERY_S = 10.0

_LATE_S = 120.0
"""A round lasts as long as the slowest receiver and the database may take; this is longer."""


class Alerting:
    """Implements `ports.Alerts`. `run` is its life; `look` is one round.

    Neither a receiver nor a database that fails ends it. What cannot be stored is kept in memory
    and told all the same, so that an outage of the database is told too. `reason` says why a
    session is as it is.
    """

    def __init__(
        self,
        *,
        store: AlertStore,
        notifiers: Sequence[Notifier],
        rules: Sequence[Rule],
        signals: Callable[[], Signals],
        clock: Clock,
        reason: Reason = no_reason,
    ) -> None:
        self._book = AlertBook(store, clock)
        self._rules = rules
        self._signals = signals
        self._clock = clock
        self._states: dict[Key, State] = {}
        self._tellings = AlertTellings(
            notifiers,
            remedies={rule.name: rule.remedy for rule in rules},
            reason=reason,
            clock=clock,
        )
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
        if not self._book.restored:
            await self._restore()
        signals, aside = self._signals(), dict[Key, State]()
        if self._left:
            aside = {key: state for key, state in self._states.items() if key[1] != SERVICE}
            signals = {SERVICE: signals.get(SERVICE, {})}
        states = {key: state for key, state in self._states.items() if key not in aside}
        states, changes = evaluate(self._rules, states, signals, instant(self._clock))
        self._states = {**aside, **states}
        self._book.conditions = conditions(self._states)
        for change in changes:
            self._change(change)
        self._looked_at = self._clock.monotonic()
        # What a receiver that hangs keeps from being stored would be told anew after a restart.
        saved, told = await asyncio.gather(
            self._book.save(),
            self._tellings.tell_due(self._book.alerts, self._book.note),
            return_exceptions=True,  # a bug in one of them must not cut the other short
        )
        for failure in (saved, told):
            if isinstance(failure, BaseException):
                raise failure
        if saved:
            await self._book.save()
        self._book.forget(but=self._tellings.alerts)

    async def save(self) -> None:
        """Store what a look that was cut short has left, lest the next run tells it again."""
        await self._book.save()

    def leave_sessions(self) -> None:
        """Look at the service alone from now on, which is about to end.

        Its sessions are let go, and stopped by nobody's wish: their alerts are the next run's.
        """
        self._left = True

    def firing(self) -> Mapping[tuple[str, str], int]:
        """Return how many alerts are open, by rule and severity."""
        return self._book.firing()

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
        return await self._book.list(open_only=open_only, session=session, limit=limit)

    async def _restore(self) -> None:
        """Take up the alerts that an earlier run left open; again at the next look if it fails."""
        found = await self._book.read()
        if not self._book.restored:
            return  # what this run has seen goes on: it may be the database that is to be told of
        still_open = [alert for alert in found if alert.resolved_at is None]
        for alert in still_open:
            twin = self._states.get((alert.rule, alert.subject))
            if isinstance(twin, Firing):
                # Fired anew before the older one could be read: the older one goes on.
                self._book.drop(twin.alert.id)
                self._tellings.drop(twin.alert.id)
            self._book.take_up(alert)
            self._tellings.queue(alert.id, self._tellings.names - receivers_told(alert))
        for alert in found:
            misled = receivers_misled(alert) & self._tellings.names
            if misled:
                self._book.take_up(alert)
                self._tellings.queue(alert.id, misled)
        fired = {key for key, state in self._states.items() if isinstance(state, Firing)}
        left = {key: at for key, at in self._book.conditions.items() if key not in fired}
        self._states |= restored(still_open, left)

    def _change(self, change: Alert) -> None:
        alert = self._book.change(change)
        self._tellings.queue(alert.id)
        line = log.info if alert.resolved_at is not None else log.warning
        line(
            "alert_fired" if alert.resolved_at is None else "alert_resolved",
            rule=alert.rule,
            subject=alert.subject,
            severity=str(alert.severity),
            detail=alert.sentence,
        )
