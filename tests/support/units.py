"""Units and their parts, as short as a test wants to write them."""

from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from perene.core.events import Event, EventType, Json
from perene.core.failures import Failure
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import Fate, LedgerEntry, Message, MessageKey, Status, StatusChange
from perene.core.unit import Unit

ANA = SessionId("ana")
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

PN = "5511900000001@s.whatsapp.net"
LID = "100000000000001@lid"
OTHER_LID = "100000000000002@lid"
GROUP = "120363000000000001@g.us"
ME = "100000000000099@lid"

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Bytes:
    """A value that serialises to the bytes it holds."""

    data: bytes

    def serialize(self) -> bytes:
        return self.data


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = START) -> None:
        self.time = start

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - START).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def limit(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return nullcontext(seconds)  # it stands still, so nothing takes long


def event(kind: EventType = EventType.MESSAGE_RECEIVED, **payload: Json) -> Event:
    """Make an event with an id of its own."""
    return Event(type=kind, at=START, payload=payload)


def key(
    id_: str = "", *, chat: str = LID, sender: str | None = None, from_me: bool = False
) -> MessageKey:
    """Make a message key; without an id, one that no other has."""
    author = sender or (ME if from_me else chat)
    return MessageKey(
        chat=chat, sender=author, id=MessageId(id_ or f"M{next(_numbers)}"), from_me=from_me
    )


def message(
    message_key: MessageKey | None = None,
    *,
    text: str | None = "hello",
    body: bytes = b"body",
    status: Status | None = None,
    tell: bool = True,
    at: datetime = START,
) -> Message:
    """Make a message; `tell` gives it an event that names its id."""
    message_key = message_key or key()
    return Message(
        key=message_key,
        kind="text",
        text=text,
        body=body,
        timestamp=at,
        status=status or (Status.QUEUED if message_key.from_me else Status.RECEIVED),
        event=event(id=message_key.id, chat=message_key.chat) if tell else None,
    )


def status(
    id_: str, to: Status, *, failure: Failure | None = None, minutes: int = 0
) -> StatusChange:
    """Make a status change with an event."""
    return StatusChange(
        id=MessageId(id_),
        status=to,
        at=START + timedelta(minutes=minutes),
        failure=failure,
        event=event(EventType.MESSAGE_STATUS, id=id_, status=to.value),
    )


def entry(
    message_key: MessageKey,
    fate: Fate,
    *,
    reason: str | None = None,
    retries: int = 0,
    minutes: int = 0,
    wants_phone: bool | None = None,
) -> LedgerEntry:
    """Make a ledger entry, so many minutes after the start."""
    at = START + timedelta(minutes=minutes)
    return LedgerEntry(
        key=message_key,
        fate=fate,
        at=at,
        reason=reason,
        retries=retries,
        wants_phone=wants_phone,
    )


def unit(*, session: SessionId = ANA, epoch: int = 0, **changes: object) -> Unit:
    """Make a unit of a session at its first epoch."""
    return Unit(session=session, epoch=Epoch(epoch), **changes)  # pyright: ignore[reportArgumentType]  # the parts, by name
