"""Which versions of the client are taken, and which is live."""

from fastapi import APIRouter

from perene.sim.admin import forms
from perene.sim.admin.parameters import Running
from perene.sim.admin.reports import Json

router = APIRouter(prefix="/admin", tags=["versions"])


@router.post("/minimum-version")
async def minimum_version(form: forms.Version, simulator: Running) -> Json:
    """Refuse clients that are older than a version, with 405, or let no phone link them."""
    simulator.require_version(form.version, to_link=form.to_link)
    return {"version": form.version, "to_link": form.to_link}


@router.post("/web-version")
async def web_version(form: forms.WebVersion, simulator: Running) -> Json:
    """Set what /sw.js tells of the live version; what is left out stays."""
    published = simulator.web_version
    if form.revision is not None:
        published.revision = form.revision
    if form.status is not None:
        published.status = form.status
    return {"revision": published.revision, "status": published.status}
