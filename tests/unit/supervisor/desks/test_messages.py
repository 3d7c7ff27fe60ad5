"""The messages of a session as the API sends and reads them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from unittest.mock import AsyncMock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perene.core.errors import (
    Conflict,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    StorageUnavailable,
)
from perene.core.failures import Failure
from perene.core.ids import MessageId, SessionId
from perene.core.messages import Message, Status
from perene.core.sessions import SessionRecord
from perene.supervisor.desks.messages import Admission, MessageDesk
from perene.supervisor.ports import Accepted, NotPaired, ReachOutLimited
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy
from tests.support.units import ManualClock, key, message
from tests.unit.supervisor.fakes import LID, PN, MemoryStore

ANA = SessionId("ana")
TO = "5511900000002@s.whatsapp.net"
HASH = b"h" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    row: int
    message: Message
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    chat: str
    last_row: int
    last_message_at: datetime | None = None


@dataclass
class MemoryMessages:
    """The messages of a store, with one linked session."""

    sessions: MemoryStore = field(default_factory=MemoryStore)
    rows: list[Stored] = field(default_factory=list[Stored])
    keys: dict[str, tuple[bytes, Stored]] = field(default_factory=dict[str, tuple[bytes, Stored]])
    chats: list[Chat] = field(default_factory=list[Chat])
    order: list[str] = field(default_factory=list[str])
    """What happened, in order."""
    unheard: int = 0
    """How many answers are lost, with what was asked done."""
    away: int = 0
    """How many messages are refused."""

    def __post_init__(self) -> None:
        self.sessions.add("ana", paired=True)

    def profile(self, **changes: str | bool | None) -> None:
        record = self.sessions.records[ANA]
        self.sessions.records[ANA] = replace(record, **changes)

    async def get_session(self, session: SessionId) -> SessionRecord:
        return await self.sessions.get_session(session)

    async def queue_message(
        self,
        session: SessionId,
        message: Message,
        *,
        idempotency_key: str | None,
        request_hash: bytes,
    ) -> Stored:
        if self.away:
            self.away -= 1
            raise StorageUnavailable("it restarts")
        if idempotency_key in self.keys:
            earlier, stored = self.keys[idempotency_key]
            if earlier != request_hash:
                raise IdempotencyConflict("used before")
            return stored
        if any(row.message.key == message.key for row in self.rows):
            raise Conflict("exists already")
        stored = Stored(row=len(self.rows) + 1, message=message)
        self.rows.append(stored)
        self.order.append("stored")
        if idempotency_key is not None:
            self.keys[idempotency_key] = (request_hash, stored)
        if self.unheard:
            self.unheard -= 1
            raise StorageUnavailable("no answer")
        return stored

    async def message_of_key(
        self, session: SessionId, idempotency_key: str, request_hash: bytes
    ) -> Stored | None:
        if idempotency_key not in self.keys:
            return None
        earlier, stored = self.keys[idempotency_key]
        if earlier != request_hash:
            raise IdempotencyConflict("used before")
        return stored

    async def list_messages(
        self,
        session: SessionId,
        *,
        chat: str | None,
        cursor: int | None,
        limit: int,
        newest_first: bool,
    ) -> Sequence[Stored]:
        await self.get_session(session)
        found = [row for row in self.rows if chat in (None, row.message.key.chat)]
        if newest_first:
            return [row for row in found[::-1] if cursor is None or row.row < cursor][:limit]
        return [row for row in found if cursor is None or row.row > cursor][:limit]

    async def find_messages(self, session: SessionId, message_id: MessageId) -> Sequence[Stored]:
        await self.get_session(session)
        return [row for row in self.rows if row.message.key.id == message_id]

    async def list_conversations(
        self, session: SessionId, *, cursor: int | None, limit: int
    ) -> Sequence[Chat]:
        await self.get_session(session)
        ordered = sorted(self.chats, key=lambda chat: -chat.last_row)
        return [chat for chat in ordered if cursor is None or chat.last_row < cursor][:limit]

    def add(self, *texts: str) -> None:
        for text in texts:
            self.rows.append(Stored(row=len(self.rows) + 1, message=message(text=text)))


@pytest.fixture
def store() -> MemoryMessages:
    return MemoryMessages()


def anybody(_record: SessionRecord, _to: str) -> AbstractAsyncContextManager[None]:
    return nullcontext()


def desk_on(store: MemoryMessages, admission: Admission = anybody) -> MessageDesk:
    clock = ManualClock()
    return MessageDesk(
        store,
        clock,
        Retries(clock, SavePolicy()),
        compose=lambda text: b"composed:" + text.encode(),
        read_fields=lambda body: {"read": body.decode()},
        wake=lambda session: store.order.append(f"woken {session}"),
        doubt=lambda session: store.order.append(f"doubted {session}"),
        admission=admission,
    )


@pytest.fixture
def desk(store: MemoryMessages) -> MessageDesk:
    return desk_on(store)


async def send(
    desk: MessageDesk, text: str = "hello", *, idempotency_key: str | None = None, of: bytes = HASH
) -> Accepted:
    return await desk.send_text(
        ANA, to=TO, text=text, idempotency_key=idempotency_key, request_hash=of
    )


async def test_a_text_is_stored_before_the_sender_is_woken(
    desk: MessageDesk, store: MemoryMessages
) -> None:
    accepted = await send(desk)
    assert store.order == ["stored", "woken ana"]
    queued = accepted.message.message
    assert not accepted.repeated
    assert queued is store.rows[0].message
    assert (queued.kind, queued.text, queued.body) == ("text", "hello", b"composed:hello")
    assert (queued.status, queued.key.chat, queued.key.from_me) == (Status.QUEUED, TO, True)


@pytest.mark.parametrize(
    ("pn", "lid", "sender"),
    [
        (PN, LID, "100000000000099@lid"),
        (None, LID, "100000000000099@lid"),
        (PN, None, "5511900000001@s.whatsapp.net"),
        ("5511900000001@s.whatsapp.net", None, "5511900000001@s.whatsapp.net"),
    ],
)
async def test_the_sender_is_the_session_s_own_bare_address_the_lid_where_it_is_known(
    desk: MessageDesk, store: MemoryMessages, pn: str | None, lid: str | None, sender: str
) -> None:
    store.profile(pn=pn, lid=lid)
    assert (await send(desk)).message.message.key.sender == sender


@pytest.mark.requirement("F5")
async def test_a_repeated_request_answers_with_the_first_message(
    desk: MessageDesk, store: MemoryMessages
) -> None:
    first = await send(desk, idempotency_key="k")
    again = await send(desk, idempotency_key="k")
    assert (first.repeated, again.repeated) == (False, True)
    assert again.message.message.key == first.message.message.key
    assert len(store.rows) == 1


@pytest.mark.requirement("F5")
async def test_a_key_that_was_used_for_another_request_is_refused(
    desk: MessageDesk, store: MemoryMessages
) -> None:
    await send(desk, idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        await send(desk, "other", idempotency_key="k", of=b"o" * 32)
    assert store.order == ["stored", "woken ana"]


async def test_requests_without_a_key_are_messages_of_their_own(desk: MessageDesk) -> None:
    first, second = await send(desk), await send(desk)
    assert first.message.message.key.id != second.message.message.key.id


@pytest.mark.requirement("C8", "E8")
@pytest.mark.parametrize("away", [1, 2])
async def test_a_database_that_restarts_refuses_nobody(
    desk: MessageDesk, store: MemoryMessages, away: int
) -> None:
    store.away = away
    assert not (await send(desk)).repeated
    assert store.order == ["stored", "woken ana"]


@pytest.mark.requirement("C8", "E8")
@pytest.mark.parametrize("idempotency_key", [None, "k"])
async def test_what_was_stored_without_an_answer_is_taken_once_and_is_no_repetition(
    desk: MessageDesk, store: MemoryMessages, idempotency_key: str | None
) -> None:
    store.unheard = 1
    accepted = await send(desk, idempotency_key=idempotency_key)
    assert not accepted.repeated
    assert accepted.message.message is store.rows[0].message
    assert store.order == ["stored", "woken ana"]


@pytest.mark.requirement("F5", "F10")
async def test_what_was_stored_without_an_answer_is_not_refused_for_the_pace_of_new_chats(
    store: MemoryMessages,
) -> None:
    """Its own first attempt is what began the chat."""

    @asynccontextmanager
    async def one_chat(_record: SessionRecord, _to: str) -> AsyncGenerator[None]:
        if store.rows:
            raise ReachOutLimited("one chat is enough", retry_after_s=60)
        yield

    desk = desk_on(store, one_chat)
    store.unheard = 1
    assert (await send(desk)).message.message is store.rows[0].message
    with pytest.raises(ReachOutLimited):
        await send(desk, "another")


async def test_a_repeated_request_is_answered_though_its_chat_may_not_be_begun_again(
    desk: MessageDesk, store: MemoryMessages
) -> None:
    @asynccontextmanager
    async def nobody(_record: SessionRecord, _to: str) -> AsyncGenerator[None]:
        raise ReachOutLimited("no new chats", retry_after_s=60)
        yield

    first = await send(desk, idempotency_key="k")
    again = await send(desk_on(store, nobody), idempotency_key="k")
    assert (again.message.message, again.repeated) == (first.message.message, True)


async def test_an_id_that_somebody_else_has_is_a_conflict(
    desk: MessageDesk, store: MemoryMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "queue_message", AsyncMock(side_effect=Conflict("exists")))
    with pytest.raises(Conflict):
        await send(desk)


async def test_a_message_that_may_have_been_stored_puts_its_session_in_doubt(
    desk: MessageDesk, store: MemoryMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for end in (StorageUnavailable("no answer"), asyncio.CancelledError()):
        with monkeypatch.context() as patched:
            patched.setattr(store, "queue_message", AsyncMock(side_effect=end))
            with pytest.raises(type(end)):
                await send(desk)
        assert store.order.pop() == "doubted ana"
    await send(desk)
    assert store.order == ["stored", "woken ana"]


@pytest.mark.parametrize("missing", [{"pn": None, "lid": None}, {"has_credentials": False}])
async def test_a_session_without_a_phone_takes_no_message(
    desk: MessageDesk, store: MemoryMessages, missing: dict[str, bool | None]
) -> None:
    store.profile(**missing)
    with pytest.raises(NotPaired):
        await send(desk)
    assert store.order == []


async def test_a_session_that_does_not_exist_has_no_messages(desk: MessageDesk) -> None:
    nobody = SessionId("nobody")
    for asked in (
        desk.send_text(nobody, to=TO, text="", idempotency_key=None, request_hash=HASH),
        desk.list_messages(nobody, chat=None, cursor=None, limit=1, newest_first=False),
        desk.messages_with_id(nobody, MessageId("M")),
        desk.list_conversations(nobody, cursor=None, limit=1),
    ):
        with pytest.raises(NotFound):
            await asked


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
async def test_page_after_page_every_message_is_listed_once(
    desk: MessageDesk, store: MemoryMessages, limit: int, newest_first: bool
) -> None:
    store.add("a", "b", "c", "d", "e")
    cursor, pages = None, list[list[str | None]]()
    while True:
        page = await desk.list_messages(
            ANA, chat=None, cursor=cursor, limit=limit, newest_first=newest_first
        )
        pages.append([view.message.text for view in page.items])
        cursor = page.next_cursor
        if cursor is None:
            break
    listed = [text for page in pages for text in page]
    assert listed == (list("edcba") if newest_first else list("abcde"))
    assert all(pages)
    assert all(len(page) == limit for page in pages[:-1])


async def test_conversations_are_listed_latest_first_and_each_once(
    desk: MessageDesk, store: MemoryMessages
) -> None:
    store.chats = [Chat(chat=f"c{number}", last_row=number * 10) for number in range(1, 6)]
    cursor, listed = None, list[str]()
    for _ in range(3):
        page = await desk.list_conversations(ANA, cursor=cursor, limit=2)
        listed += [view.chat for view in page.items]
        cursor = page.next_cursor
    assert listed == ["c5", "c4", "c3", "c2", "c1"]
    assert cursor is None


async def test_a_message_is_found_by_its_id_and_a_missing_one_is_no_error(
    desk: MessageDesk, store: MemoryMessages
) -> None:
    store.rows.append(Stored(row=1, message=message(key("M1"))))
    assert len(await desk.messages_with_id(ANA, MessageId("M1"))) == 1
    assert list(await desk.messages_with_id(ANA, MessageId("M2"))) == []


async def test_a_text_is_shown_as_it_is_and_anything_else_by_its_fields(
    desk: MessageDesk, store: MemoryMessages
) -> None:
    image = replace(message(key("IMAGE"), body=b"picture"), kind="image", text=None)
    store.rows += [Stored(row=1, message=message(key("TEXT"))), Stored(row=2, message=image)]
    [text] = await desk.messages_with_id(ANA, MessageId("TEXT"))
    [other] = await desk.messages_with_id(ANA, MessageId("IMAGE"))
    assert (text.content, text.message.text) == (None, "hello")
    assert other.content == {"read": "picture"}


@example("9" * 19)
@example("٣")
@given(
    st.text(max_size=25).filter(
        lambda text: not (text.isascii() and text.isdecimal() and len(text) <= 18)
    )
)
async def test_a_cursor_that_was_not_made_here_is_refused_by_its_field(cursor: str) -> None:
    desk = desk_on(MemoryMessages())
    for asked in (
        desk.list_messages(ANA, chat=None, cursor=cursor, limit=1, newest_first=False),
        desk.list_conversations(ANA, cursor=cursor, limit=1),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await asked
        assert caught.value.field == "cursor"
