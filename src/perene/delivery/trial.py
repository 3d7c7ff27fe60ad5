"""A try of the receivers of alerts: one message to each, which says that it is none."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from perene.core.clock import Clock
from perene.delivery.alerts import AppriseNotifier
from perene.supervisor.alerts.tellings import NotTold
from perene.supervisor.ports import AlertTestUnderWay, Tried

log = structlog.stdlib.get_logger()

TITLE = "Test: nothing is wrong with Perene"


class Trial:
    """Implements `ports.AlertTrial`; `host` says where the messages come from.

    Its notifiers are its own: with those of alerts it would share the threads that send.
    """

    def __init__(self, notifiers: Sequence[AppriseNotifier], clock: Clock, *, host: str) -> None:
        self._notifiers = notifiers
        self._clock = clock
        self._host = host
        self._under_way = False

    async def run(self) -> Sequence[Tried]:
        """Send the message to all receivers at the same time; see `ports.AlertTrial`.

        None is tried again, and none is waited for longer than for an alert.
        """
        if self._under_way:
            raise AlertTestUnderWay("The receivers of alerts are being tested already.")
        self._under_way = True
        try:
            body = trial_text(self._host, self._clock.now())
            return await asyncio.gather(*(self._tried(one, body) for one in self._notifiers))
        finally:
            self._under_way = False

    async def _tried(self, notifier: AppriseNotifier, body: str) -> Tried:
        began, failure = self._clock.monotonic(), None
        try:
            await notifier.send("info", TITLE, body)
        except NotTold as error:
            failure = str(error)
        log.info("alert_receiver_tested", receiver=notifier.name, failure=failure)
        return Tried(
            receiver=notifier.name,
            address=notifier.address.shown,
            took_s=self._clock.monotonic() - began,
            failure=failure,
        )


def trial_text(host: str, now: datetime) -> str:
    """Return the words of the message."""
    return (
        f"Somebody tries on {host} at {now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC whether alerts"
        " of Perene arrive here: they do.\nThere is nothing to do."
    )
