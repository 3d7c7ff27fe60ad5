"""What WhatsApp says of a limit is understood, and nonsense changes nothing."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from perene.core.account import ChatStanding
from perene.core.events import Event, EventType
from perene.core.messages import Message, Status
from perene.engine.draft import Draft
from perene.engine.errors import QueryTimedOut
from perene.engine.reach_out import QUERY_ID, ReachOut
from perene.wire.node import Node
from tests.support.units import key, message
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.engine.fakes import OWN_LID, Later, MemoryStore, line_on, stage_on

pytestmark = pytest.mark.requirement("F10")

HOUR = timedelta(hours=1)
LOCK = "xwa2_notify_account_reachout_timelock"
UNLOCKED = {"is_active": False, "enforcement_type": "DEFAULT"}
CAP = "xwa2_notify_new_chat_messages_capping_info_update"


class Server:
    """Answers the query for the time lock, or does not."""

    def __init__(self, lock: Mapping[str, object] | None) -> None:
        self.lock = lock
        self.asked: list[Node] = []

    async def ask(self, namespace: str, kind: str, *content: Node) -> Node:
        self.asked += content
        assert (namespace, kind) == ("w:mex", "get")
        if self.lock is None:
            raise QueryTimedOut("no answer")
        data = {"data": {"xwa2_fetch_account_reachout_timelock": dict(self.lock)}}
        return Node("iq", {}, (Node("result", {}, json.dumps(data).encode()),))


class Account:
    """One account with its parts."""

    def __init__(self, lock: Mapping[str, object] | None = None) -> None:
        self.store = MemoryStore()
        self.clock = VirtualClock()
        self.server = Server(lock)
        self.later = Later()
        line = line_on(
            stage_on(self.store), queries=self.server, clock=self.clock, later=self.later
        )
        self.reach_out = ReachOut(line, hold_s=24 * 3600.0)

    @property
    def events(self) -> list[Event]:
        return [event for unit in self.store.units for event in unit.events]

    async def notice(self, **data: object) -> None:
        content = json.dumps({"data": data}).encode()
        await self.reach_out.notice(Node("notification", {}, (Node("update", {}, content),)))

    async def refused(self, message_id: str, code: str = "463") -> Event:
        """Let a message be refused, and hear what is said of it; return the event, stored."""
        event = self.refused_unheard(message_id, code)
        await self.later.work()
        return event

    def refused_unheard(self, message_id: str, code: str = "463") -> Event:
        """Let a message be refused; what is said of it is to be heard yet."""
        event = self.reach_out.refused(code, message_id)
        assert event is not None
        self.stored(event)
        return event

    async def writing(self) -> "asyncio.Task[bool]":
        """Have it asked whether a message may go out, until that waits for what is said."""
        asked = asyncio.create_task(self.may_write())
        await self.clock.until_asleep(5)
        return asked

    async def may_write(self, chat: str = "222222222222@lid") -> bool:
        return await self.reach_out.may_send(to(chat))

    def stored(self, event: Event) -> None:
        """Let an event be committed."""
        draft = Draft(stage_on(self.store))
        draft.events.append(event)
        draft.submit()


def lift() -> Event:
    return Event(type=EventType.SESSION_LIMIT_LIFTED, at=START, payload={"by": "a person"})


def to(chat: str) -> Message:
    return message(key("A", chat=chat, from_me=True), status=Status.QUEUED)


def seconds(delta: timedelta) -> str:
    return str(int((START + delta).timestamp()))


async def test_an_announced_lock_holds_until_the_time_it_names() -> None:
    account = Account()
    await account.notice(**{LOCK: {"is_active": True, "time_enforcement_ends": seconds(HOUR)}})
    [event] = account.events
    assert event.type is EventType.SESSION_LIMITED
    assert (event.payload["until"], event.payload["told"]) == ((START + HOUR).isoformat(), True)
    assert not await account.may_write()
    await account.clock.advance(3600)
    assert await account.may_write()


@pytest.mark.parametrize("ends", [None, "0", "soon", "99999999999999999999", "1", [], "-5"])
async def test_a_lock_without_a_usable_end_holds_for_our_own_time(ends: object) -> None:
    account = Account()
    await account.notice(**{LOCK: {"is_active": True, "time_enforcement_ends": ends}})
    [event] = account.events
    assert event.payload["until"] == (START + timedelta(days=1)).isoformat()
    assert event.payload["told"] is False


async def test_the_end_of_a_lock_is_taken() -> None:
    account = Account()
    await account.notice(**{LOCK: {"is_active": True}})
    await account.notice(**{LOCK: {"is_active": False}})
    assert [event.type for event in account.events] == [
        EventType.SESSION_LIMITED,
        EventType.SESSION_LIMIT_LIFTED,
    ]
    assert await account.may_write()


async def test_the_cap_of_new_chats_is_a_limit_of_its_own() -> None:
    account = Account()
    await account.notice(**{CAP: {"capping_status": "FIRST_WARNING"}})
    assert account.events == []
    await account.notice(
        **{CAP: {"capping_status": "CAPPED", "cycle_end_timestamp": int(seconds(HOUR))}}
    )
    [event] = account.events
    assert (event.payload["code"], event.payload["until"]) == ("475", (START + HOUR).isoformat())
    await account.notice(**{LOCK: {"is_active": False}})
    assert not await account.may_write()
    await account.notice(**{CAP: {"capping_status": "NONE"}})
    assert await account.may_write()


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"[1]", b'{"data":3}', b'{"data":{"' + LOCK.encode() + b'":7}}', b"\xff"],
)
async def test_a_notice_that_makes_no_sense_changes_nothing(content: bytes | None) -> None:
    account = Account()
    node = Node("notification", {}, (Node("update", {}, content), Node("other", {}, content)))
    await account.reach_out.notice(node)
    assert account.events == []


async def test_after_a_refusal_the_server_is_asked_how_long_it_lasts() -> None:
    account = Account({"is_active": True, "time_enforcement_ends": seconds(HOUR)})
    event = account.reach_out.refused("463", "A")
    assert event is not None
    assert account.reach_out.refused("463", "B") is not None
    [ask] = account.later.waiting
    await ask()
    assert [node.attrs["query_id"] for node in account.server.asked] == [QUERY_ID]
    assert account.events[-1].payload["until"] == (START + HOUR).isoformat()
    await account.clock.advance(3600)
    assert await account.may_write()


@pytest.mark.parametrize(
    ("lock", "code"),
    [(None, "463"), ({}, "463"), ({"enforcement_type": "DEFAULT"}, "463"), (UNLOCKED, "475")],
    ids=["silent", "empty", "beside the point", "of another limit"],
)
async def test_without_such_an_answer_our_own_hold_stands(
    lock: Mapping[str, object] | None, code: str
) -> None:
    account = Account(lock)
    refused = await account.refused("A", code)
    assert account.events == [refused]
    assert not await account.may_write()


async def test_a_refusal_by_an_account_that_is_not_locked_concerns_one_person() -> None:
    account = Account(UNLOCKED)
    refused = await account.refused("A")
    assert account.events[0] == refused
    [lifted] = account.events[1:]
    assert lifted.type is EventType.SESSION_LIMIT_LIFTED
    assert lifted.payload == {"code": "463", "by": "whatsapp"}
    assert await account.may_write()


async def test_what_is_to_be_sent_meanwhile_waits_for_the_answer() -> None:
    account = Account(UNLOCKED)
    account.refused_unheard("A")
    writing = await account.writing()
    assert not writing.done()
    await account.later.work()
    assert await writing


async def test_an_answer_that_does_not_come_is_not_waited_for_long() -> None:
    account = Account(UNLOCKED)
    account.refused_unheard("A")
    writing = await account.writing()
    await account.clock.advance(5)
    assert not await writing
    assert not await account.may_write()
    await account.later.work()
    assert await account.may_write()


async def test_who_is_refused_again_and_again_is_held_whatever_is_said_of_a_lock() -> None:
    account = Account(UNLOCKED)
    for message_id in ("A", "A", "B"):
        await account.refused(message_id)
        assert await account.may_write()
    await account.clock.advance(3600)
    await account.refused("C")
    assert not await account.may_write()
    await account.clock.advance(24 * 3600)
    await account.refused("D")
    assert await account.may_write()


async def test_a_person_who_lifts_the_limit_lifts_what_led_to_it() -> None:
    account = Account(UNLOCKED)
    for message_id in ("A", "B", "C"):
        await account.refused(message_id)
    assert not await account.may_write()
    await account.clock.advance(1)
    account.stored(lift())
    assert await account.may_write()
    await account.refused("D")
    assert await account.may_write()


async def test_the_next_refusal_asks_when_there_was_no_room_for_the_question() -> None:
    account = Account({"is_active": True, "time_enforcement_ends": seconds(HOUR)})
    account.later.full = True
    account.reach_out.refused("463", "A")
    account.later.full = False
    account.reach_out.refused("463", "B")
    await account.later.work()
    assert len(account.server.asked) == 1


@pytest.mark.parametrize("code", ["479", "404", "421"])
async def test_other_refusals_do_not_limit_the_account(code: str) -> None:
    account = Account()
    assert account.reach_out.refused(code, "A") is None
    assert await account.may_write()


async def test_under_a_limit_groups_oneself_and_who_answered_are_written_to() -> None:
    account = Account()
    await account.refused("A")
    assert not await account.may_write()
    assert await account.may_write("123-456@g.us")
    assert await account.may_write(OWN_LID.replace(":3", ""))
    account.store.standings["222222222222@lid"] = ChatStanding.ESTABLISHED
    assert await account.may_write()


async def test_what_is_lifted_is_not_what_was_refused_since() -> None:
    """The refusal is still on its way to the store, which holds what a person has lifted."""
    account = Account()
    await account.refused("A")
    account.stored(lift())
    await account.clock.advance(1)
    again = account.reach_out.refused("463", "B")
    assert again is not None
    await account.later.work()
    assert not await account.may_write()
    account.stored(again)
    assert not await account.may_write()
    account.stored(lift())
    assert await account.may_write()
