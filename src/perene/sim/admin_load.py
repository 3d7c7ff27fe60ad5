"""The admin routes of prepared load."""

import asyncio

from fastapi import FastAPI

from perene.sim.admin_forms import NewTraffic
from perene.sim.reports import Json, traffic
from perene.sim.simulator import Simulator
from perene.sim.traffic import Traffic, TrafficPlan


def add_load_routes(app: FastAPI, simulator: Simulator) -> None:
    """Add the routes below /admin/traffic."""
    running: set[asyncio.Task[None]] = set()

    def find(number: str) -> Traffic:
        found = simulator.traffic.get(number)
        if found is None:
            raise LookupError("no such traffic")
        return found

    @app.post("/admin/traffic", status_code=201)
    async def prepare(form: NewTraffic) -> Json:
        """Encrypt a load beforehand. The server does nothing else meanwhile."""
        return traffic(simulator.prepare_traffic(TrafficPlan(**form.model_dump())))

    @app.post("/admin/traffic/{number}/fire", status_code=202)
    async def fire(number: str) -> Json:
        """Begin to send it, as fast as the client takes it."""
        found = find(number)
        if not found.firing:
            task = asyncio.create_task(found.fire(simulator.service))
            running.add(task)
            task.add_done_callback(running.discard)
        return traffic(found)

    @app.get("/admin/traffic/{number}")
    async def progress(number: str) -> Json:
        """How far it is. Times are seconds since the first stanza was sent."""
        return traffic(find(number))
