"""The HTTP API over the Perene that runs in a world."""

from fastapi import FastAPI

from perene.api import Ports, create_app
from perene.supervisor.ports import Alerts, HealthSource, Keys, MetricsSource
from tests.support.world import World


def api_over(
    world: World, *, keys: Keys, health: HealthSource, metrics: MetricsSource, alerts: Alerts
) -> FastAPI:
    """Return the API; what the world itself does not hold is given."""
    return create_app(
        Ports(
            gateway=world.sessions,
            messages=world.messages,
            accounts=world.accounts,
            events=world.feed,
            keys=keys,
            health=health,
            metrics=metrics,
            alerts=alerts,
        )
    )
