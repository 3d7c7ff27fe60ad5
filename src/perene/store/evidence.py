"""What the store keeps for people who ask how sessions fared: outages, alerts, client versions."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from perene.core.alerts import Alert, Key
from perene.core.ids import SessionId
from perene.store import alerts, client_versions, hearing, outages
from perene.store.base import StoreBase
from perene.store.outages import OutageRow


class Evidence(StoreBase):
    """The part of the Store that no connection needs. Outages are written by units."""

    async def outages(
        self, session: SessionId, *, before: int | None = None, limit: int = 50
    ) -> list[OutageRow]:
        """Return a page of a session's outages, newest first, from behind the row `before`."""
        return await self._read(session, outages.list_outages, session, before=before, limit=limit)

    async def save_alerts(self, found: Sequence[Alert]) -> int:
        """Store alerts, over what was stored under their ids; returns how many were.

        One about a session that does not exist (any more) is left out.
        """
        return await self.database.write(alerts.save_alerts, found)

    async def list_alerts(
        self, *, open_only: bool = False, subject: str | None = None, limit: int = 50
    ) -> list[Alert]:
        """Return alerts, the one that fired last first.

        `subject` is a session's id, "" for the service's own, None for all.
        """
        return await self.database.read(
            alerts.list_alerts, open_only=open_only, subject=subject, limit=limit
        )

    async def open_alerts(self, *, or_resolved_since: datetime | None = None) -> list[Alert]:
        """Return every alert that is not resolved, the one that fired first first."""
        return await self.database.read(alerts.open_alerts, or_resolved_since=or_resolved_since)

    async def alert_conditions(self) -> dict[Key, datetime]:
        """Return, by rule and subject, since when each condition holds that was stored last."""
        return await self.database.read(alerts.read_conditions)

    async def save_alert_conditions(self, conditions: Mapping[Key, datetime]) -> None:
        """Store since when conditions hold, in place of all that were stored."""
        await self.database.write(alerts.write_conditions, conditions)

    async def learned_hearing(self) -> dict[SessionId, bytes]:
        """Return what every session has learned of its own traffic."""
        return await self.database.read(hearing.read_hearing)

    async def learned_hearing_of(self, session: SessionId) -> bytes | None:
        """Return what a session has learned of its own traffic, None if nothing is stored."""
        return await self.database.read(hearing.read_hearing_of, session)

    async def save_hearing(self, learned: Mapping[SessionId, bytes]) -> None:
        """Store what sessions have learned of their own traffic, over what was stored."""
        await self.database.write(hearing.write_hearing, learned)

    async def client_version(self, endpoint: str) -> tuple[str, datetime] | None:
        """Return an endpoint's version ("a.b.c") and when it was found, None when none was."""
        return await self.database.read(client_versions.read_client_version, endpoint)

    async def save_client_version(self, endpoint: str, version: str, now: datetime) -> None:
        """Store the version that an endpoint asks for, over the earlier one."""
        await self.database.write(client_versions.write_client_version, endpoint, version, now)
