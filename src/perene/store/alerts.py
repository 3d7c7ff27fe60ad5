"""Alerts: what needed a person, and whom it was told; and what may yet become one."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select

from perene.core.alerts import Alert, Key, Notification, Severity
from perene.core.ids import SessionId
from perene.store.bulk import BulkInsert, do_nothing, replacing
from perene.store.moments import micros, micros_or_none, moment, moment_or_none
from perene.store.ownership import lock_sessions
from perene.store.schema import alert_conditions, alerts
from perene.store.texts import storable

_COLUMNS = (
    "id",
    "rule",
    "subject",
    "severity",
    "sentence",
    "value",
    "began_at",
    "fired_at",
    "resolved_at",
    "notified",
)
_SAVE = BulkInsert(alerts, _COLUMNS, replacing(*_COLUMNS[1:]))
_INSERT_CONDITIONS = BulkInsert(alert_conditions, ("rule", "subject", "since"), do_nothing)


def save_alerts(connection: Connection, found: Sequence[Alert]) -> int:
    """Store alerts over what was stored under their ids; returns how many were.

    One about a session that does not exist is left out: it would outlive the session's deletion,
    which it may have crossed.
    """
    subjects = {SessionId(alert.subject) for alert in found if alert.subject}
    known = lock_sessions(connection, subjects) if subjects else {}
    kept = [alert for alert in found if not alert.subject or alert.subject in known]
    if kept:
        _SAVE.run(connection, [_row(alert) for alert in kept])
    return len(kept)


def list_alerts(
    connection: Connection, *, open_only: bool, subject: str | None, limit: int
) -> list[Alert]:
    """Return alerts, the one that fired last first; `subject` "" means the service's own."""
    table = alerts.c
    query = select(alerts).order_by(table.fired_at.desc(), table.id).limit(limit)
    if open_only:
        query = query.where(table.resolved_at.is_(None))
    if subject is not None:
        query = query.where(table.subject == subject)
    return [_alert(row) for row in connection.execute(query)]


def open_alerts(
    connection: Connection, *, or_resolved_since: datetime | None = None
) -> list[Alert]:
    """Return every alert that is not resolved, or was not before, in the order of their firing."""
    table = alerts.c
    wanted = table.resolved_at.is_(None)
    if or_resolved_since is not None:
        wanted = or_(wanted, table.resolved_at >= micros(or_resolved_since))
    query = select(alerts).where(wanted).order_by(table.fired_at, table.id)
    return [_alert(row) for row in connection.execute(query)]


def read_conditions(connection: Connection) -> dict[Key, datetime]:
    """Return the conditions that were written last, each with the moment since which it holds."""
    rows = connection.execute(select(alert_conditions))
    return {(row.rule, row.subject): moment(row.since) for row in rows}


def write_conditions(connection: Connection, conditions: Mapping[Key, datetime]) -> None:
    """Store these conditions in place of all that were."""
    connection.execute(delete(alert_conditions))
    _INSERT_CONDITIONS.run(connection, [(*key, micros(at)) for key, at in conditions.items()])


def purge_alerts(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete at most `limit` alerts that were resolved before; returns how many."""
    table = alerts.c
    old = select(table.id).where(table.resolved_at < micros(before)).limit(limit)
    return connection.execute(delete(alerts).where(table.id.in_(old))).rowcount


def _row(alert: Alert) -> tuple[object, ...]:
    return (
        alert.id,
        alert.rule,
        alert.subject,
        alert.severity.value,
        storable(alert.sentence),
        None if alert.value is None else float(alert.value),
        micros(alert.began_at),
        micros(alert.fired_at),
        micros_or_none(alert.resolved_at),
        json.dumps(
            [
                {"at": one.at.isoformat(), "ok": one.ok, "detail": one.detail}
                for one in alert.notified
            ]
        ),
    )


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        id=row.id,
        rule=row.rule,
        subject=row.subject,
        severity=Severity(row.severity),
        sentence=row.sentence,
        value=row.value,
        began_at=moment(row.began_at),
        fired_at=moment(row.fired_at),
        resolved_at=moment_or_none(row.resolved_at),
        notified=tuple(
            Notification(at=datetime.fromisoformat(one["at"]), ok=one["ok"], detail=one["detail"])
            for one in json.loads(row.notified)
        ),
    )
