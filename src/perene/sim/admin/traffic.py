"""Prepared load: encrypted beforehand, sent as fast as a client takes it."""

from typing import Annotated

from fastapi import APIRouter, Depends

from perene.sim.admin import reports
from perene.sim.admin.forms import NewTraffic
from perene.sim.admin.parameters import Running
from perene.sim.admin.reports import Json
from perene.sim.traffic import Traffic, TrafficPlan

router = APIRouter(prefix="/admin/traffic", tags=["traffic"])


async def _of_number(number: str, simulator: Running) -> Traffic:
    found = simulator.traffic.get(number)
    if found is None:
        raise LookupError("no such traffic")
    return found


Load = Annotated[Traffic, Depends(_of_number)]


@router.post("", status_code=201)
async def prepare(form: NewTraffic, simulator: Running) -> Json:
    """Encrypt a load beforehand. The server does nothing else meanwhile."""
    return reports.traffic(simulator.prepare_traffic(TrafficPlan(**form.model_dump())))


@router.post("/{number}/fire", status_code=202)
async def fire(load: Load, simulator: Running) -> Json:
    """Begin to send a prepared load, as fast as the client takes it."""
    load.begin(simulator.service)
    return reports.traffic(load)


@router.get("/{number}")
async def progress(load: Load) -> Json:
    """Show how far a load is. Times are seconds since the first stanza was sent."""
    return reports.traffic(load)
