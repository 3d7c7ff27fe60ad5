"""Messages reach every device they were encrypted for, addressed as clients expect."""

import pytest

from perene.sim import Simulator
from perene.sim.phone import APP_STATE_KEY_ID
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.unit.sim.client import Client


def bare(jid: str) -> str:
    return str(Jid.parse(jid).bare)


@pytest.mark.requirement("F8")
async def test_a_message_reaches_all_devices_of_both_sides(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    second = await Client.online(simulator, await Client.paired(simulator, bob.me.phone))
    devices = await alice.devices(bare(bob.me.lid))
    ack = await alice.send_text(bare(bob.me.lid), "hi", "M1", *devices)
    assert ack.attrs.get("error") is None
    assert ack.attr("class") == "message"
    for client in (bob, second):
        await client.read()
        assert client.texts() == ["hi"]
    (read,) = simulator.person(bob.me.phone).party.reader.inbox
    assert (read.text, read.sender, read.id) == ("hi", alice.me.phone, "M1")


async def test_the_sender_is_named_in_both_forms(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    await alice.send_text(bare(bob.me.lid), "hi", "M1")
    await bob.read()
    (stanza,) = bob.take("message")
    assert stanza.attr("from") == alice.me.lid
    assert stanza.attr("sender_pn") == bare(alice.me.jid)
    assert stanza.attr("addressing_mode") == "lid"
    assert stanza.child("device-identity") is not None
    assert stanza.child("participants") is None


async def test_an_account_can_be_addressed_by_number(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact(addressing="pn")
    simulator.send_text(contact.account.phone, client.me.phone, "hi")
    await client.read()
    (stanza,) = client.take("message")
    assert stanza.attr("from") == str(contact.account.jid("pn"))
    assert stanza.attr("sender_lid") == str(contact.account.jid("lid"))
    assert stanza.attr("addressing_mode") == "pn"


async def test_a_copy_for_the_senders_own_device_names_the_chat(simulator: Simulator) -> None:
    alice = await Client.online(simulator)
    contact = simulator.add_contact()
    simulator.send_text(alice.me.phone, contact.account.phone, "from my phone")
    await alice.read()
    (stanza,) = alice.take("message")
    assert bare(stanza.attr("from")) == bare(alice.me.lid)
    assert stanza.attr("recipient") == str(contact.account.jid("lid"))
    assert stanza.attr("peer_recipient_pn") == str(contact.account.jid("pn"))
    (message,) = alice.decrypt(stanza)
    assert message.deviceSentMessage.message.conversation == "from my phone"
    assert contact.party.reader.inbox[0].text == "from my phone"


async def test_a_group_message_carries_the_senders_key_where_it_is_new(
    simulator: Simulator,
) -> None:
    alice = await Client.online(simulator)
    contact = simulator.add_contact()
    group = simulator.create_group("g", contact.account.phone, [alice.me.phone])
    simulator.send_text(contact.account.phone, group.jid, "one")
    simulator.send_text(contact.account.phone, group.jid, "two")
    await alice.read()
    first, second = alice.take("message")
    assert [enc.attr("type") for enc in first.children] == ["pkmsg", "skmsg"]
    assert [enc.attr("type") for enc in second.children] == ["skmsg"]
    assert first.attr("from") == group.jid
    assert first.attr("participant") == str(contact.account.jid("lid"))
    assert first.attr("participant_pn") == str(contact.account.jid("pn"))
    assert [m.conversation for m in alice.decrypt(first)[-1:]] == ["one"]
    assert [m.conversation for m in alice.decrypt(second)] == ["two"]


async def test_an_incomplete_device_list_is_answered_with_the_true_hash(
    simulator: Simulator,
) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    ack = await alice.send_text(bare(bob.me.lid), "hi", "M1", bob.me.lid)
    assert ack.attr("phash").startswith("2:")
    own_phone, phone = (bare(alice.me.lid), bare(bob.me.lid))
    ack = await alice.send_text(bare(bob.me.lid), "hi", "M2", bob.me.lid, phone, own_phone)
    assert "phash" not in ack.attrs


async def test_nobody_behind_an_address_is_an_error(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    ack = await client.send_text("404@lid", "hi", "M1", client.me.lid)
    assert ack.attr("error") == "404"


async def test_addresses_of_two_forms_in_one_message_are_refused(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    ana = simulator.add_contact().account
    number, lid = str(ana.jid("pn")), str(ana.jid("lid"))

    async def send(to: str, device: str, id_: str) -> str | None:
        enc = await client.encrypt(device, wa_pb2.Message(conversation=id_))
        body = (Node("participants", {}, (Node("to", {"jid": device}, (enc,)),)),)
        await client.send(Node("message", {"id": id_, "to": to, "type": "text"}, body))
        (ack,) = client.take("ack", id=id_)
        return ack.attrs.get("error")

    assert await send(lid, number, "M1") == await send(number, lid, "M2") == "400"
    assert simulator.evidence.events["mixed_addresses"] == 2
    simulator.add_fault("by_number_only", phone=client.me.phone, count=2)
    assert await send(lid, lid, "M3") == "400"
    assert await send(number, number, "M4") is None
    assert [read.id for read in simulator.person(ana.phone).party.reader.inbox] == ["M4"]


async def test_a_reused_message_key_is_noticed_and_a_repetition_is_not(
    simulator: Simulator,
) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    to = bare(bob.me.lid)
    await alice.encrypt(to, wa_pb2.Message(conversation="begin"))
    before = alice.me.ratchets[to]
    enc = await alice.encrypt(to, wa_pb2.Message(conversation="one"))

    async def send(message_id: str, part: Node) -> None:
        attrs = {"id": message_id, "to": to, "type": "text"}
        body = Node("participants", {}, (Node("to", {"jid": to}, (part,)),))
        await alice.send(Node("message", attrs, (body,)))

    await send("M1", enc)
    await send("M1", enc)
    assert simulator.evidence.reused_keys == []
    alice.me.ratchets[to] = before
    await send("M2", await alice.encrypt(to, wa_pb2.Message(conversation="two")))
    (reused,) = simulator.evidence.reused_keys
    assert reused.message_id == "M2"
    assert simulator.evidence.of(simulator.device(alice.me.phone)).keys_reused == 1


async def test_a_peer_message_reaches_the_own_phone_alone(simulator: Simulator) -> None:
    alice = await Client.online(simulator)
    phone = simulator.person(alice.me.phone)
    kinds = wa_pb2.Message.ProtocolMessage
    request = kinds(type=kinds.APP_STATE_SYNC_KEY_REQUEST)
    request.appStateSyncKeyRequest.keyIds.add().keyId = APP_STATE_KEY_ID
    enc = await alice.encrypt(bare(alice.me.lid), wa_pb2.Message(protocolMessage=request))
    attrs = {"id": "P", "to": bare(alice.me.jid), "type": "text", "category": "peer"}
    await alice.send(Node("message", attrs, (enc,)))
    await alice.read()
    (answer,) = alice.take("message")
    assert answer.attr("category") == "peer"
    assert "recipient" not in answer.attrs
    (message,) = alice.decrypt(answer)
    assert message.protocolMessage.appStateSyncKeyShare.keys[0].keyData.keyData == bytes(32)
    assert phone.party.reader.inbox == []
