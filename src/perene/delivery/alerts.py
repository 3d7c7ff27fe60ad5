"""Alerts sent to the services that `PERENE_ALERT_URLS` names, by addresses that apprise knows."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial

from perene.core.alerts import SERVICE, Alert, Severity
from perene.delivery.addresses import Address, addresses
from perene.delivery.outcomes import failure
from perene.supervisor.alerts.tellings import NotTold, ToldInPart

TIMEOUT_S = 15.0
"""How long one message may take."""

_SHOWN = 20
"""Alerts that one message names; of more it tells the number."""

_RESOLVED = "success"
_NOTIFY_TYPES: Mapping[Severity, str] = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "failure",
}
"""apprise's names for how bad something is."""

MakeThread = Callable[[], Executor]
"""Makes one thread, which must not keep the process from its end: a receiver may hang in it."""


_News = tuple[str, bool]
"""What is told of one alert: its id, and whether it is over."""

_REMEMBERED = 10_000
"""News that a receiver took, the latest: enough for those that it took too late for us to know."""


class AppriseNotifier:
    """One receiver. Messages are sent on a thread of its own, for apprise blocks."""

    def __init__(self, address: Address, *, thread: Executor, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self._timeout_s = timeout_s
        # Its own: a receiver that hangs must take no thread from the database or the others.
        self._thread = thread
        self._taken: dict[_News, ToldInPart | None] = {}

    @property
    def name(self) -> str:
        """Return what the receiver is called in logs and in an alert's history."""
        return self.address.name

    async def tell(
        self, alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]
    ) -> None:
        """Send one message; raise NotTold when the receiver did not take it in time.

        What it takes later than that is not sent again when it is told again.
        """
        await self._in_time(partial(self._tell, alerts, remedy, reasons))

    async def send(self, kind: str, title: str, body: str) -> None:
        """Send a message of one of apprise's kinds; raise NotTold as `tell` does."""
        await self._in_time(partial(self._send, kind, title, body))

    async def _in_time(self, send: Callable[[], NotTold | None]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                loop = asyncio.get_running_loop()
                why_not = await loop.run_in_executor(self._thread, send)
        except TimeoutError:
            raise NotTold(f"no answer within {self._timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001  # a plugin raises anything, its address with it
            raise NotTold(f"the message was not sent ({type(error).__name__})") from None
        if why_not is not None:
            raise why_not from None

    def _tell(
        self, alerts: Sequence[Alert], remedy: str, reasons: Mapping[str, str]
    ) -> NotTold | None:
        # Only the thread knows what came of a message that took too long; it is done with it now.
        new = [alert for alert in alerts if _news(alert) not in self._taken]
        if not new:
            return next(filter(None, (self._taken[_news(alert)] for alert in alerts)), None)
        why_not = self._send(kind_of(new[0]), *message(new, remedy, reasons))
        if why_not is None or isinstance(why_not, ToldInPart):
            self._taken |= {_news(alert): why_not for alert in new}
            for old in list(self._taken)[:-_REMEMBERED]:
                del self._taken[old]
        return why_not

    def _send(self, kind: str, title: str, body: str) -> NotTold | None:
        result = self.address.service.notify(
            body=body, title=title, notify_type=kind, body_format="text", log_level=logging.DEBUG
        )
        return failure(result)


def notifiers_for(urls: str, make_thread: MakeThread) -> list[AppriseNotifier]:
    """Return a notifier for each address of a text; white space or commas part them.

    Raises WrongAlertUrl, which tells the place of each wrong one, counted from 1.
    """
    return [AppriseNotifier(address, thread=make_thread()) for address in addresses(urls)]


def kind_of(alert: Alert) -> str:
    """Return apprise's name for how bad an alert is; a resolved one is good."""
    return _NOTIFY_TYPES[alert.severity] if alert.resolved_at is None else _RESOLVED


def _news(alert: Alert) -> _News:
    return alert.id, alert.resolved_at is not None


def message(alerts: Sequence[Alert], remedy: str, reasons: Mapping[str, str]) -> tuple[str, str]:
    """Return title and body: what, then since when, then why, then what to do."""
    first = alerts[0]
    about = f"({first.severity}, rule {first.rule})"
    resolved = "" if first.resolved_at is None else "Resolved: "
    if len(alerts) == 1:
        title = f"{resolved}{_subject(first)}: {first.sentence}"
        lines = [f"{_when(first)} {about}"]
        if first.subject in reasons:
            lines.append(reasons[first.subject])
    else:
        title = f"{resolved}{_subjects(alerts)}: {first.sentence}"
        lines = [_line(alert, first, reasons) for alert in alerts[:_SHOWN]]
        if len(alerts) > _SHOWN:
            lines.append(f"… and {len(alerts) - _SHOWN} more")
        lines.append(about)
    if not resolved and remedy:
        lines.append(remedy)
    return title, "\n".join(lines)


def _subjects(alerts: Sequence[Alert]) -> str:
    """Return whom alerts are about; what came and went unheard is told of several times."""
    count = len({alert.subject for alert in alerts})
    return f"{count} sessions" if count > 1 else f"{_subject(alerts[0])}, {len(alerts)} times"


def _line(alert: Alert, first: Alert, reasons: Mapping[str, str]) -> str:
    """Return what one of several alerts has of its own."""
    own = () if alert.sentence == first.sentence else (alert.sentence,)
    why = (reasons[alert.subject],) if alert.subject in reasons else ()
    line, more = f"{_subject(alert)}: {_when(alert)}", " ".join((*own, *why))
    return f"{line}. {more}" if more else line


def _subject(alert: Alert) -> str:
    return "Perene" if alert.subject == SERVICE else f"Session {alert.subject}"


def _when(alert: Alert) -> str:
    if alert.resolved_at is None:
        return f"Alert since {_time(alert.began_at)}"
    return f"From {_time(alert.began_at)} to {_time(alert.resolved_at)}"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
