"""The admin API: drives the simulated people and the faults, and shows the evidence."""

from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from perene.sim import admin_forms as forms
from perene.sim import reports
from perene.sim.admin_load import add_load_routes
from perene.sim.faults import KINDS
from perene.sim.media import media_routes
from perene.sim.pairing import PairingRefused
from perene.sim.phone import PastMessage
from perene.sim.reports import Json
from perene.sim.simulator import Simulator
from perene.sim.web_version import web_version_routes

Number = Annotated[int | None, Query(description="the device's number; the newest if left out")]
Phone = Annotated[str | None, Query(description="the account's number")]


def admin_app(simulator: Simulator) -> FastAPI:
    """Return the API of a simulator, below /admin, described at /admin/docs."""
    app = FastAPI(
        title="Perene simulator",
        docs_url="/admin/docs",
        redoc_url=None,
        openapi_url="/admin/openapi.json",
    )

    @app.exception_handler(LookupError)
    async def unknown(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=404)

    @app.exception_handler(PairingRefused)
    async def refused(request: Request, error: Exception) -> JSONResponse:
        gone = isinstance(error, PairingRefused) and error.gone
        return JSONResponse({"detail": str(error)}, status_code=410 if gone else 400)

    _add_phones(app, simulator)
    _add_people(app, simulator)
    _add_groups(app, simulator)
    _add_evidence(app, simulator)
    _add_faults(app, simulator)
    _add_versions(app, simulator)
    add_load_routes(app, simulator)
    app.include_router(media_routes(simulator.media))
    app.include_router(web_version_routes(simulator.world, simulator.web_version))
    return app


def _add_phones(app: FastAPI, simulator: Simulator) -> None:
    @app.post("/admin/mock-phone/scan-qr")
    async def scan_qr(request: Request, phone: Phone = None) -> Json:
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

    @app.post("/admin/mock-phone/enter-code", status_code=202)
    async def enter_code(form: forms.Code) -> Json:
        """Type a pairing code. Whether it was right shows in the account's `pairing_code`."""
        simulator.enter_code(form.phone, form.code)
        return {
            "phone": form.phone,
            "pairing_code": simulator.service.pairing.code_state(form.phone),
        }

    @app.post("/admin/accounts/{phone}/send")
    async def send(phone: str, form: forms.Text) -> Json:
        """Send a text from this phone, to a number or to a group's address."""
        return {"id": simulator.send_text(phone, form.to, form.text, form.id)}

    @app.post("/admin/accounts/{phone}/read")
    async def read(phone: str, form: forms.Ids) -> Json:
        """Read messages, so that their senders get read receipts."""
        return {"read": simulator.mark_read(phone, form.ids)}

    @app.post("/admin/accounts/{phone}/history")
    async def history(phone: str, form: list[forms.Past]) -> Json:
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

    @app.patch("/admin/accounts/{phone}")
    async def change(phone: str, form: forms.AccountChange) -> Json:
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


def _add_people(app: FastAPI, simulator: Simulator) -> None:
    @app.post("/admin/contacts")
    async def add_contacts(form: forms.NewContacts) -> list[Json]:
        """Add contacts: people with a phone and no companions."""
        if form.phone is not None and form.count != 1:
            raise HTTPException(422, "a number belongs to one contact")
        added = [
            simulator.add_contact(form.phone, form.name, form.addressing) for _ in range(form.count)
        ]
        return [reports.account(simulator, person.account) for person in added]

    @app.get("/admin/accounts")
    async def accounts() -> list[Json]:
        """Everybody, with their devices and counters."""
        return [reports.account(simulator, found) for found in simulator.directory]

    @app.get("/admin/accounts/{phone}")
    async def account(phone: str) -> Json:
        """One account, with its devices and counters."""
        return reports.account(simulator, simulator.person(phone).account)

    @app.get("/admin/accounts/{phone}/delivered")
    async def delivered(phone: str, device: Number = None) -> list[Json]:
        """The messages that were passed on to a companion, in order, each once."""
        return reports.delivered(simulator, phone, device)

    @app.get("/admin/accounts/{phone}/inbox")
    @app.get("/admin/contacts/{phone}/inbox")
    async def inbox(phone: str) -> Json:
        """What somebody has read, what was counted, and the receipts for what they sent."""
        return reports.inbox(simulator, phone)

    @app.delete("/admin/accounts/{phone}/device")
    async def unlink(phone: str, device: Number = None) -> Json:
        """Unlink a companion: device_removed now, 401 at its next login."""
        simulator.unlink(phone, device)
        return reports.account(simulator, simulator.person(phone).account)

    @app.post("/admin/accounts/{phone}/lose-ratchets")
    async def lose_ratchets(phone: str) -> Json:
        """Let a phone or contact forget every ratchet and sender key."""
        simulator.lose_ratchets(phone)
        return {"phone": phone}

    @app.post("/admin/accounts/{phone}/new-identity")
    async def new_identity(phone: str) -> Json:
        """Let a contact reinstall: new identity key; who knows it is notified."""
        simulator.change_identity(phone)
        return {"phone": phone}


