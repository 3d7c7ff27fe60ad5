"""What stands between a Baileys client and a Perene session: restarts, kills, lost ratchets.

Whatever happens, both ends have read every message exactly once, and nobody scans a code again.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Literal

import pytest

from perene.sim import SimServer
from tests.interop.baileys import BaileysClient
from tests.interop.talk import acquaint, heard_by_baileys, heard_by_perene, tell
from tests.support.gateway import Gateway

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.requirement("F8"),
    pytest.mark.timeout(120),
]


async def come_back(gateway: Gateway, session: str) -> None:
    """Start the service and wait for the session: nobody scans, so it needs no code."""
    since = gateway.events.now
    await gateway.start()
    await gateway.events.wait("session.connected", since=since, session=session)
    assert gateway.events.seen("session.paired", since=since, session=session) == []


@pytest.mark.requirement("C4", "E6", "E8")
@pytest.mark.parametrize("ending", ["stopped", "killed"])
async def test_the_conversation_goes_on_after_perene_was(
    ending: str, gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    to_desk, to_ana = await gateway.phone_number(desk), await ana.phone_number()

    await (gateway.stop() if ending == "stopped" else gateway.kill())
    await come_back(gateway, desk)
    sent = await ana.send(to_desk, f"after Perene was {ending}")
    read = await gateway.events.wait("message.received", session=desk, message_id=sent)
    told = await tell(gateway, desk, to_ana, f"back after being {ending}")
    await ana.events.wait("message", id=told)

    assert read["text"] == f"after Perene was {ending}"
    assert (await ana.events.wait("stanza", id=told))["enc"] == ["msg"]
    assert ana.events.seen("receipt", ids=[sent], type="retry") == []


@pytest.mark.requirement("E8")
async def test_a_group_goes_on_after_perene_was_killed(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    club = await ana.create_group("Night watch", [await gateway.phone_number(desk)])
    told = await tell(gateway, desk, club, "all quiet")
    await ana.events.wait("message", id=told)
    sent = await ana.send(club, "here too")
    await gateway.events.wait("message.received", session=desk, message_id=sent)

    await gateway.kill()
    while_away = await ana.send(club, "are you there?")
    await come_back(gateway, desk)
    await gateway.events.wait("message.received", session=desk, message_id=while_away, chat=club)
    told = await tell(gateway, desk, club, "back again")
    await ana.events.wait("message", id=told)

    assert (await ana.events.wait("stanza", id=told))["enc"] == ["skmsg"]
    assert await heard_by_perene(gateway, desk, "are you there?") == [
        (while_away, "are you there?")
    ]


async def test_every_stanza_is_answered_once(
    gateway: Gateway, desk: str, ana: BaileysClient, server: SimServer
) -> None:
    await acquaint(gateway, desk, ana)
    phone = (await gateway.phone_number(desk)).partition("@")[0]
    device = server.simulator.device(phone)

    await gateway.stop()  # which answers what it has taken
    counters = server.simulator.evidence.of(device)

    assert list(device.mailbox.unanswered) == []
    assert counters.answers_for_nothing == 0
    assert counters.answered["nack"] == 0
    await come_back(gateway, desk)


async def test_the_conversation_goes_on_after_baileys_restarted(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    await ana.restart()
    await ana.connect_and_catch_up()

    told = await tell(gateway, desk, await ana.phone_number(), "do you remember me?")
    await ana.events.wait("message", id=told)
    sent = await ana.send(await gateway.phone_number(desk), "of course")
    read = await gateway.events.wait("message.received", session=desk, message_id=sent)

    assert read["text"] == "of course"
    assert (await ana.events.wait("stanza", id=told))["enc"] == ["msg"]


@pytest.mark.requirement("C4", "C8", "E6")
@pytest.mark.parametrize("ending", ["stopped", "killed"])
async def test_two_hundred_messages_wait_for_perene(
    ending: str, gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    to = await gateway.phone_number(desk)
    texts = [f"while you were {ending} {number}" for number in range(200)]

    await (gateway.stop() if ending == "stopped" else gateway.kill())
    sent = await ana.send_all(to, texts)
    await come_back(gateway, desk)
    last = await ana.send(to, f"no longer {ending}")
    await gateway.events.wait("message.received", session=desk, message_id=last)

    heard = await heard_by_perene(gateway, desk, f"while you were {ending}")
    assert heard == list(zip(sent, texts, strict=True))
    assert announced(gateway, sent) == list(sent)


@pytest.mark.requirement("F1", "C8", "C13")
async def test_perene_is_killed_while_messages_stream_in(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    to = await gateway.phone_number(desk)
    texts = [f"listen carefully {number}" for number in range(150)]
    since = gateway.events.now

    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(ana.send_all(to, texts))
        await gateway.events.wait_many("message.received", 20, since=since, session=desk)
        await gateway.kill()
    sent = sending.result()
    await come_back(gateway, desk)
    last = await ana.send(to, "did you get all that?")
    await gateway.events.wait("message.received", session=desk, message_id=last)

    assert await heard_by_perene(gateway, desk, "listen") == list(zip(sent, texts, strict=True))
    assert announced(gateway, sent) == list(sent)


@pytest.mark.requirement("F5")
async def test_perene_is_killed_while_it_sends(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    to = await ana.phone_number()
    texts = [f"this will be said {number}" for number in range(40)]
    since = ana.events.now

    accepted = [await tell(gateway, desk, to, text) for text in texts]
    await gateway.kill()
    await come_back(gateway, desk)
    last = await tell(gateway, desk, to, "that is what I wanted to say")
    await ana.events.wait("message", id=last)

    # What was on the wire without an ack may arrive again, under the same id.
    heard = {one["id"]: one["text"] for one in ana.received(since=since) if one["id"] in accepted}
    assert list(heard.items()) == list(zip(accepted, texts, strict=True))


async def test_what_perene_sends_waits_for_baileys(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    to = await ana.phone_number()
    await ana.disconnect()
    since = ana.events.now
    texts = [f"come back {number}" for number in range(50)]

    for text in texts:
        await tell(gateway, desk, to, text)
    last = await tell(gateway, desk, to, "that was all")
    await gateway.events.wait("message.sent", session=desk, message_id=last)
    await ana.connect_and_catch_up()
    await ana.events.wait("message", id=last)

    assert heard_by_baileys(ana, "come back", since=since) == texts


@pytest.mark.requirement("A1", "A2")
async def test_a_message_that_baileys_cannot_read_is_sent_again(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    await ana.drop_ratchets()

    told = await tell(gateway, desk, await ana.phone_number(), "can you read this?")
    await ana.events.wait("unreadable", id=told)
    read = await ana.events.wait("message", id=told)

    assert read["text"] == "can you read this?"
    # The first resend may be on the old ratchet: only the second request carries keys.
    attempts = [one["enc"] for one in ana.events.seen("stanza", id=told)]
    assert attempts[0] == ["msg"]
    assert attempts[-1] == ["pkmsg"]


@pytest.mark.parametrize("ending", ["stopped", "killed"])
async def test_a_resend_is_answered_by_a_perene_that_was(
    ending: str, gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    """The one that sent it has ended; its successor answers from what is stored."""
    await acquaint(gateway, desk, ana)
    to = await ana.phone_number()
    await ana.disconnect()
    await ana.drop_ratchets()
    told = await tell(gateway, desk, to, f"sent before Perene was {ending}")
    await gateway.events.wait("message.sent", session=desk, message_id=told)

    await (gateway.stop() if ending == "stopped" else gateway.kill())
    await come_back(gateway, desk)
    await ana.connect_and_catch_up()
    await ana.events.wait("unreadable", id=told)
    read = await ana.events.wait("message", id=told)

    assert read["text"] == f"sent before Perene was {ending}"


async def test_a_group_message_that_baileys_cannot_read_is_sent_again(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    club = await ana.create_group("Two", [await gateway.phone_number(desk)])
    first = await tell(gateway, desk, club, "here is my key")
    await ana.events.wait("message", id=first)
    await ana.drop_sender_keys(club)

    told = await tell(gateway, desk, club, "do you still have it?")
    await ana.events.wait("unreadable", id=told)
    read = await ana.events.wait("message", id=told)

    assert read["text"] == "do you still have it?"


@pytest.mark.requirement("A1", "A2", "C8", "F2")
async def test_a_message_that_perene_cannot_read_is_asked_for_again(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    await acquaint(gateway, desk, ana)
    to = await gateway.phone_number(desk)
    await gateway.stop()
    lose(gateway, "ratchets")
    await come_back(gateway, desk)

    sent = await ana.send(to, "can Perene read this?")
    await gateway.events.wait("message.unreadable", session=desk, message_id=sent)
    await ana.events.wait("receipt", ids=[sent], type="retry")
    read = await gateway.events.wait("message.received", session=desk, message_id=sent)

    assert read["text"] == "can Perene read this?"
    assert await heard_by_perene(gateway, desk, "can Perene") == [(sent, "can Perene read this?")]


@pytest.mark.requirement("A1", "A2")
async def test_a_group_message_that_perene_cannot_read_is_asked_for_again(
    gateway: Gateway, desk: str, ana: BaileysClient
) -> None:
    club = await ana.create_group("Three", [await gateway.phone_number(desk)])
    first = await ana.send(club, "this is how I sound")
    await gateway.events.wait("message.received", session=desk, message_id=first)
    await gateway.stop()
    lose(gateway, "sender_keys")
    await come_back(gateway, desk)

    sent = await ana.send(club, "do you hear me?")
    await gateway.events.wait("message.unreadable", session=desk, message_id=sent)
    read = await gateway.events.wait("message.received", session=desk, message_id=sent)

    assert (read["chat"], read["text"]) == (club, "do you hear me?")


def lose(gateway: Gateway, table: Literal["ratchets", "sender_keys"]) -> None:
    """Empty a table of a stopped service's database, as damage or a partial restore would."""
    with closing(sqlite3.connect(gateway.folder / "data" / "perene.db")) as database, database:
        database.execute(f"DELETE FROM {table}")  # noqa: S608 # one of two names of our own


def announced(gateway: Gateway, ids: Sequence[str]) -> list[str]:
    """Return the ids, of these, of the messages announced as received, in that order."""
    received = gateway.events.seen("message.received")
    return [one["message_id"] for one in received if one["message_id"] in set(ids)]
