"""What needs a person, and what did; and a try of those who are told of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from perene.core.alerts import Alert
from perene.core.errors import Conflict
from perene.core.ids import SessionId


class Alerts(Protocol):
    """What needs a person, and what did."""

    async def alerts(
        self, *, open_only: bool, session: SessionId | None, limit: int
    ) -> Sequence[Alert]:
        """Return up to `limit` alerts, the one that fired last first; None for every subject.

        What is open is told from memory, also while the database is away.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a test message to one receiver; `failure` is None if the receiver took it.

    `address` is its kind, with its host unless that may be a token; `took_s` is in seconds.
    """

    receiver: str
    address: str
    took_s: float
    failure: str | None


class AlertTestUnderWay(Conflict):
    """The receivers of alerts are being tested already, and are sent one test at a time."""

    code = "alert_test_under_way"
    remedy = "Ask again once that test has ended, after 15 seconds at most."


class AlertTrial(Protocol):
    """A try of the receivers of alerts."""

    async def run(self) -> Sequence[Tried]:
        """Send each receiver a message that says that it is a test; return what became of each.

        It neither waits behind alerts nor keeps one waiting. Raises AlertTestUnderWay.
        """
        ...
