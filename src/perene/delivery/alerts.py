"""Alerts sent to the services that `PERENE_ALERT_URLS` names, by addresses that apprise knows.

Such an address holds passwords and tokens: it is never logged, shown or put into an error.
"""

import asyncio
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Protocol

from perene.core.alerts import SERVICE, Alert, Severity
from perene.core.errors import RefusedToStart
from perene.supervisor.alerts.tellings import NotTold

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

_BETWEEN = re.compile(r"\s+|,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""White space, or a comma before a scheme: a comma within an address parts its targets."""


class WrongAlertUrl(RefusedToStart):
    """An address that alerts shall be sent to cannot be used."""

    code = "wrong_alert_url"
    remedy = "Mend the address at that place of PERENE_ALERT_URLS; apprise's pages list all forms."


class Service(Protocol):
    """What is used of apprise: one address, loaded."""

    def notify(self, body: str, title: str, notify_type: str, body_format: str) -> object:
        """Send a message; true when it was taken."""
        ...


MakeThread = Callable[[], Executor]
"""Makes one thread, which must not keep the process from its end: a receiver may hang in it."""


class AppriseNotifier:
    """One receiver. Messages are sent on a thread of its own, for apprise blocks."""

    def __init__(
        self, name: str, service: Service, *, thread: Executor, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._name = name
        self._service = service
        self._timeout_s = timeout_s
        # Its own: a receiver that hangs must take no thread from the database or the others.
        self._thread = thread

    @property
    def name(self) -> str:
        """Return what the receiver is called in logs and in an alert's history."""
        return self._name

    async def tell(
        self, alerts: Sequence[Alert], *, remedy: str, reasons: Mapping[str, str]
    ) -> None:
        """Send one message; raise NotTold when the receiver did not take it in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                loop = asyncio.get_running_loop()
                title, body = message(alerts, remedy, reasons)
                taken = await loop.run_in_executor(
                    self._thread, self._send, kind_of(alerts[0]), title, body
                )
        except TimeoutError:
            raise NotTold(f"no answer within {self._timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001  # a plugin raises anything, its address with it
            raise NotTold(f"the message was not sent ({type(error).__name__})") from None
        if not taken:
            raise NotTold("the message was not taken")

    def _send(self, kind: str, title: str, body: str) -> bool:
        return bool(
            self._service.notify(body=body, title=title, notify_type=kind, body_format="text")
        )


def notifiers_for(urls: str, make_thread: MakeThread) -> list[AppriseNotifier]:
    """Return a notifier for each address of a text; white space or commas part them.

    Raises WrongAlertUrl, which tells the place of the wrong one, counted from 1.
    """
    found = [url for part in _BETWEEN.split(urls) if (url := part.strip(","))]
    if not found:
        return []
    # Both libraries name addresses in their own lines, at times with the token that is in the path.
    for library in ("apprise", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        # apprise loads modules that Python will drop; that is nothing to our user.
        warnings.simplefilter("ignore", DeprecationWarning)
        return [_notifier(place, url, make_thread()) for place, url in enumerate(found, start=1)]


def _notifier(place: int, url: str, thread: Executor) -> AppriseNotifier:
    # Only who uses it waits for it to be loaded.
    from apprise import Apprise, AppriseAsset

    apprise = Apprise(asset=AppriseAsset(app_id="Perene", app_desc="Perene", app_url=""))
    if not apprise.add(url):  # pyright: ignore[reportUnknownMemberType]
        raise WrongAlertUrl(f"Address {place} in PERENE_ALERT_URLS cannot be used.")
    return AppriseNotifier(f"address {place}", apprise, thread=thread)


def kind_of(alert: Alert) -> str:
    """Return apprise's name for how bad an alert is; a resolved one is good."""
    return _NOTIFY_TYPES[alert.severity] if alert.resolved_at is None else _RESOLVED


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
