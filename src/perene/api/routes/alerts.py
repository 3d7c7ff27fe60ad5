"""Alerts: what needs a person now, and what did."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams

from perene.api.auth import PROTECTED
from perene.api.parameters import Limit
from perene.api.ports import AlertsPort
from perene.core.alerts import Alert, Notification, Severity
from perene.core.ids import SESSION_ID, SessionId

router = APIRouter(prefix="/alerts", tags=["alerts"])


class AlertState(StrEnum):
    """Which alerts are shown."""

    OPEN = "open"
    ALL = "all"


_UNASKED = AlertState.OPEN
"""Which alerts are shown to who does not say."""


def are_in_memory(path: str, query: QueryParams) -> bool:
    """Tell whether what is asked for is in memory; alerts that are over are stored only."""
    is_mine = path == PROTECTED + router.prefix
    return is_mine and query.get("state", _UNASKED) == AlertState.OPEN


class NotificationOut(BaseModel):
    """One attempt to tell of an alert."""

    at: datetime
    ok: bool
    detail: str | None = Field(description="Which receiver, and why it failed.")

    @classmethod
    def of(cls, notification: Notification) -> "NotificationOut":
        """Show an attempt."""
        return cls(at=notification.at, ok=notification.ok, detail=notification.detail)


class AlertOut(BaseModel):
    """Something that is wrong, or was."""

    id: str
    rule: str
    session: str | None = Field(description="The session; null for the service itself.")
    severity: Severity
    sentence: str = Field(description="What is wrong, for a person.")
    value: float | None = Field(description="The number that the rule compared.")
    began_at: datetime = Field(description="Since when it was wrong.")
    fired_at: datetime = Field(description="When it had been wrong for long enough.")
    resolved_at: datetime | None = Field(description="When it was well again; null while open.")
    notified: list[NotificationOut] = Field(description="Attempts to tell of it, the latest.")

    @classmethod
    def of(cls, alert: Alert) -> "AlertOut":
        """Show an alert."""
        return cls(
            id=alert.id,
            rule=alert.rule,
            session=alert.subject or None,
            severity=alert.severity,
            sentence=alert.sentence,
            value=alert.value,
            began_at=alert.began_at,
            fired_at=alert.fired_at,
            resolved_at=alert.resolved_at,
            notified=[NotificationOut.of(one) for one in alert.notified],
        )


class AlertsOut(BaseModel):
    """Alerts, the one that fired last first."""

    items: list[AlertOut]


@router.get("")
async def list_alerts(
    alerts: AlertsPort,
    state: Annotated[
        AlertState, Query(description="Only what is open, or what was resolved too.")
    ] = _UNASKED,
    session: Annotated[
        str | None, Query(pattern=SESSION_ID, description="Only alerts of this session.")
    ] = None,
    limit: Limit = 100,
) -> AlertsOut:
    """List alerts, the one that fired last first.

    Open ones are shown also while the database does not answer, for a key that it knew within the
    last 15 minutes.
    """
    found = await alerts.alerts(
        open_only=state is AlertState.OPEN,
        session=None if session is None else SessionId(session),
        limit=limit,
    )
    return AlertsOut(items=[AlertOut.of(alert) for alert in found])
