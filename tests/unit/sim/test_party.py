"""Simulated people heal like clients: they ask again, answer who asks, and never count twice."""

import pytest

from perene.signal import Ratchet, UnknownPreKey
from perene.sim import Simulator
from perene.sim.stanzas import KEY_TYPE, key_node
from perene.wire.jid import Jid
from perene.wire.node import Node
from tests.unit.sim.client import Client


def bare(jid: str) -> str:
    return str(Jid.parse(jid).bare)


async def ask_again(client: Client, stanza: Node, count: int, *, keys: bool = False) -> None:
    """Send a retry receipt and then the ack, as clients do."""
    attrs = {"id": stanza.attr("id"), "to": stanza.attr("from"), "type": "retry"}
    if participant := stanza.attrs.get("participant"):
        attrs["participant"] = participant
    retry = Node("retry", {"count": str(count), "id": stanza.attr("id"), "v": "1", "t": "0"})
    registration = client.me.local.registration_id.to_bytes(4)
    children = [retry, Node("registration", {}, registration)]
    if keys:
        one_time, signed = client.me.pre_keys[30], client.me.signed
        parts = (
            Node("type", {}, KEY_TYPE),
            Node("identity", {}, client.me.local.key_pair.public),
            key_node("key", one_time.id, one_time.key_pair.public),
            key_node("skey", signed.id, signed.key_pair.public, signed.signature),
        )
        children.append(Node("keys", {}, parts))
    await client.send(Node("receipt", attrs, tuple(children)))
    await client.nack(stanza)
    await client.read()


@pytest.mark.parametrize(("count", "keys"), [(1, False), (2, False), (2, True)])
async def test_a_retry_receipt_is_answered_under_the_same_id(
    simulator: Simulator, count: int, keys: bool
) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    sent = simulator.send_text(contact.account.phone, client.me.phone, "hi")
    await client.read()
    (lost,) = client.take("message")
    await ask_again(client, lost, count, keys=keys)
    (again,) = client.take("message")
    assert again.attr("id") == sent
    assert again.need("enc").attr("count") == str(count)
    assert client.decrypt(again)[0].conversation == "hi"
    device = simulator.device(client.me.phone)
    assert simulator.evidence.of(device).retries_asked == 1
    assert simulator.evidence.of(device).answered["retry"] == 1
    assert simulator.evidence.reused_keys == []


async def test_a_group_message_is_sent_again_with_the_sender_key(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    group = simulator.create_group("g", contact.account.phone, [client.me.phone])
    simulator.send_text(contact.account.phone, group.jid, "one")
    await client.read()
    (lost,) = client.take("message")
    await ask_again(client, lost, 1)
    (again,) = client.take("message")
    assert again.attr("participant") == lost.attr("participant")
    assert client.decrypt(again)[0].conversation == "one"
    simulator.send_text(contact.account.phone, group.jid, "two")
    await client.read()
    assert client.texts() == ["two"]


async def test_a_message_is_encrypted_again_five_times_at_most(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    simulator.send_text(contact.account.phone, client.me.phone, "hi")
    await client.read()
    (lost,) = client.take("message")
    for count in range(1, 7):
        await ask_again(client, lost, count)
    assert contact.party.desk.counts["retries_answered"] == 5
    assert contact.party.desk.counts["retries_refused"] == 1


async def test_a_contact_that_lost_its_ratchets_asks_again_until_it_can_read(
    simulator: Simulator,
) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    to = str(contact.account.jid())
    await client.send_text(to, "one", "M1", to)
    simulator.send_text(contact.account.phone, client.me.phone, "answer")
    await client.read()
    assert client.texts() == ["answer"]
    simulator.lose_ratchets(contact.account.phone)
    await client.send_text(to, "two", "M2", to)
    (retry,) = client.take("receipt", type="retry")
    assert retry.need("retry").attr("error") == "1"
    assert retry.attr("from") == to
    # What a client does then: a fresh ratchet, the same id.
    client.me.ratchets[to] = Ratchet.empty
    del client.me.ratchets[to]
    await client.send_text(to, "two", "M2", to)
    assert [read.text for read in contact.party.reader.inbox] == ["one", "two"]


async def test_a_message_that_comes_twice_is_read_once_and_counted(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    to = str(contact.account.jid())
    await client.send_text(to, "one", "M1", to)
    await client.send_text(to, "one", "M1", to)
    assert [read.id for read in contact.party.reader.inbox] == ["M1"]
    assert contact.party.desk.counts["received"] == 1
    assert contact.party.desk.counts["duplicates"] == 1


async def test_a_third_retry_receipt_brings_keys(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    to = str(contact.account.jid())
    await client.send_text(to, "one", "M1", to)
    for _ in range(2):
        simulator.lose_ratchets(contact.account.phone)
        contact.party.desk.keyring.lose_one_time_keys()
        await client.send_text(to, "two", "M2", to)
    first, second = client.take("receipt", type="retry")
    assert first.child("keys") is None
    assert second.child("keys") is not None


async def test_a_phone_that_is_off_reads_when_it_is_back(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    to = str(contact.account.jid())
    simulator.set_online(contact.account.phone, False)
    await client.send_text(to, "one", "M1", to)
    assert contact.party.reader.inbox == []
    simulator.set_online(contact.account.phone, True)
    assert [read.text for read in contact.party.reader.inbox] == ["one"]
    await client.read()
    assert client.take("receipt", id="M1")


async def test_a_contact_that_reads_at_once_says_so(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    contact.party.reader.auto_read = True
    to = str(contact.account.jid())
    await client.send_text(to, "one", "M1", to)
    assert [r.attrs.get("type") for r in client.take("receipt")] == [None, "read"]


async def test_a_wrong_pre_key_id_is_named_when_asked_for(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    simulator.add_fault("wrong_pre_key", phone=contact.account.phone)
    simulator.send_text(contact.account.phone, client.me.phone, "hi")
    await client.read()
    (lost,) = client.take("message")
    with pytest.raises(UnknownPreKey):
        client.decrypt(lost)
    await ask_again(client, lost, 2, keys=True)
    assert client.texts() == ["hi"]


async def test_a_new_identity_is_announced_to_who_knows_the_contact(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    to = str(contact.account.jid())
    await client.send_text(to, "one", "M1", to)
    simulator.change_identity(contact.account.phone)
    await client.read()
    (notice,) = client.take("notification", type="encrypt")
    assert notice.attr("from") == to
    assert notice.child("identity") is not None
    await client.send_text(to, "two", "M2", to)
    (retry,) = client.take("receipt", type="retry")
    assert retry.attr("id") == "M2"
