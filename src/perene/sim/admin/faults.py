"""What goes wrong: planned faults, and what the server does to a client at once."""

from datetime import timedelta

from fastapi import APIRouter, HTTPException

from perene.sim.admin import forms, reports
from perene.sim.admin.parameters import Number, Running
from perene.sim.admin.reports import Json
from perene.sim.faults import KINDS

router = APIRouter(prefix="/admin", tags=["faults"])


@router.get("/faults")
async def faults(simulator: Running) -> Json:
    """Show every kind of fault, and those that are still to happen."""
    return {
        "kinds": KINDS,
        "pending": [reports.fault(one) for one in simulator.faults.pending()],
    }


@router.post("/faults", status_code=201)
async def add(form: forms.NewFault, simulator: Running) -> Json:
    """Plan a fault, for a number, a device or anybody; `GET /admin/faults` says what each does."""
    details = form.model_dump(exclude={"kind"}, exclude_none=True)
    return reports.fault(simulator.add_fault(form.kind, **details))


@router.delete("/faults")
async def clear(simulator: Running) -> Json:
    """Forget every fault, ban and version requirement."""
    simulator.faults.clear()
    return {}


@router.delete("/faults/{number}")
async def cancel(number: int, simulator: Running) -> Json:
    """Forget one fault that is still to happen."""
    if not simulator.faults.cancel(number):
        raise HTTPException(404, "no such fault")
    return {}


@router.post("/accounts/{phone}/stanza", status_code=201)
async def inject(phone: str, form: forms.Stanza, simulator: Running, device: Number = None) -> Json:
    """Give a companion a stanza of your own making."""
    return {"id": simulator.inject(phone, form.node(), device)}


@router.post("/accounts/{phone}/ping")
async def ping(phone: str, simulator: Running) -> Json:
    """Ping the connected companions; answers count as `pongs` in the stats."""
    return {"pinged": simulator.ping(phone)}


@router.post("/disconnect")
async def disconnect(form: forms.Disconnect, simulator: Running) -> Json:
    """End sessions in one of the server's ways."""
    return {"ended": simulator.disconnect(form.phone, form.how, form.code)}


@router.post("/ban")
async def ban(form: forms.NewBan, simulator: Running) -> Json:
    """Ban a number: its stream ends, logins fail with 402 and the seconds left."""
    simulator.ban(form.phone, timedelta(seconds=form.seconds), form.code)
    return {"phone": form.phone}


@router.post("/limit")
async def limit(form: forms.NewLimit, simulator: Running) -> Json:
    """Let a number write only to those who wrote to it, for some seconds."""
    simulator.limit(form.phone, timedelta(seconds=form.seconds), form.code, form.tell)
    return {"phone": form.phone}


@router.post("/privacy-tokens")
async def privacy_tokens(form: forms.TokenRule, simulator: Running) -> Json:
    """Refuse a number's messages with 463 unless they show the token of whom they go to."""
    simulator.require_tokens(form.phone, form.required, weeks=form.weeks)
    return {"phone": form.phone, "required": form.required}
