"""Every fault happens as often as it was asked for, to whom it was meant, and then no more."""

from datetime import timedelta

import pytest

from perene.signal import BadMac
from perene.sim import Simulator
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.unit.sim.client import Client, Clock


async def pair(simulator: Simulator) -> tuple[Client, str]:
    """Return a companion, and the number of a contact."""
    return await Client.online(simulator), simulator.add_contact().account.phone


async def test_a_corrupted_message_does_not_decrypt_and_the_next_does(
    simulator: Simulator,
) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault("corrupt", phone=client.me.phone)
    simulator.send_text(contact, client.me.phone, "broken")
    simulator.send_text(contact, client.me.phone, "whole")
    await client.read()
    broken, whole = client.take("message")
    with pytest.raises(BadMac):
        client.decrypt(broken)
    assert client.decrypt(whole)[0].conversation == "whole"


async def test_a_corrupted_stanza_is_redelivered_whole(simulator: Simulator) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault("corrupt", phone=client.me.phone)
    simulator.send_text(contact, client.me.phone, "hi")
    await client.close()
    again = Client(simulator, client.me)
    await again.log_in()
    await again.go_active()
    (stanza,) = again.take("message")
    assert stanza.attr("offline") == "1"
    assert again.decrypt(stanza)[0].conversation == "hi"


async def test_a_duplicate_comes_twice_and_needs_one_answer(simulator: Simulator) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault("duplicate", phone=client.me.phone)
    simulator.send_text(contact, client.me.phone, "hi")
    await client.read()
    first, second = client.take("message")
    assert first.children == second.children
    await client.confirm(first)
    device = simulator.device(client.me.phone)
    assert len(device.mailbox) == 0
    counters = simulator.evidence.of(device)
    assert (counters.delivered, counters.redelivered) == (1, 1)
    await client.confirm(second)
    assert counters.answers_for_nothing == 1


async def test_reordered_messages_swap_places(simulator: Simulator) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault("reorder", phone=client.me.phone)
    for text in ("one", "two", "three"):
        simulator.send_text(contact, client.me.phone, text)
    await client.read()
    assert client.texts() == ["two", "one", "three"]


async def test_a_socket_closed_after_delivery_leaves_the_stanza_in_the_queue(
    simulator: Simulator,
) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault("close_after", phone=client.me.phone)
    simulator.send_text(contact, client.me.phone, "hi")
    await client.read()
    assert len(client.take("message")) == 1
    assert client.is_closed
    assert len(simulator.device(client.me.phone).mailbox) == 1


@pytest.mark.parametrize("kind", ["half_frames", "paired_frames"])
async def test_frames_cut_otherwise_hold_the_same_stanzas(
    simulator: Simulator,
    kind: str,
) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault(kind, phone=client.me.phone, count=2)  # pyright: ignore[reportArgumentType]
    for text in ("one", "two", "three", "four", "five"):
        simulator.send_text(contact, client.me.phone, text)
    await client.read()
    assert client.texts() == ["one", "two", "three", "four", "five"]


async def test_a_deaf_connection_answers_queries_and_delivers_nothing(
    simulator: Simulator,
) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault("deaf", phone=client.me.phone)
    simulator.send_text(contact, client.me.phone, "hi")
    await client.read()
    assert client.take("message") == []
    assert (await client.iq("w:p", "get", Node("ping"))).attr("type") == "result"
    await client.close()
    again = Client(simulator, client.me)
    await again.log_in()
    await again.go_active()
    assert again.texts() == ["hi"]


async def test_a_silent_connection_neither_answers_nor_closes(simulator: Simulator) -> None:
    client, _ = await pair(simulator)
    simulator.add_fault("silence", phone=client.me.phone)
    assert await client.ask("w:p", "get", Node("ping")) == []
    assert not client.is_closed


async def test_pings_and_queries_can_be_left_unanswered(simulator: Simulator) -> None:
    client, _ = await pair(simulator)
    simulator.add_fault("no_pong", phone=client.me.phone, count=2)
    assert await client.ask("w:p", "get", Node("ping")) == []
    assert await client.ask("w:p", "get", Node("ping")) == []
    assert await client.ask("w:p", "get", Node("ping")) != []
    simulator.add_fault("iq_drop", phone=client.me.phone, xmlns="privacy")
    assert await client.ask("abt", "get", Node("props")) != []
    assert await client.ask("privacy", "get", Node("privacy")) == []
    assert await client.ask("privacy", "get", Node("privacy")) != []


async def test_a_delayed_reply_comes_when_its_time_has_come(
    simulator: Simulator, clock: Clock
) -> None:
    client, _ = await pair(simulator)
    simulator.add_fault("iq_delay", phone=client.me.phone, xmlns="w:p", seconds=30)
    assert await client.ask("w:p", "get", Node("ping")) == []
    clock.advance(timedelta(seconds=30))
    simulator.run_due()
    await client.read()
    assert client.take("iq", type="result")


async def test_messages_can_be_lost_unacknowledged_or_refused(simulator: Simulator) -> None:
    client, contact = await pair(simulator)
    to = str(simulator.person(contact).account.jid())
    inbox = simulator.person(contact).party.reader.inbox

    async def send(message_id: str) -> list[Node]:
        attrs = {"id": message_id, "to": to, "type": "text"}
        from perene.wire.proto import wa_pb2

        enc = await client.encrypt(to, wa_pb2.Message(conversation=message_id))
        body = (Node("participants", {}, (Node("to", {"jid": to}, (enc,)),)),)
        await client.send(Node("message", attrs, body))
        return client.take("ack", id=message_id)

    simulator.add_fault("lost_message", phone=client.me.phone)
    assert await send("M1") == []
    assert inbox == []
    simulator.add_fault("lost_ack", phone=client.me.phone)
    assert await send("M2") == []
    assert [read.id for read in inbox] == ["M2"]
    simulator.add_fault("refuse_message", phone=client.me.phone, code=463)
    (ack,) = await send("M3")
    assert ack.attr("error") == "463"
    assert [read.id for read in inbox] == ["M2"]


async def test_a_fault_for_somebody_else_changes_nothing(simulator: Simulator) -> None:
    client, contact = await pair(simulator)
    simulator.add_fault("corrupt", phone="15550001111")
    simulator.send_text(contact, client.me.phone, "hi")
    await client.read()
    assert client.texts() == ["hi"]
    (left,) = simulator.faults.pending()
    assert simulator.faults.cancel(left.id)
    assert not simulator.faults.cancel(left.id)


async def test_a_fault_can_be_meant_for_one_device(simulator: Simulator) -> None:
    first, contact = await pair(simulator)
    second = await Client.online(simulator, await Client.paired(simulator, first.me.phone))
    number = Jid.parse(second.me.jid).device
    simulator.add_fault("duplicate", phone=first.me.phone, device=number)
    simulator.send_text(contact, first.me.phone, "hi")
    await first.read()
    await second.read()
    assert len(first.take("message")) == 1
    assert len(second.take("message")) == 2
