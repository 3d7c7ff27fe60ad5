"""Who is there, and what has come of them."""

from fastapi import APIRouter, HTTPException

from perene.sim.admin import forms, reports
from perene.sim.admin.parameters import Number, Running
from perene.sim.admin.reports import Json

router = APIRouter(prefix="/admin", tags=["people"])


@router.post("/contacts")
async def add_contacts(form: forms.NewContacts, simulator: Running) -> list[Json]:
    """Add contacts: people with a phone and no companions."""
    if form.phone is not None and form.count != 1:
        raise HTTPException(422, "a number belongs to one contact")
    added = [
        simulator.add_contact(form.phone, form.name, form.addressing) for _ in range(form.count)
    ]
    return [reports.account(simulator, person.account) for person in added]


@router.get("/accounts")
async def accounts(simulator: Running) -> list[Json]:
    """List everybody, with their devices and counters."""
    return [reports.account(simulator, found) for found in simulator.directory]


@router.get("/accounts/{phone}")
async def account(phone: str, simulator: Running) -> Json:
    """Show one account, with its devices and counters."""
    return reports.account(simulator, simulator.person(phone).account)


@router.get("/accounts/{phone}/delivered")
async def delivered(phone: str, simulator: Running, device: Number = None) -> list[Json]:
    """List the messages that were passed on to a companion, in order, each once."""
    return reports.delivered(simulator, phone, device)


@router.get("/accounts/{phone}/inbox")
@router.get("/contacts/{phone}/inbox")
async def inbox(phone: str, simulator: Running) -> Json:
    """Show what somebody has read, what was counted, and the receipts for what they sent."""
    return reports.inbox(simulator, phone)


@router.delete("/accounts/{phone}/device")
async def unlink(phone: str, simulator: Running, device: Number = None) -> Json:
    """Unlink a companion: device_removed now, 401 at its next login."""
    simulator.unlink(phone, device)
    return reports.account(simulator, simulator.person(phone).account)


@router.post("/accounts/{phone}/lose-ratchets")
async def lose_ratchets(phone: str, simulator: Running) -> Json:
    """Let a phone or contact forget every ratchet and sender key."""
    simulator.lose_ratchets(phone)
    return {"phone": phone}


@router.post("/accounts/{phone}/new-identity")
async def new_identity(phone: str, simulator: Running) -> Json:
    """Let a contact reinstall: new identity key; who knows it is notified."""
    simulator.change_identity(phone)
    return {"phone": phone}
