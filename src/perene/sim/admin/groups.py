"""Groups, and who is in them."""

from fastapi import APIRouter

from perene.sim.admin import forms, reports
from perene.sim.admin.parameters import Running
from perene.sim.admin.reports import Json

router = APIRouter(prefix="/admin", tags=["groups"])


@router.post("/groups")
async def create(form: forms.NewGroup, simulator: Running) -> Json:
    """Make a group; everybody in it is notified."""
    made = simulator.create_group(form.subject, form.creator, form.members, form.addressing)
    return reports.group(made)


@router.get("/groups")
async def groups(simulator: Running) -> list[Json]:
    """List the groups, and who is in them."""
    return [reports.group(found) for found in simulator.world.groups]


@router.post("/groups/{jid}/participants")
async def participants(jid: str, form: forms.ParticipantChange, simulator: Running) -> Json:
    """Add people to a group, remove, promote or demote them; everybody concerned is notified."""
    return reports.group(simulator.change_group(jid, form.change, form.phones, form.by))