def _add_groups(app: FastAPI, simulator: Simulator) -> None:
    @app.post("/admin/groups")
    async def create(form: forms.NewGroup) -> Json:
        """Make a group; everybody in it is notified."""
        made = simulator.create_group(form.subject, form.creator, form.members, form.addressing)
        return reports.group(made)

    @app.get("/admin/groups")
    async def groups() -> list[Json]:
        """All groups."""
        return [reports.group(found) for found in simulator.world.groups]

    @app.post("/admin/groups/{jid}/participants")
    async def participants(jid: str, form: forms.ParticipantChange) -> Json:
        """Add, remove, promote or demote; everybody concerned is notified."""
        return reports.group(simulator.change_group(jid, form.change, form.phones, form.by))


def _add_evidence(app: FastAPI, simulator: Simulator) -> None:
    @app.get("/admin/stats")
    async def stats() -> Json:
        """Sums over all companions, what people counted, reused keys, unknown queries."""
        return reports.stats(simulator)

    @app.delete("/admin/media")
    async def forget_media() -> Json:
        """Lose every uploaded file, as the service does after a while."""
        return {"forgotten": simulator.media.forget()}

    @app.get("/admin/certificate", response_class=PlainTextResponse)
    async def certificate() -> str:
        """The TLS certificate as PEM, for clients that take one to trust."""
        if simulator.certificate is None:
            raise LookupError("the simulator was started without TLS")
        return simulator.certificate.decode()

    @app.get("/admin/root-key")
    async def root_key() -> Json:
        """The public root key that clients must trust."""
        return {"root_key": simulator.root_key.hex()}


def _add_faults(app: FastAPI, simulator: Simulator) -> None:
    @app.get("/admin/faults")
    async def faults() -> Json:
        """Every kind of fault, and those that are still to happen."""
        return {
            "kinds": KINDS,
            "pending": [reports.fault(one) for one in simulator.faults.pending()],
        }

    @app.post("/admin/faults", status_code=201)
    async def add(form: forms.NewFault) -> Json:
        """Plan a fault."""
        details = form.model_dump(exclude={"kind"}, exclude_none=True)
        return reports.fault(simulator.add_fault(form.kind, **details))

    @app.delete("/admin/faults")
    async def clear() -> Json:
        """Forget every fault, ban and version requirement."""
        simulator.faults.clear()
        return {}

    @app.delete("/admin/faults/{number}")
    async def cancel(number: int) -> Json:
        """Forget one fault."""
        if not simulator.faults.cancel(number):
            raise HTTPException(404, "no such fault")
        return {}

    @app.post("/admin/accounts/{phone}/stanza", status_code=201)
    async def inject(phone: str, form: forms.Stanza, device: Number = None) -> Json:
        """Give a companion a stanza of your own making."""
        return {"id": simulator.inject(phone, form.node(), device)}

    @app.post("/admin/accounts/{phone}/ping")
    async def ping(phone: str) -> Json:
        """Ping the connected companions; answers count as `pongs` in the stats."""
        return {"pinged": simulator.ping(phone)}

    @app.post("/admin/disconnect")
    async def disconnect(form: forms.Disconnect) -> Json:
        """End sessions in one of the server's ways."""
        return {"ended": simulator.disconnect(form.phone, form.how, form.code)}

    @app.post("/admin/ban")
    async def ban(form: forms.NewBan) -> Json:
        """Ban a number: its stream ends, logins fail with 402 and the seconds left."""
        simulator.ban(form.phone, timedelta(seconds=form.seconds), form.code)
        return {"phone": form.phone}

    @app.post("/admin/limit")
    async def limit(form: forms.NewLimit) -> Json:
        """Let a number write only to those who wrote to it, for some seconds."""
        simulator.limit(form.phone, timedelta(seconds=form.seconds), form.code, form.tell)
        return {"phone": form.phone}

    @app.post("/admin/privacy-tokens")
    async def privacy_tokens(form: forms.TokenRule) -> Json:
        """Refuse a number's messages with 463 unless they show the token of whom they go to."""
        simulator.require_tokens(form.phone, form.required)
        return {"phone": form.phone, "required": form.required}


def _add_versions(app: FastAPI, simulator: Simulator) -> None:
    @app.post("/admin/minimum-version")
    async def minimum_version(form: forms.Version) -> Json:
        """Refuse older clients with 405."""
        simulator.require_version(form.version)
        return {"version": form.version}

    @app.post("/admin/web-version")
    async def web_version(form: forms.WebVersion) -> Json:
        """Set what /sw.js tells of the live version; what is left out stays."""
        published = simulator.web_version
        if form.revision is not None:
            published.revision = form.revision
        if form.status is not None:
            published.status = form.status
        return {"revision": published.revision, "status": published.status}
