"""Telling of alerts: who has yet to be told of what, until everybody is told."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Protocol

import structlog

from perene.core.alerts import SERVICE, Alert, Notification
from perene.core.clock import Clock
from perene.core.errors import PereneError

log = structlog.stdlib.get_logger()

_TELL_AGAIN_S = (10.0, 30.0, 60.0, 300.0, 900.0)
"""Waits between attempts to tell; the last one goes on."""

_TELL_ATTEMPTS = 100
"""About a day. What cannot be told by then is in the log and in the history."""

_TELL_TIMEOUT_S = 20.0

_WAITING_LIMIT = 5000
"""Tellings that failed and may wait to be tried again; beyond it, those that were tried the longest
ago are given up."""


class NotTold(PereneError):
    """An alert could not be delivered to one of its receivers; it is tried again."""

    code = "alert_not_told"
    remedy = "Check the address in PERENE_ALERT_URLS and whether its service can be reached."


class ToldInPart(NotTold):
    """A receiver took an alert for some of its recipients, who would be told again and again."""

    code = "alert_told_in_part"
    remedy = "Check the recipients that the address in PERENE_ALERT_URLS names."


class Notifier(Protocol):
    """One receiver of alerts."""

    @property
    def name(self) -> str:
        """A name without secrets."""
        ...

    async def tell(
        self, alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]
    ) -> None:
        """Tell of alerts of one rule that all fired or all resolved.

        Raises NotTold; ToldInPart if it must not be tried again all the same.

        `reasons` say of subjects why they are as they are, as far as that is known.
        """
        ...


Reason = Callable[[str], str]
"""Says why a session is as it is at this moment, "" if nothing is known to be wrong."""


def no_reason(session: str) -> str:
    """Know nothing of it."""
    del session
    return ""


@dataclass(frozen=True, slots=True)
class _Telling:
    """An alert that one receiver has yet to be told of."""

    notifier: Notifier
    alert: str
    due: float
    attempts: int = 0


def receivers_told(alert: Alert) -> set[str]:
    """Return the names of those who know of an alert what is true of it now."""
    over = alert.resolved_at
    return {
        one.detail
        for one in alert.notified
        if one.ok and one.detail and (over is None or one.at >= over)
    }


def receivers_misled(alert: Alert) -> set[str]:
    """Return the names of those who were told that an alert fired, but not that it resolved."""
    if alert.resolved_at is None:
        return set()
    told = {one.detail for one in alert.notified if one.ok and one.detail}
    return told - receivers_told(alert)


class AlertTellings:
    """What each receiver has yet to be told. One that fails is tried again, and hinders no other.

    `remedies` are those of the rules, by their names.
    """

    def __init__(
        self,
        notifiers: Sequence[Notifier],
        *,
        remedies: Mapping[str, str],
        reason: Reason,
        clock: Clock,
    ) -> None:
        self._notifiers = notifiers
        self._remedies = remedies
        self._reason = reason
        self._clock = clock
        self._waiting: dict[str, list[_Telling]] = {}

    @property
    def alerts(self) -> Collection[str]:
        """The ids of the alerts that somebody has yet to be told of."""
        return self._waiting.keys()

    @property
    def failed(self) -> int:
        """How many tellings have failed, and are tried again."""
        return sum(1 for _ in self._failed())

    @property
    def names(self) -> set[str]:
        """The names of all receivers."""
        return {notifier.name for notifier in self._notifiers}

    def queue(self, alert: str, receivers: Collection[str] | None = None) -> None:
        """Let these receivers, or every one, be told; news replace what still waits."""
        now = self._clock.monotonic()
        wanted = self.names if receivers is None else receivers
        self.drop(alert)
        waiting = [_Telling(one, alert, now) for one in self._notifiers if one.name in wanted]
        if waiting:
            self._waiting[alert] = waiting

    def drop(self, alert: str) -> None:
        """Tell nobody of an alert any more."""
        self._waiting.pop(alert, None)

    async def tell_due(
        self, alerts: Mapping[str, Alert], noted: Callable[[str, Notification], None]
    ) -> None:
        """Tell what is due, all receivers at the same time; one message for each rule's changes.

        A receiver gets one message after the other, and after one that failed no more for now.
        `alerts` holds every alert that was queued, by its id; `noted` is called with the id of
        each that was told, or could not be.
        """
        now = self._clock.monotonic()
        groups: dict[tuple[int, str, str, bool], list[_Telling]] = defaultdict(list)
        later: dict[str, list[_Telling]] = {}
        for id_, waiting in self._waiting.items():
            alert = alerts[id_]
            for telling in waiting:
                if telling.due <= now:
                    resolved = alert.resolved_at is not None
                    key = id(telling.notifier), alert.rule, alert.severity, resolved
                    groups[key].append(telling)
                else:
                    later.setdefault(id_, []).append(telling)
        self._waiting = later
        of_receiver: dict[int, list[list[_Telling]]] = defaultdict(list)
        for (receiver, *_), group in groups.items():
            of_receiver[receiver].append(group)
        await asyncio.gather(
            *(self._tell_in_turn(own, alerts, noted) for own in of_receiver.values())
        )
        self._give_up_too_many()

    def _failed(self) -> Iterator[_Telling]:
        return (one for waiting in self._waiting.values() for one in waiting if one.attempts > 0)

    def _give_up_too_many(self) -> None:
        # Only what was tried: many alerts at once are no reason to tell nobody of the first.
        too_many = max(0, self.failed - _WAITING_LIMIT)
        given_up = {id(telling) for telling in islice(self._failed(), too_many)}
        if given_up:
            log.error("alerts_given_up", count=len(given_up))
            kept = {
                alert: [telling for telling in waiting if id(telling) not in given_up]
                for alert, waiting in self._waiting.items()
            }
            self._waiting = {alert: waiting for alert, waiting in kept.items() if waiting}

    async def _tell_in_turn(
        self,
        groups: Sequence[Sequence[_Telling]],
        alerts: Mapping[str, Alert],
        noted: Callable[[str, Notification], None],
    ) -> None:
        # A slow receiver needs its time for each message, and others wait for it at each look.
        began = self._clock.monotonic()
        for place, group in enumerate(groups):
            told = await self._tell(group, alerts, noted)
            if not told or self._clock.monotonic() - began >= _TELL_TIMEOUT_S:
                for telling in chain.from_iterable(groups[place + 1 :]):
                    self._wait(telling)
                return

    async def _tell(
        self,
        group: Sequence[_Telling],
        alerts: Mapping[str, Alert],
        noted: Callable[[str, Notification], None],
    ) -> bool:
        notifier = group[0].notifier
        failure = await self._failure(notifier, [alerts[telling.alert] for telling in group])
        told = failure is None or isinstance(failure, ToldInPart)
        notes: list[Notification] = []
        if failure is not None:
            reason = str(failure)
            log.warning("alert_not_told", receiver=notifier.name, count=len(group), reason=reason)
            detail = f"{notifier.name}: {reason}"
            notes.append(Notification(at=self._clock.now(), ok=False, detail=detail))
        if told:
            notes.append(Notification(at=self._clock.now(), ok=True, detail=notifier.name))
        for telling in group:
            for note in notes:
                noted(telling.alert, note)
            if not told:
                self._tell_later(telling)
        return told

    async def _failure(self, notifier: Notifier, alerts: Sequence[Alert]) -> NotTold | None:
        """Tell one receiver of alerts of one rule; return why that failed, None if it did not."""
        remedy = self._remedies.get(alerts[0].rule, "")
        try:
            async with asyncio.timeout(_TELL_TIMEOUT_S):
                await notifier.tell(alerts, remedy=remedy, reasons=self._reasons(alerts))
        except NotTold as error:
            return error
        except TimeoutError:
            return NotTold("timed out")
        except Exception:  # a receiver's library may raise anything, and silences no other
            log.exception("alert_notifier_failed", receiver=notifier.name)
            return NotTold("failed")
        return None

    def _reasons(self, alerts: Sequence[Alert]) -> Mapping[str, str]:
        """Return why sessions are as they are whose alerts are open; what is over has none."""
        subjects = {one.subject for one in alerts if one.resolved_at is None} - {SERVICE}
        found = {subject: self._reason(subject) for subject in subjects}
        return {subject: reason for subject, reason in found.items() if reason}

    def _tell_later(self, telling: _Telling) -> None:
        attempts = telling.attempts + 1
        if attempts >= _TELL_ATTEMPTS:
            log.error("alert_given_up", alert=telling.alert, receiver=telling.notifier.name)
            return
        wait_s = _TELL_AGAIN_S[min(attempts, len(_TELL_AGAIN_S)) - 1]
        due = self._clock.monotonic() + wait_s
        self._wait(replace(telling, attempts=attempts, due=due))

    def _wait(self, telling: _Telling) -> None:
        self._waiting.setdefault(telling.alert, []).append(telling)
