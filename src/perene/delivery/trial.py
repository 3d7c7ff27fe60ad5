"""A try of the receivers of alerts: one message to each, which says that it is none."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from perene.core.clock import Clock
from perene.delivery.alerts import AppriseNotifier
from perene.supervisor.alerts.tellings import NotTold

TITLE = "Test: nothing is wrong with Perene"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of the message to one receiver; `failure` is None if the receiver took it."""

    receiver: str
    address: str
    took_s: float
    failure: str | None


async def try_receivers(
    notifiers: Sequence[AppriseNotifier], clock: Clock, *, host: str
) -> Sequence[Tried]:
    """Send the message to all receivers at the same time; `host` says where it comes from.

    None is tried again, and none is waited for longer than for an alert.
    """
    body = trial_text(host, clock.now())
    return await asyncio.gather(*(_tried(one, body, clock) for one in notifiers))


def trial_text(host: str, now: datetime) -> str:
    """Return the words of the message."""
    return (
        f"Somebody tries on {host} at {now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC whether alerts"
        " of Perene arrive here: they do.\nThere is nothing to do."
    )


async def _tried(notifier: AppriseNotifier, body: str, clock: Clock) -> Tried:
    began, failure = clock.monotonic(), None
    try:
        await notifier.send("info", TITLE, body)
    except NotTold as error:
        failure = str(error)
    return Tried(
        receiver=notifier.name,
        address=notifier.address.shown,
        took_s=clock.monotonic() - began,
        failure=failure,
    )
