"""What phones do at their users' hands: link, write, read, remember."""

from fastapi import APIRouter, Request

from perene.sim.admin import forms, reports
from perene.sim.admin.parameters import Phone, Running
from perene.sim.admin.reports import Json
from perene.sim.phone import PastMessage

router = APIRouter(prefix="/admin", tags=["phones"])


@router.post("/mock-phone/scan-qr")
async def scan_qr(request: Request, simulator: Running, phone: Phone = None) -> Json:
    """Scan the QR text in the body, with the phone that has this number.

    Without a number, the client's push name decides; without that, it is a new account.
    """
    text = (await request.body()).decode(errors="replace")
    device = simulator.scan_qr(text, phone)
    return {
        "phone": device.account.phone,
        "device": device.id,
        "jid": str(device.jid("pn")),
        "lid": str(device.jid("lid")),
    }


@router.post("/mock-phone/enter-code", status_code=202)
async def enter_code(form: forms.Code, simulator: Running) -> Json:
    """Type a pairing code. Whether it was right shows in the account's `pairing_code`."""
    simulator.enter_code(form.phone, form.code)
    return {
        "phone": form.phone,
        "pairing_code": simulator.service.pairing.codes.state(form.phone),
    }


@router.post("/accounts/{phone}/send")
async def send(phone: str, form: forms.Text, simulator: Running) -> Json:
    """Send a text from this phone, to a number or to a group's address."""
    return {"id": simulator.send_text(phone, form.to, form.text, form.id)}


@router.post("/accounts/{phone}/read")
async def read(phone: str, form: forms.Ids, simulator: Running) -> Json:
    """Read messages, so that their senders get read receipts."""
    return {"read": simulator.mark_read(phone, form.ids)}


@router.post("/accounts/{phone}/history")
async def history(phone: str, form: list[forms.Past], simulator: Running) -> Json:
    """Give the phone messages from before; its next companion gets them as history."""
    past = [
        PastMessage(
            chat=simulator.person(one.chat).account,
            id=one.id,
            text=one.text,
            time=one.time,
            from_me=one.from_me,
        )
        for one in form
    ]
    simulator.remember(phone, past)
    return {"messages": len(past)}


@router.patch("/accounts/{phone}")
async def change(phone: str, form: forms.AccountChange, simulator: Running) -> Json:
    """Change how a phone or contact behaves; what is left out stays."""
    person = simulator.person(phone)
    if form.name is not None:
        person.account.name = form.name
    if form.addressing is not None:
        person.account.addressing = form.addressing
    if form.auto_read is not None:
        person.party.reader.auto_read = form.auto_read
    if form.resends is not None:
        person.phone.resends = form.resends
    if form.online is not None:
        simulator.set_online(phone, form.online)
    return reports.account(simulator, person.account)
