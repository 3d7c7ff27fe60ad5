"""Asking for a resend: how often, with which keys, and counted where."""

import pytest

from perene.core.messages import Fate, MessageKey
from perene.engine.bundles import next_key_id
from perene.engine.decrypt import RetryReason
from perene.engine.draft import Draft
from perene.engine.retry_requests import RetryRequests
from perene.engine.stage import Stage
from perene.wire.node import Node
from tests.support.units import entry, key
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import MemoryStore, stage_on

KEY = key("A1")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def stage(store: MemoryStore) -> Stage:
    return stage_on(store)


def stanza(*kinds: str, **more: str) -> Node:
    encs = tuple(Node("enc", {"v": "2", "type": kind}, b"x") for kind in kinds)
    return Node("message", {"id": "A1", "from": "1@lid", "t": "5", **more}, encs)


async def ask(
    stage: Stage,
    requests: RetryRequests,
    node: Node,
    retries: int = 0,
    *,
    of: MessageKey = KEY,
) -> Node | None:
    draft = Draft(stage)
    known = entry(KEY, Fate.PENDING, retries=retries) if retries else None
    request = await requests.build(node, of, known, RetryReason.BAD_MAC, draft)
    draft.submit()
    return request.node


async def test_the_first_request_names_the_message_and_the_reason(stage: Stage) -> None:
    node = await ask(stage, RetryRequests(stage, VirtualClock(), limit=3), stanza("msg"))
    assert node is not None
    assert node.attrs == {"id": "A1", "type": "retry", "to": "1@lid"}
    assert node.need("retry").attrs == {
        "count": "1",
        "id": "A1",
        "t": "5",
        "v": "1",
        "error": "7",
    }
    own = stage.credentials.registration_id
    assert node.need("registration").data == own.to_bytes(4, "big")
    assert node.child("keys") is None


async def test_the_second_one_brings_keys_that_are_stored_and_never_uploaded(
    stage: Stage, store: MemoryStore
) -> None:
    requests = RetryRequests(stage, VirtualClock(), limit=3)
    await ask(stage, requests, stanza("msg"))
    node = await ask(stage, requests, stanza("msg"))
    assert node is not None
    keys = node.need("keys")
    assert keys.need("identity").data == stage.credentials.identity.public
    key_id = int.from_bytes(keys.need("key").need("id").data)
    assert key_id in store.pre_key_rows
    assert key_id in store.uploaded
    assert stage.credentials.next_pre_key_id == key_id + 1
    assert keys.need("device-identity").data == b"account"


async def test_who_sent_only_a_group_part_gets_keys_at_once(stage: Stage) -> None:
    requests = RetryRequests(stage, VirtualClock(), limit=3)
    asked = stanza("skmsg", participant="2@lid")
    asked = Node("message", asked.attrs, (*asked.children, Node("reporting")))
    node = await ask(stage, requests, asked)
    assert node is not None
    assert node.attr("participant") == "2@lid"
    assert node.child("keys") is not None


@pytest.mark.parametrize("sender", ["1:99@hosted", "1:99@hosted.lid", "1:99@lid"])
async def test_a_hosted_device_gets_keys_at_once_as_it_keeps_none(
    stage: Stage, sender: str
) -> None:
    requests = RetryRequests(stage, VirtualClock(), limit=3)
    direct = await ask(stage, requests, Node("message", {"id": "A1", "from": sender}))
    in_group = await ask(
        stage, requests, stanza("msg", participant=sender), of=key("A2", sender=sender)
    )
    assert direct is not None
    assert direct.child("keys") is not None
    assert in_group is not None
    assert in_group.child("keys") is not None


async def test_a_message_of_no_known_time_is_asked_for_all_the_same(stage: Stage) -> None:
    asked = Node("message", {"id": "A1", "from": "1@lid"}, stanza("msg").children)
    node = await ask(stage, RetryRequests(stage, VirtualClock(), limit=3), asked)
    assert node is not None
    assert node.need("retry").attr("t") == "0"


async def test_own_copies_keep_their_recipient_and_category(stage: Stage) -> None:
    node = await ask(
        stage,
        RetryRequests(stage, VirtualClock(), limit=3),
        stanza("msg", recipient="2@lid", category="peer"),
    )
    assert node is not None
    assert (node.attr("recipient"), node.attr("category")) == ("2@lid", "peer")


async def test_after_the_limit_nothing_more_is_asked_for(stage: Stage) -> None:
    requests = RetryRequests(stage, VirtualClock(), limit=3)
    asked = [await ask(stage, requests, stanza("msg")) for _ in range(5)]
    assert [node is not None for node in asked] == [True, True, True, False, False]


async def test_the_ledger_counts_over_a_restart(stage: Stage) -> None:
    assert (
        await ask(stage, RetryRequests(stage, VirtualClock(), limit=3), stanza("msg"), retries=2)
        is not None
    )
    assert (
        await ask(stage, RetryRequests(stage, VirtualClock(), limit=3), stanza("msg"), retries=3)
        is None
    )


async def test_a_message_that_arrived_is_counted_anew(stage: Stage) -> None:
    requests = RetryRequests(stage, VirtualClock(), limit=1)
    assert await ask(stage, requests, stanza("msg")) is not None
    requests.settled(KEY)
    assert await ask(stage, requests, stanza("msg")) is not None


async def test_after_a_thousand_others_the_ledger_alone_counts(stage: Stage) -> None:
    requests = RetryRequests(stage, VirtualClock(), limit=1)
    some = [key(f"B{number}", sender=f"{number}@lid") for number in range(1025)]
    for one in some:
        assert await ask(stage, requests, stanza("msg"), of=one) is not None
    assert await ask(stage, requests, stanza("msg"), of=some[1]) is None
    assert await ask(stage, requests, stanza("msg"), of=some[0]) is not None


async def test_a_sender_whose_every_message_fails_is_not_asked_for_each(stage: Stage) -> None:
    clock = VirtualClock()
    requests = RetryRequests(stage, clock, limit=3)

    async def is_asked(number: int, *, sender: str = "1@lid", from_me: bool = False) -> bool:
        of = key(f"B{number}", sender=sender, from_me=from_me)
        return await ask(stage, requests, stanza("msg"), of=of) is not None

    assert [await is_asked(number) for number in range(202)] == [True] * 200 + [False] * 2
    assert await is_asked(3), "what was asked for once is asked for again, with keys"
    assert await is_asked(300, sender="2@lid"), "others are"
    assert await is_asked(301, from_me=True), "own devices are, always"
    await clock.advance(360.0)
    assert [await is_asked(200), await is_asked(201)] == [True, False]
    await clock.advance(3600.0)
    assert [await is_asked(number) for number in range(400, 411)] == [True] * 10 + [False]


def test_key_ids_wrap_before_their_24_bits_end() -> None:
    assert [next_key_id(1), next_key_id(0xFFFFFE), next_key_id(0xFFFFFF)] == [2, 0xFFFFFF, 1]
