"""Every stanza comes to whom it concerns, and the server gets its answer, or none."""

import asyncio
from collections.abc import Sequence
from typing import cast
from unittest.mock import AsyncMock, Mock, call

import pytest

from perene.core.unit import Committed
from perene.engine.answers import acknowledge
from perene.engine.credentials import Credentials
from perene.engine.dispatcher import Dispatcher
from perene.engine.incoming import digests_of
from perene.wire.node import Node
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.desk import ANA, Answered
from tests.unit.engine.fakes import Later, MemoryStore, line_on, stage_on

SERVER = "s.whatsapp.net"
_OF_EVERY_STANZA = ("offline.arrived", "phone_watch.took", "listening.took")


class Switchboard:
    """A dispatcher, and a record of who of the others is told."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.store = MemoryStore()
        self.answered, self.later = Answered(), Later()
        self.others = Mock()
        for waited_for in (
            "receiver.receive",
            "retry_answers.answer",
            "own_messages.receipt",
            "own_messages.acknowledged",
            "notifications.take",
            "notifications.dirtied",
            "login.succeeded",
            "login.routed",
            "linking.complete",
        ):
            part, _, job = waited_for.partition(".")
            setattr(getattr(self.others, part), job, AsyncMock())
        self.stored: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self.others.linking.complete.return_value = self.stored
        self.others.phone_ping.answered.return_value = False
        line = line_on(
            stage_on(self.store, credentials),
            queries=None,
            clock=VirtualClock(),
            answers=self.answered,  # pyright: ignore[reportArgumentType]  # all that is used of them
            later=self.later,
        )
        names = (
            "welcome",
            "login",
            "linking",
            "offline",
            "receiver",
            "retry_answers",
            "own_messages",
            "notifications",
            "phone_watch",
            "phone_ping",
            "listening",
        )
        self.dispatcher = Dispatcher(line, **{name: getattr(self.others, name) for name in names})

    async def take(self, *nodes: Node) -> list[str]:
        """Dispatch a batch and do what must ask the server; return who was told, and of what."""
        await self.dispatcher.dispatch(nodes)
        await self.later.work()
        told = cast("Sequence[tuple[str, object, object]]", self.others.mock_calls)
        return [name for name, _, _ in told if name not in _OF_EVERY_STANZA]


@pytest.fixture
async def board() -> Switchboard:
    return Switchboard()


def stanza(tag: str, *children: Node, **attrs: str) -> Node:
    return Node(tag, {"id": "S1", "from": ANA, **attrs}, children)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        (stanza("message"), ["receiver.receive"]),
        (stanza("status"), ["receiver.receive"]),
        (stanza("receipt", type="read"), ["own_messages.receipt"]),
        (stanza("receipt"), ["own_messages.receipt"]),
        (stanza("receipt", type="retry"), ["retry_answers.answer"]),
        (
            stanza("ack", **{"class": "message"}),
            ["phone_ping.answered", "own_messages.acknowledged"],
        ),
        (stanza("notification", type="devices"), ["notifications.take"]),
        (stanza("success"), ["login.succeeded"]),
        (stanza("iq", Node("pair-device"), type="set"), ["welcome.greeted", "linking.by_qr.offer"]),
        (stanza("iq", Node("pair-success"), type="set"), ["linking.complete"]),
        (Node("ib", {}, (Node("offline_preview"),)), ["offline.previewed"]),
        (Node("ib", {}, (Node("offline"),)), ["offline.ended"]),
        (Node("ib", {}, (Node("edge_routing"),)), ["login.routed"]),
        (stanza("ib", Node("downgrade_webclient")), []),
        (Node("ib", {}, (Node("client_expiration"),)), ["login.expiring"]),
        (
            Node("ib", {}, (Node("dirty"), Node("news"), Node("offline"))),
            ["notifications.dirtied", "offline.ended"],
        ),
    ],
)
async def test_a_stanza_comes_to_whom_it_concerns_who_answers_it(
    board: Switchboard, node: Node, told: list[str]
) -> None:
    assert await board.take(node) == told
    assert board.answered.nodes == []


async def test_the_server_has_its_time_to_restart_the_stream_from_when_the_pairing_is_stored(
    board: Switchboard,
) -> None:
    """It is confirmed to the server only then; a slow database is no fault of the server's."""
    await board.take(stanza("iq", Node("pair-success"), type="set"))
    board.others.welcome.linked.assert_not_called()
    board.stored.set_result(Committed(new_messages=0))
    await asyncio.sleep(0)
    board.others.welcome.linked.assert_called_once_with()


