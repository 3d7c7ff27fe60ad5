"""A test can give a client any stanza, and ping it."""

from perene.sim import Simulator
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from tests.unit.sim.client import Client


async def test_a_message_of_ones_own_making_is_held_until_it_is_answered(
    simulator: Simulator,
) -> None:
    client = await Client.online(simulator)
    unavailable = Node("unavailable", {"type": "view_once"})
    stanza = Node("message", {"from": "1@lid", "type": "text"}, (unavailable,))
    given = simulator.inject(client.me.phone, stanza)
    await client.read()
    (got,) = client.take("message")
    assert got.attr("id") == given
    assert got.need("unavailable").attr("type") == "view_once"
    assert len(simulator.device(client.me.phone).mailbox) == 1
    await client.nack(got)
    assert len(simulator.device(client.me.phone).mailbox) == 0


async def test_other_stanzas_are_sent_and_forgotten(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    dirty = Node("dirty", {"type": "groups", "timestamp": "1"})
    simulator.inject(client.me.phone, Node("ib", {}, (dirty,)))
    await client.read()
    assert client.ib("dirty")
    assert len(simulator.device(client.me.phone).mailbox) == 0


async def test_a_ping_of_the_server_counts_when_it_is_answered(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    assert simulator.ping(client.me.phone) == 1
    await client.read()
    (ping,) = client.take("iq", type="get")
    assert ping.child("ping") is not None
    for _ in range(2):
        await client.send(Node("iq", {"id": ping.attr("id"), "to": SERVER_JID, "type": "result"}))
    assert simulator.evidence.events["pongs"] == 1
