"""What needs a person, and what did."""

from collections.abc import Sequence
from typing import Protocol

from perene.core.alerts import Alert
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
