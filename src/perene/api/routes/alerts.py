"""Alerts: what needs a person now, and what did."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.datastructures import QueryParams

from perene.api.auth import PROTECTED
from perene.api.parameters import Limit
from perene.api.ports import AlertsPort, AlertTrialPort
from perene.api.problems import documented
from perene.core.alerts import Alert, Notification, Severity
from perene.core.ids import SESSION_ID, SessionId
from perene.supervisor.ports import Tried

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


class TriedOut(BaseModel):
    """What became of the test message to one receiver."""

    receiver: str = Field(description="Its name, as in the log and in what was `notified`.")
    address: str = Field(description="Its kind, and its host where that is no token.")
    delivered: bool = Field(description="Whether it took the message.")
    failure: str | None = Field(description="Why it did not; null if it did.")
    took_s: float = Field(description="How long that took, in seconds.")

    @classmethod
    def of(cls, tried: Tried) -> "TriedOut":
        """Show what became of one message."""
        return cls(
            receiver=tried.receiver,
            address=tried.address,
            delivered=tried.failure is None,
            failure=tried.failure,
            took_s=tried.took_s,
        )


class TrialOut(BaseModel):
    """What became of a test, a line for each receiver of `PERENE_ALERT_URLS` in its order."""

    items: list[TriedOut]


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


@router.post("/test", responses=documented(409))
async def test_alerts(trial: AlertTrialPort) -> TrialOut:
    """Send each receiver of the running service a message that says that it is a test.

    The answer is 200 also if a receiver did not take it, and comes after 15 seconds at most. No
    alert is raised, none is stored, and none waits meanwhile. One test at a time: another is
    refused.
    """
    return TrialOut(items=[TriedOut.of(tried) for tried in await trial.run()])