async def test_nothing_is_dirty_before_the_device_is_linked() -> None:
    board = Switchboard(Credentials.create())
    assert await board.take(Node("ib", {}, (Node("dirty", {"type": "groups"}),))) == []


@pytest.mark.parametrize("tag", ["message", "status"])
async def test_a_message_before_the_device_is_linked_is_neither_read_nor_answered(tag: str) -> None:
    board = Switchboard(Credentials.create())
    assert await board.take(stanza(tag)) == []
    assert board.answered.nodes == []


async def test_the_answer_to_a_question_to_the_phone_is_of_no_message_of_the_users(
    board: Switchboard,
) -> None:
    board.others.phone_ping.answered.return_value = True
    assert await board.take(stanza("ack", **{"class": "message"})) == ["phone_ping.answered"]


@pytest.mark.parametrize(
    "node",
    [
        stanza("ack"),
        stanza("ack", **{"class": "receipt"}),
        stanza("presence"),
        stanza("chatstate"),
        stanza("error"),
        stanza("ib", Node("news")),
        stanza("iq", Node("ping"), type="result"),
        stanza("iq", type="set", xmlns="w:stats"),
        Node("call", {"from": ANA}, (Node("transport"),)),
        Node("news", {"from": ANA}),
        Node("news", {"id": "S1"}),
    ],
)
async def test_what_asks_for_no_answer_gets_none(board: Switchboard, node: Node) -> None:
    assert await board.take(node) == []
    assert board.answered.nodes == []


async def test_a_call_is_acknowledged(board: Switchboard) -> None:
    ringing = stanza("call", Node("offer"))
    assert await board.take(ringing) == []
    assert board.answered.nodes == [acknowledge(ringing)]


async def test_what_nobody_knows_is_refused_or_it_would_come_for_ever(board: Switchboard) -> None:
    await board.take(stanza("news"))
    [refusal] = board.answered.nodes
    assert refusal.attrs == {"class": "news", "id": "S1", "to": ANA, "error": "488"}


@pytest.mark.parametrize(
    ("ping", "pong"),
    [
        (
            Node("iq", {"id": "S1", "from": SERVER, "type": "get", "xmlns": "urn:xmpp:ping"}),
            {"id": "S1", "to": SERVER, "type": "result"},
        ),
        (
            Node("iq", {"id": "S1", "from": "@s", "type": "get"}, (Node("ping"),)),
            {"id": "S1", "to": "@s", "type": "result"},
        ),
        (Node("iq", {"xmlns": "urn:xmpp:ping"}), {"to": SERVER, "type": "result"}),
    ],
)
async def test_the_servers_ping_is_answered(
    board: Switchboard, ping: Node, pong: dict[str, str]
) -> None:
    assert await board.take(ping) == []
    assert board.answered.nodes == [Node("iq", pong)]


async def test_a_batch_is_looked_up_in_one_go_and_what_is_known_is_handed_on(
    board: Switchboard,
) -> None:
    known, new = (
        stanza("message", Node("enc", {"type": "msg"}, data), **{"from": sender})
        for data, sender in ((b"known", ANA), (b"new", "200000000000003@lid"))
    )
    board.store.hashes.update(digests_of(known))
    await board.take(known, stanza("chatstate"), new)
    expected = frozenset(digests_of(known))
    assert board.others.receiver.receive.call_args_list == [
        call(known, expected),
        call(new, expected),
    ]
    assert board.store.reads == ["ratchets"]


async def test_every_stanza_counts_as_delivered_and_heard_of_in_order(board: Switchboard) -> None:
    nodes = (stanza("message"), stanza("presence"), stanza("receipt"))
    await board.take(*nodes)
    assert board.others.offline.arrived.call_args_list == [call(node) for node in nodes]
    assert board.others.phone_watch.took.call_args_list == [call(node) for node in nodes]
    assert board.others.listening.took.call_args_list == [call(nodes)]
