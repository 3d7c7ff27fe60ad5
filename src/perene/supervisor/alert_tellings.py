"""Telling of alerts: who has yet to be told of what, until everybody is told."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from perene.core.alerts import Alert, Notification
from perene.core.clock import Clock
from perene.core.errors import PereneError

log = structlog.stdlib.get_logger()

_TELL_AGAIN_S = (10.0, 30.0, 60.0, 300.0, 900.0)
"""Waits between attempts to tell; the last one goes on."""

_TELL_ATTEMPTS = 100
"""About a day. What cannot be told by then is in the log and in the history."""

_TELL_TIMEOUT_S = 20.0

_WAITING_LIMIT = 5000
"""Alerts that may wait to be told; beyond it the oldest are given up, and logged."""


class NotTold(PereneError):
    """An alert could not be delivered to one of its receivers; it is tried again."""

    code = "alert_not_told"
    remedy = "Check the address in PERENE_ALERT_URLS and whether its service can be reached."


class Notifier(Protocol):
    """One receiver of alerts."""

    @property
    def name(self) -> str:
        """A name without secrets."""
        ...

    async def tell(self, alerts: Sequence[Alert], *, remedy: str) -> None:
        """Tell of alerts of one rule that all fired or all resolved. Raises NotTold."""
        ...


@dataclass(frozen=True, slots=True)
class _Telling:
    """An alert that one receiver has yet to be told of."""

    notifier: Notifier
    alert: str
    due: float
    attempts: int = 0


class AlertTellings:
    """What each receiver has yet to be told. One that fails is tried again, and hinders no other.

    `remedies` are those of the rules, by their names.
    """

    def __init__(
        self, notifiers: Sequence[Notifier], *, remedies: Mapping[str, str], clock: Clock
    ) -> None:
        self._notifiers = notifiers
        self._remedies = remedies
        self._clock = clock
        self._waiting: list[_Telling] = []

    @property
    def alerts(self) -> set[str]:
        """The ids of the alerts that somebody has yet to be told of."""
        return {telling.alert for telling in self._waiting}

    @property
    def failed(self) -> int:
        """How many tellings have failed, and are tried again."""
        return sum(telling.attempts > 0 for telling in self._waiting)

    def queue(self, alert: str) -> None:
        """Let every receiver be told; news of the same alert replace what still waits."""
        self.drop(alert)
        now = self._clock.monotonic()
        self._waiting += [_Telling(notifier, alert, now) for notifier in self._notifiers]
        too_many = len(self._waiting) - _WAITING_LIMIT
        if too_many > 0:
            log.error("alerts_given_up", count=too_many)
            del self._waiting[:too_many]

    def drop(self, alert: str) -> None:
        """Tell nobody of an alert any more."""
        self._waiting = [telling for telling in self._waiting if telling.alert != alert]

    async def tell_due(
        self, alerts: Mapping[str, Alert], noted: Callable[[str, Notification], None]
    ) -> None:
        """Tell what is due, all receivers at the same time; one message for each rule's changes.

        `alerts` holds every alert that was queued, by its id; `noted` is called with the id of
        each that was told, or could not be.
        """
        now = self._clock.monotonic()
        groups: dict[tuple[int, str, str, bool], list[_Telling]] = defaultdict(list)
        for telling in self._waiting:
            if telling.due <= now:
                alert = alerts[telling.alert]
                resolved = alert.resolved_at is not None
                groups[id(telling.notifier), alert.rule, alert.severity, resolved].append(telling)
        due = {id(telling) for group in groups.values() for telling in group}
        self._waiting = [telling for telling in self._waiting if id(telling) not in due]
        await asyncio.gather(*(self._tell(group, alerts, noted) for group in groups.values()))

    async def _tell(
        self,
        group: Sequence[_Telling],
        alerts: Mapping[str, Alert],
        noted: Callable[[str, Notification], None],
    ) -> None:
        notifier = group[0].notifier
        failure = await self._failure(notifier, [alerts[telling.alert] for telling in group])
        notification = Notification(
            at=self._clock.now(),
            ok=failure is None,
            detail=notifier.name if failure is None else f"{notifier.name}: {failure}",
        )
        for telling in group:
            noted(telling.alert, notification)
            if failure is not None:
                self._tell_later(telling)
        if failure is not None:
            log.warning("alert_not_told", receiver=notifier.name, count=len(group), reason=failure)

    async def _failure(self, notifier: Notifier, alerts: Sequence[Alert]) -> str | None:
        """Tell one receiver of alerts of one rule; return why that failed, None if it did not."""
        try:
            async with asyncio.timeout(_TELL_TIMEOUT_S):
                await notifier.tell(alerts, remedy=self._remedies.get(alerts[0].rule, ""))
        except NotTold as error:
            return str(error)
        except TimeoutError:
            return "timed out"
        except (
            Exception
        ):  # a receiver's library may raise anything; the others are told all the same
            log.exception("alert_notifier_failed", receiver=notifier.name)
            return "failed"
        return None

    def _tell_later(self, telling: _Telling) -> None:
        attempts = telling.attempts + 1
        if attempts >= _TELL_ATTEMPTS:
            log.error("alert_given_up", alert=telling.alert, receiver=telling.notifier.name)
            return
        wait_s = _TELL_AGAIN_S[min(attempts, len(_TELL_AGAIN_S)) - 1]
        due = self._clock.monotonic() + wait_s
        self._waiting.append(replace(telling, attempts=attempts, due=due))
