"""The HTTP API over the Perene that runs in a world."""

from fastapi import FastAPI

from perene.api import Ports, create_app
from perene.supervisor.ports import Alerts, HealthSource, Keys, MetricsSource
from tests.support.perene import Perene
from tests.unit.api.fakes import FakeTrial


def api_over(
    perene: Perene, *, keys: Keys, health: HealthSource, metrics: MetricsSource, alerts: Alerts
) -> FastAPI:
    """Return the API; what Perene itself does not hold in a world is given."""
    return create_app(
        Ports(
            gateway=perene.sessions,
            messages=perene.messages,
            accounts=perene.accounts,
            events=perene.feed,
            keys=keys,
            health=health,
            metrics=metrics,
            alerts=alerts,
            alert_trial=FakeTrial(),
        )
    )
