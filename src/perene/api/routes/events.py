"""Events: a stream that goes on from where its client was, or a page."""

import re
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from perene.api.auth import caller_of
from perene.api.event_frames import not_reached
from perene.api.parameters import Limit
from perene.api.ports import EventsPort, KeysPort, StreamsPort
from perene.api.problems import PositionAhead, documented
from perene.api.shapes.events import EventsOut
from perene.api.streams import EventStream, Selection, frames
from perene.core.events import EventType
from perene.core.ids import SESSION_ID, SessionId
from perene.supervisor.ports import Events

router = APIRouter(prefix="/events", tags=["events"])

_MAX_SEQ = 2**63 - 1


class EventsFormat(StrEnum):
    """How events are sent."""

    SSE = "sse"
    JSON = "json"


async def _position(
    after: Annotated[
        int | None,
        Query(
            ge=0,
            le=_MAX_SEQ,
            description="Read what comes behind this position; 0 reads everything. Without it a"
            " stream begins with what happens next, a page with the oldest.",
        ),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            pattern=r"^[0-9]{1,18}$",
            description="The id of the last event that was seen; wins over `after`.",
        ),
    ] = None,
) -> int | None:
    return int(last_event_id) if last_event_id is not None else after


async def _selection(
    session: Annotated[
        str | None, Query(pattern=SESSION_ID, description="Only events of this session.")
    ] = None,
    types: Annotated[
        list[EventType],
        Query(alias="type", max_length=64, description="Only this type; can be repeated."),
    ] = [],  # noqa: B006 # FastAPI copies a default, and wants it as it is
) -> Selection:
    return Selection(session=None if session is None else SessionId(session), types=types)


async def _format(
    request: Request,
    form: Annotated[
        EventsFormat | None,
        Query(
            alias="format",
            description="A stream of server-sent events, or one page of JSON; without it the"
            " header Accept decides, then sse.",
        ),
    ] = None,
) -> EventsFormat:
    return form or _accepted(request.headers.get("accept", ""))


def _accepted(header: str) -> EventsFormat:
    """Return JSON for a client that names it and not the stream."""
    names = re.findall(r"[a-z-]+/[a-z0-9.+-]+", header.lower())
    only_json = "application/json" in names and "text/event-stream" not in names
    return EventsFormat.JSON if only_json else EventsFormat.SSE


@router.get(
    "",
    response_class=Response,
    responses={
        200: {
            "description": "A stream that does not end by itself, or a page.",
            "content": {
                "text/event-stream": {"schema": {"$ref": "#/components/schemas/StreamedOut"}},
                "application/json": {"schema": {"$ref": "#/components/schemas/EventsOut"}},
            },
        },
        **documented(409, 503),
    },
)
async def read_events(
    request: Request,
    events: EventsPort,
    streams: StreamsPort,
    keys: KeysPort,
    position: Annotated[int | None, Depends(_position)],
    selection: Annotated[Selection, Depends(_selection)],
    form: Annotated[EventsFormat, Depends(_format)],
    limit: Limit = 100,
    heartbeat_s: Annotated[
        float,
        Query(ge=1, le=300, description="A stream without news sends a comment so often."),
    ] = 15,
) -> Response:
    """Read events, live or from any point in the past.

    A stream sends each event with its `seq` as id, its type and its JSON. A client that comes
    back with `Last-Event-ID` misses nothing. Reading changes nothing: closing a stream never
    touches a session.

    A position behind the newest event is one of another database, or of this one before a backup
    was restored. A stream then says so by an event `reset` with the new position as its id, and
    goes on from there; a page is refused with 409.
    """
    if form is EventsFormat.JSON:
        return await _page(events, position or 0, selection, limit)
    if position is None:
        position = await events.latest()
    caller = caller_of(request)
    return EventStream(
        frames(events, position, selection, heartbeat_s, streams),
        streams,
        lambda: keys.revoked(caller.id),
    )


async def _page(events: Events, asked: int, selection: Selection, limit: int) -> Response:
    page = await events.after(asked, session=selection.session, types=selection.types, limit=limit)
    if page.position < asked:
        raise PositionAhead(not_reached(asked, page.position))
    return Response(EventsOut.of(page).model_dump_json(), media_type="application/json")
