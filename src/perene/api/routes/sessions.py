"""Sessions: create, list, get, start, stop, restart, log out, delete, and the two ways to pair."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import QueryParams

from perene.api.auth import PROTECTED
from perene.api.long_answers import json_array
from perene.api.parameters import SessionPath
from perene.api.ports import GatewayPort, SessionListPort
from perene.api.problems import documented
from perene.api.qr import png, svg, terminal_qr
from perene.api.shapes.sessions import (
    PairingCodeIn,
    PairingCodeOut,
    QrOut,
    SessionIn,
    SessionOut,
    SessionsOut,
)
from perene.core.ids import SessionId
from perene.supervisor.ports import QrView

router = APIRouter(prefix="/sessions", tags=["sessions"])


class QrFormat(StrEnum):
    """How a QR code is shown."""

    PNG = "png"
    SVG = "svg"
    TEXT = "text"
    TERMINAL = "terminal"
    JSON = "json"


_BY_MEDIA_TYPE = {
    "image/png": QrFormat.PNG,
    "image/svg+xml": QrFormat.SVG,
    "text/plain": QrFormat.TEXT,
    "application/json": QrFormat.JSON,
}


_READ = re.compile(rf"{PROTECTED}{router.prefix}(/[^/]+)?")


def are_in_memory(path: str, _: QueryParams) -> bool:
    """Tell whether what is asked for is in memory, as the sessions themselves are."""
    return _READ.fullmatch(path) is not None


@router.post("", status_code=201, responses=documented(409))
async def create_session(body: SessionIn, gateway: GatewayPort, response: Response) -> SessionOut:
    """Create a session, and start it unless told otherwise."""
    view = await gateway.create_session(
        None if body.id is None else SessionId(body.id),
        name=body.name,
        options=body.options.options(),
        start=body.start,
    )
    response.headers["Location"] = f"/v1/sessions/{view.record.id}"
    return SessionOut.of(view)


@router.get("", response_model=SessionsOut)
async def list_sessions(gateway: GatewayPort, answer: SessionListPort) -> Response:
    """List every session, oldest first.

    Also while the database does not answer, for a key that it knew within the last 15 minutes:
    then `as_of` says how old is what was stored of each.
    """

    async def make() -> bytes:
        return await json_array(await gateway.list_sessions(), SessionOut.of)

    items = await answer.get(make)
    return Response(b'{"items":' + items + b"}", media_type="application/json")


@router.get("/{session_id}", responses=documented(404))
async def get_session(session_id: SessionPath, gateway: GatewayPort) -> SessionOut:
    """Show a session; while the database does not answer, as the list does."""
    return SessionOut.of(await gateway.session(SessionId(session_id)))


@router.delete("/{session_id}", status_code=204, response_class=Response, responses=documented(404))
async def delete_session(session_id: SessionPath, gateway: GatewayPort) -> None:
    """Delete a session and all that belongs to it: credentials, messages and events.

    WhatsApp is told nothing of it: log the session out first, or remove the device on the phone.

    It is gone with the answer, all of it or, after an error, nothing, and its id is free. The rows
    of one with very many messages are removed from the database in the minutes that follow, its
    events first.
    """
    await gateway.delete(SessionId(session_id))


@router.post("/{session_id}/start", responses=documented(404, 409))
async def start_session(session_id: SessionPath, gateway: GatewayPort) -> SessionOut:
    """Want a session running; it stays so over restarts. Nothing happens when it is.

    The answer comes at once: it may show the session as it was before.
    """
    return SessionOut.of(await gateway.start(SessionId(session_id)))


@router.post("/{session_id}/stop", responses=documented(404, 409))
async def stop_session(session_id: SessionPath, gateway: GatewayPort) -> SessionOut:
    """Want a session stopped; its credentials are kept. Nothing happens when it is.

    The answer comes when its connection has closed.
    """
    return SessionOut.of(await gateway.stop(SessionId(session_id)))


@router.post("/{session_id}/restart", responses=documented(404, 409))
async def restart_session(session_id: SessionPath, gateway: GatewayPort) -> SessionOut:
    """Connect anew at once: counts and waits are forgotten, credentials are kept.

    Only the end of a ban is waited for all the same.

    This is also how a session goes on that needs attention. One that is stopped is started.
    The answer comes at once: it may show the session as it was before, and `connected_at` changes
    with the new connection.
    """
    return SessionOut.of(await gateway.restart(SessionId(session_id)))


@router.post("/{session_id}/logout", responses=documented(404, 409))
async def logout_session(session_id: SessionPath, gateway: GatewayPort) -> SessionOut:
    """Unlink the device, destroy its credentials, and stop; messages and events are kept.

    WhatsApp is asked to forget the device; a session that is not connected connects once for that.
    If that fails, it stays in the phone's list of linked devices until it is removed there.
    """
    return SessionOut.of(await gateway.logout(SessionId(session_id)))


@router.get(
    "/{session_id}/qr",
    responses={
        200: {
            "description": "The QR code. The header Expires says how long it can be scanned.",
            "content": {
                "image/png": {"schema": {"type": "string", "format": "binary"}},
                "image/svg+xml": {"schema": {"type": "string"}},
                "text/plain": {"schema": {"type": "string"}},
                "application/json": {"schema": {"$ref": "#/components/schemas/QrOut"}},
            },
        },
        **documented(404, 409),
    },
    response_class=Response,
)
async def get_qr(
    session_id: SessionPath,
    gateway: GatewayPort,
    request: Request,
    form: Annotated[
        QrFormat | None,
        Query(
            alias="format",
            description="How to show it; without it the header Accept decides, then png."
            " `text` is what the code says, `terminal` a drawing in block characters.",
        ),
    ] = None,
    wait_s: Annotated[
        float, Query(ge=0, le=60, description="How long to wait for a code, in seconds.")
    ] = 20,
) -> Response:
    """Show the QR code to scan now, waiting for one when the session has just been started."""
    qr = await gateway.current_qr(SessionId(session_id), wait_s=wait_s)
    drawn = draw(qr, form or _accepted(request.headers.get("accept", "")))
    drawn.headers["Cache-Control"] = "no-store"
    drawn.headers["Expires"] = format_datetime(qr.expires_at.astimezone(UTC), usegmt=True)
    return drawn


@router.post("/{session_id}/pairing-code", responses=documented(404, 409))
async def request_pairing_code(
    session_id: SessionPath,
    body: PairingCodeIn,
    gateway: GatewayPort,
    wait_s: Annotated[
        float, Query(ge=0, le=60, description="How long to wait for WhatsApp, in seconds.")
    ] = 10,
) -> PairingCodeOut:
    """Get a code to type on the phone, under Linked devices, instead of scanning.

    A session that has just been started is waited for.
    """
    session = SessionId(session_id)
    await gateway.current_qr(session, wait_s=wait_s)  # whoever may scan may type
    code = await gateway.request_pairing_code(session, body.phone)
    return PairingCodeOut(code=code)


def draw(qr: QrView, form: QrFormat) -> Response:
    """Return a QR code as an answer of the form that was asked for."""
    match form:
        case QrFormat.PNG:
            return Response(png(qr.text), media_type="image/png")
        case QrFormat.SVG:
            return Response(svg(qr.text), media_type="image/svg+xml")
        case QrFormat.TEXT:
            return Response(qr.text, media_type="text/plain")
        case QrFormat.TERMINAL:
            return Response(terminal_qr(qr.text), media_type="text/plain")
        case QrFormat.JSON:
            content = QrOut(text=qr.text, expires_at=_utc(qr.expires_at)).model_dump_json()
            return Response(content, media_type="application/json")


def _accepted(header: str) -> QrFormat:
    """Return the first form that a client names; weights are not looked at."""
    for part in header.split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type in _BY_MEDIA_TYPE:
            return _BY_MEDIA_TYPE[media_type]
    return QrFormat.PNG


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
