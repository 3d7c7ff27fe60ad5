"""The frames of an event stream: what is sent of an event, and when a position is wrong."""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from perene.api.shapes.events import EventOut
from perene.supervisor.ports import StoredEvent

CHUNK_BYTES = 64 * 1024
"""What is sent at once: each piece costs more than what is in it."""

_KEPT = 256
"""Events whose frame is kept for the streams that have yet to send them."""


def opening(position: int) -> bytes:
    """Return what a stream begins with: from where it reads, and when to come back to it."""
    # Without an event there is no data, and so nothing is told by this; but it is remembered as
    # the last id, by a client that loses its connection before the first event.
    return f": reading from here\nid: {position}\nretry: 2000\n\n".encode()


def frame_of(item: StoredEvent) -> bytes:
    """Return the frame of one event. JSON has no bare line break, so one line does."""
    data = EventOut.of(item).model_dump_json()
    return f"id: {item.seq}\nevent: {item.event.type}\ndata: {data}\n\n".encode()


def reset(*, asked: int, position: int) -> bytes:
    """Return what tells a client that its position is not one of this outbox, and its new one."""
    data = json.dumps(
        {"asked": asked, "position": position, "detail": not_reached(asked, position)}
    )
    return f"id: {position}\nevent: reset\ndata: {data}\n\n".encode()


def not_reached(asked: int, position: int) -> str:
    """Say in a sentence that the events do not reach a position."""
    return (
        f"The events reach to {position} only, and not to {asked}: the database was probably"
        " restored from a backup."
    )


def chunks(contents: Iterable[bytes]) -> Iterator[bytes]:
    """Join frames to pieces of some CHUNK_BYTES."""
    chunk = bytearray()
    for content in contents:
        chunk += content
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


class SharedFrames:
    """The frames of the events that were sent last, each made once for all streams."""

    def __init__(self, make: Callable[[StoredEvent], bytes] = frame_of) -> None:
        self._make = make
        self._made: OrderedDict[int, tuple[StoredEvent, bytes]] = OrderedDict()

    def of(self, item: StoredEvent) -> bytes:
        """Return the frame of an event."""
        made = self._made.get(item.seq)
        if made is not None and made[0] is item:
            return made[1]
        content = self._make(item)
        self._made[item.seq] = (item, content)
        if len(self._made) > _KEPT:
            self._made.popitem(last=False)
        return content
