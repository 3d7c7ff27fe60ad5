"""The JSON of events, in pages and in the stream."""

from datetime import datetime

from pydantic import BaseModel, Field, JsonValue

from perene.api.shapes.json import json_object
from perene.core.events import EventType
from perene.supervisor.ports import (
    EventPage,
    StoredEvent,
)


class EventOut(BaseModel):
    """One fact in the past tense."""

    seq: int = Field(description="Place in the order of all events.")
    id: str = Field(description="The same at every delivery.")
    type: EventType
    session: str
    at: datetime
    payload: dict[str, JsonValue] = Field(
        description="What it tells, by the type: docs/reference/events.md names the members."
    )

    @classmethod
    def of(cls, stored: StoredEvent) -> "EventOut":
        """Show an event."""
        event = stored.event
        return cls(
            seq=stored.seq,
            id=event.id,
            type=event.type,
            session=stored.session,
            at=event.at,
            payload=json_object(event.payload) or {},
        )


class StreamedOut(BaseModel):
    """An event as the stream sends it."""

    id: str = Field(pattern="^[0-9]+$", description="The position to come back with.")
    event: str = Field(description="The type of the event, or `reset`.")
    data: str = Field(
        description="JSON: an event as in a page; or, of a `reset`, the position that was `asked`"
        " for, the `position` that it goes on from, and the `detail` for a person."
    )


class EventsOut(BaseModel):
    """A page of events in order."""

    items: list[EventOut]
    position: int = Field(description="Give it as `after` to go on.")

    @classmethod
    def of(cls, page: EventPage) -> "EventsOut":
        """Show a page."""
        return cls(items=[EventOut.of(item) for item in page.items], position=page.position)
