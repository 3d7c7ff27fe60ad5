"""Answers settle stanzas and are counted by kind; receipts go on to whoever sent the message."""

from datetime import timedelta

from perene.sim import Simulator
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.unit.sim.client import Client, Clock


async def test_a_receipt_settles_a_message_and_tells_its_sender(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    sent = simulator.send_text(contact.account.phone, client.me.phone, "hi")
    await client.read()
    device = simulator.device(client.me.phone)
    assert len(device.mailbox) == 1
    await client.confirm(client.take("message")[0])
    assert len(device.mailbox) == 0
    assert simulator.evidence.of(device).answered == {"receipt": 1}
    # One from the phone, one from the companion.
    assert contact.party.receipts[sent] == {"delivered": 2}


async def test_a_nack_drops_the_stanza_for_good_and_is_counted(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    simulator.send_text(contact.account.phone, client.me.phone, "hi")
    await client.read()
    await client.nack(client.take("message")[0], error=500)
    device = simulator.device(client.me.phone)
    assert len(device.mailbox) == 0
    assert simulator.evidence.of(device).answered == {"nack": 1}


async def test_a_status_that_was_refused_withholds_what_is_behind_it(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    status = Node("status", {"from": "status@broadcast", "participant": "1@lid", "type": "text"})
    simulator.inject(client.me.phone, status)
    await client.read()
    await client.nack(client.take("status")[0], error=487)
    await client.close()
    simulator.send_text(contact.account.phone, client.me.phone, "hi")
    client = Client(simulator, client.me)
    await client.log_in()
    await client.go_active()
    await client.send(Node("ib", {}, (Node("offline_batch", {"count": "10"}),)))
    await client.read()
    assert client.take("message") == []
    [again] = client.take("status")
    await client.nack(again)  # without a code, an ack
    await client.read()
    assert len(client.take("message")) == 1


async def test_answers_to_nothing_are_counted(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    await client.send(Node("ack", {"class": "message", "id": "none", "to": "1@lid"}))
    await client.send(Node("receipt", {"id": "none", "to": "1@lid"}))
    device = simulator.device(client.me.phone)
    assert simulator.evidence.of(device).answers_for_nothing == 2


async def test_one_receipt_settles_all_the_messages_that_it_lists(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    for text in ("one", "two", "three"):
        simulator.send_text(contact.account.phone, client.me.phone, text)
    await client.read()
    first, *others = client.take("message")
    items = tuple(Node("item", {"id": other.attr("id")}) for other in others)
    attrs = {"id": first.attr("id"), "to": first.attr("from")}
    await client.send(Node("receipt", attrs, (Node("list", {}, items),)))
    assert len(simulator.device(client.me.phone).mailbox) == 0


async def test_a_read_receipt_reaches_every_device_of_the_sender(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    to = str(Jid.parse(bob.me.lid).bare)
    await alice.send_text(to, "hi", "M1")
    person = simulator.person(bob.me.phone)
    alice.take("receipt")
    assert simulator.mark_read(bob.me.phone, ["M1"]) == 1
    await alice.read()
    (receipt,) = alice.take("receipt", type="read")
    assert receipt.attr("id") == "M1"
    assert receipt.attr("from") == to
    assert person.party.reader.inbox[0].id == "M1"


async def test_relayed_receipts_wait_for_an_ack_like_any_stanza(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    await alice.send_text(str(Jid.parse(bob.me.lid).bare), "hi", "M1")
    (receipt,) = alice.take("receipt", id="M1")
    device = simulator.device(alice.me.phone)
    assert len(device.mailbox) == 1
    await alice.nack(receipt)
    assert len(device.mailbox) == 0
    assert simulator.evidence.of(device).answered == {"ack": 1}


async def test_equal_ids_of_two_senders_are_told_apart(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    first, second = simulator.add_contact(), simulator.add_contact()
    for contact in (first, second):
        simulator.send_text(contact.account.phone, client.me.phone, "hi", "SAME")
    await client.read()
    _, later = client.take("message")
    await client.confirm(later)
    (left,) = simulator.device(client.me.phone).mailbox
    assert left.stanza.attr("from") == str(first.account.jid())


async def test_read_self_reaches_only_the_readers_own_devices(simulator: Simulator) -> None:
    alice = await Client.online(simulator)
    second = await Client.online(simulator, await Client.paired(simulator, alice.me.phone))
    contact = simulator.add_contact()
    sent = simulator.send_text(contact.account.phone, alice.me.phone, "hi")
    jid = str(contact.account.jid())
    await alice.send(Node("receipt", {"id": sent, "to": jid, "type": "read-self", "t": "1"}))
    await second.read()
    (receipt,) = second.take("receipt", type="read-self")
    assert receipt.attr("recipient") == jid
    assert "read-self" not in contact.party.receipts.get(sent, {})


async def test_a_companion_hears_that_its_phone_has_a_copy_of_what_it_sent(
    simulator: Simulator,
) -> None:
    client = await Client.online(simulator)
    second = await Client.online(simulator, await Client.paired(simulator, client.me.phone))
    contact = simulator.add_contact().account
    own = str(client.me.jid)
    devices = await client.devices(str(contact.jid("pn")), own)
    await client.send_text(str(contact.jid("pn")), "hi", "A", *devices)
    receipts = client.take("receipt", type="sender")
    assert [Jid.parse(one.attr("from")).device for one in receipts] == [0]
    assert second.take("receipt", type="sender") == []


async def test_a_stream_on_which_an_answer_is_owed_for_long_is_ended(
    simulator: Simulator, clock: Clock
) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    simulator.send_text(contact.account.phone, client.me.phone, "one")
    await client.read()
    await client.confirm(client.take("message")[0])
    clock.advance(timedelta(minutes=40))
    sent = simulator.send_text(contact.account.phone, client.me.phone, "two")
    clock.advance(timedelta(minutes=49))
    simulator.run_due()
    await client.read()
    assert not client.take("stream:error")

    clock.advance(timedelta(minutes=50))
    simulator.run_due()
    await client.read()
    (error,) = client.take("stream:error")
    assert error.need("ack").attrs == {"class": "message", "id": sent}
    assert simulator.evidence.events["answers_overdue"] == 1


async def test_of_receipts_about_one_message_each_waits_for_an_ack_of_its_own(
    simulator: Simulator,
) -> None:
    client = await Client.online(simulator)
    ana, bia = (simulator.add_contact(name=name).account.jid("lid") for name in "AB")
    about = {"id": "M1", "from": "120363000000000001@g.us"}
    for receipt in (
        {"participant": str(ana), "type": "retry"},
        {"participant": str(ana)},
        {"participant": str(bia)},
        {"participant": str(bia.with_device(1)), "type": "retry"},
        {"participant": str(bia), "type": "retry"},
    ):
        simulator.inject(client.me.phone, Node("receipt", about | receipt))
    await client.read()
    device = simulator.device(client.me.phone)
    left = client.take("receipt")
    for receipt in reversed(list(left)):
        await client.nack(receipt)
        left.remove(receipt)
        assert [held.stanza for held in device.mailbox] == left
