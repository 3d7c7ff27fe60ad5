"""Groups: made by clients or by the admin, announced to everybody in them."""

from perene.sim import Simulator
from perene.wire.node import Node
from tests.unit.sim.client import Client

GROUPS = "@g.us"


async def make(client: Client, *members: Client) -> str:
    participants = tuple(
        Node("participant", {"jid": f"{member.me.phone}@s.whatsapp.net"}) for member in members
    )
    step = Node("create", {"subject": "friends", "key": "K"}, participants)
    reply = await client.iq("w:g2", "set", step, to=GROUPS)
    return reply.need("group").attr("id") + GROUPS


async def test_a_new_group_is_described_and_announced(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    jid = await make(alice, bob)
    reply = await alice.iq("w:g2", "get", Node("query", {"request": "interactive"}), to=jid)
    assert reply.attr("from") == jid
    group = reply.need("group")
    assert group.attr("subject") == "friends"
    assert group.attr("addressing_mode") == "lid"
    people = {
        p.attr("phone_number"): p.attrs.get("type")
        for p in group.children
        if p.tag == "participant"
    }
    assert people == {
        f"{alice.me.phone}@s.whatsapp.net": "superadmin",
        f"{bob.me.phone}@s.whatsapp.net": None,
    }
    await bob.read()
    (notice,) = bob.take("notification", type="w:gp2")
    assert notice.attr("from") == jid
    assert notice.need("create").need("group").attr("subject") == "friends"


async def test_all_groups_of_somebody_are_listed(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    await make(alice, bob)
    reply = await bob.iq("w:g2", "get", Node("participating"), to=GROUPS)
    assert len(reply.need("groups").children) == 1


async def test_changes_of_participants_are_announced(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    carol = await Client.online(simulator)
    jid = await make(alice, bob)
    alice.take("notification")
    await bob.read()
    bob.take("notification")
    simulator.change_group(jid, "add", [carol.me.phone])
    simulator.change_group(jid, "remove", [bob.me.phone])
    for client, tags in ((alice, ["add", "remove"]), (bob, ["add", "remove"])):
        await client.read()
        assert [n.children[0].tag for n in client.take("notification", type="w:gp2")] == tags
    await carol.read()
    # The newcomer gets the whole group instead of the change that made it one.
    tags = [n.children[0].tag for n in carol.take("notification", type="w:gp2")]
    assert tags == ["create", "remove"]
    group = simulator.world.groups.find(jid)
    assert group
    assert {account.phone for account in group.roles} == {alice.me.phone, carol.me.phone}


async def test_who_is_not_in_a_group_may_not_ask_about_it(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    jid = await make(alice)
    reply = await bob.iq("w:g2", "get", Node("query"), to=jid)
    assert reply.need("error").attr("code") == "403"
    reply = await bob.iq("w:g2", "get", Node("query"), to="1@g.us")
    assert reply.need("error").attr("code") == "404"


async def test_settings_and_leaving(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    jid = await make(alice, bob)
    await alice.iq("w:g2", "set", Node("subject", {}, b"enemies"), to=jid)
    await alice.iq("w:g2", "set", Node("announcement"), to=jid)
    await alice.iq("w:g2", "set", Node("ephemeral", {"expiration": "86400"}), to=jid)
    body = Node("body", {}, "déjà vu".encode())
    await alice.iq("w:g2", "set", Node("description", {"id": "D"}, (body,)), to=jid)
    group = (await alice.iq("w:g2", "get", Node("query"), to=jid)).need("group")
    assert group.attr("subject") == "enemies"
    assert group.child("announcement") is not None
    assert group.need("ephemeral").attr("expiration") == "86400"
    assert group.need("description").need("body").data.decode() == "déjà vu"
    leave = Node("leave", {}, (Node("group", {"id": jid}),))
    await bob.iq("w:g2", "set", leave, to=GROUPS)
    found = simulator.world.groups.find(jid)
    assert found
    assert [account.phone for account in found.roles] == [alice.me.phone]
