"""Tokens are taken from whom they come, and nonsense changes nothing."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import cast
from unittest.mock import AsyncMock, patch

import pytest

from perene.core.privacy_tokens import PrivacyToken
from perene.core.unit import AddressPair
from perene.engine.errors import QueryTimedOut
from perene.engine.privacy_tokens import PrivacyTokens
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.engine.fakes import OWN_PN, Later, MemoryStore, line_on, stage_on

pytestmark = pytest.mark.requirement("F10")

PN, LID = "5511900000007@s.whatsapp.net", "222222222222@lid"
CHAT = Jid.parse(LID)
NOW = str(int(START.timestamp()))


class Server:
    """Takes what is given, or does not answer."""

    def __init__(self) -> None:
        self.given: list[Node] = []
        self.silent = False

    async def ask(self, namespace: str, kind: str, *content: Node) -> Node:
        assert (namespace, kind) == ("privacy", "set")
        self.given += content
        if self.silent:
            raise QueryTimedOut("no answer")
        return Node("iq")


class Account:
    """One account with its parts."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = VirtualClock()
        self.server = Server()
        self.later = Later()
        self.stage = stage_on(self.store)
        self.tokens = PrivacyTokens(
            line_on(self.stage, queries=self.server, clock=self.clock, later=self.later)
        )

    async def work(self) -> None:
        await self.later.work()

    async def shown(self, chat: Jid = CHAT) -> list[bytes]:
        return [node.data for node in await self.tokens.shown_to(chat)]


def notice(token: object = b"token", *, t: str = NOW, kind: str = "trusted_contact") -> Node:
    own = {"jid": OWN_PN, "t": t, "type": kind}
    child = Node("token", own, cast("bytes", token))
    attrs = {"type": "privacy_token", "from": PN, "sender_lid": LID}
    return Node("notification", attrs, (Node("tokens", {}, (child,)),))


async def test_a_token_is_kept_under_the_lid_of_who_gave_it_and_shown_to_them_only() -> None:
    account = Account()
    await account.tokens.notice(notice())
    assert await account.shown() == [b"token"]
    assert await account.shown(Jid.parse("333@lid")) == []
    assert await account.shown(Jid.parse("120363000000000000@g.us")) == []
    assert await account.shown(Jid.parse(OWN_PN).bare) == []
    [kept] = [one for unit in account.store.units for one in unit.privacy_tokens]
    assert (kept.person, kept.token, kept.given_at) == (LID, b"token", START)


async def test_a_token_that_came_before_the_lid_was_known_is_found_by_the_number() -> None:
    account = Account()
    early = notice()
    early = Node(early.tag, {"type": "privacy_token", "from": PN}, early.content)
    await account.tokens.notice(early)
    assert await account.shown(Jid.parse(PN)) == [b"token"]
    account.stage.book.learn([AddressPair(pn=PN, lid=LID)])
    assert await account.shown() == [b"token"]


async def test_a_token_that_is_being_committed_is_found_by_the_number_too() -> None:
    account = Account()
    account.store.auto = False
    early = notice()
    await account.tokens.notice(Node(early.tag, {"from": PN}, early.content))
    account.stage.book.learn([AddressPair(pn=PN, lid=LID)])
    assert await account.shown() == [b"token"]


async def test_a_token_that_comes_while_the_store_is_asked_is_shown_from_then_on() -> None:
    account = Account()
    account.store.auto = False
    may_answer = asyncio.Event()
    read = account.store.privacy_tokens

    async def slow(persons: Collection[str]) -> Sequence[PrivacyToken]:
        found = await read(persons)
        await may_answer.wait()
        return found

    with patch.object(account.store, "privacy_tokens", slow):
        asking = asyncio.create_task(account.shown())
        await asyncio.sleep(0)
        with patch.object(account.store, "privacy_tokens", read):
            await account.tokens.notice(notice())
        may_answer.set()
        assert await asking == [b"token"]
    assert await account.shown() == [b"token"]
    given = Node("iq", {}, (Node("tokens", {}, ()),))
    with patch.object(account.server, "ask", AsyncMock(return_value=given)):
        await account.tokens.wrote_to(CHAT)
        await account.work()
    account.store.settle()
    [*_, kept] = [one for unit in account.store.units for one in unit.privacy_tokens]
    assert (kept.token, kept.sent_at) == (b"token", START)


@pytest.mark.parametrize(
    "node",
    [
        notice(t="0"),
        notice(t="soon"),
        notice(t=str(2**70)),
        notice(kind="stranger"),
        notice("text"),
        notice(b""),
        notice(b"x" * 5000),
        Node("notification", {"from": PN}),
    ],
)
async def test_a_notice_that_makes_no_sense_changes_nothing(node: Node) -> None:
    account = Account()
    await account.tokens.notice(node)
    assert account.store.units == []


async def test_a_notice_of_nobody_is_malformed() -> None:
    with pytest.raises(WireError):
        await Account().tokens.notice(Node("notification", {"from": "a@b@c:9999999"}))


async def test_ours_is_given_to_the_number_once_and_again_after_a_week() -> None:
    account = Account()
    account.stage.book.learn([AddressPair(pn=PN, lid=LID)])
    for _ in range(3):
        await account.tokens.wrote_to(CHAT)
        await account.work()
    [tokens] = account.server.given
    assert tokens.children[0].attrs == {"jid": PN, "t": NOW, "type": "trusted_contact"}
    await account.clock.advance(timedelta(days=7).total_seconds())
    await account.tokens.wrote_to(CHAT)
    await account.work()
    assert len(account.server.given) == 2


async def test_without_an_answer_ours_is_given_with_the_next_message() -> None:
    account = Account()
    account.server.silent = True
    await account.tokens.wrote_to(CHAT)
    await account.work()
    account.server.silent = False
    await account.tokens.wrote_to(CHAT)
    await account.work()
    await account.tokens.wrote_to(CHAT)
    assert (len(account.server.given), account.later.waiting) == (2, [])


async def test_ours_is_given_with_the_next_message_when_there_was_no_room_for_it() -> None:
    account = Account()
    account.later.full = True
    await account.tokens.wrote_to(CHAT)
    account.later.full = False
    await account.work()
    assert account.server.given == []
    await account.tokens.wrote_to(CHAT)
    await account.work()
    assert len(account.server.given) == 1


async def test_who_has_new_keys_is_given_ours_again_if_they_have_it() -> None:
    account = Account()
    await account.tokens.renew(CHAT)
    assert account.later.waiting == []
    await account.tokens.wrote_to(CHAT)
    await account.work()
    await account.tokens.renew(CHAT)
    await account.work()
    assert len(account.server.given) == 2
