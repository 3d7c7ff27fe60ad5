"""Every query has an answer of the right shape; what nobody knows is counted."""

from perene.sim import Settings, Simulator
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from tests.unit.sim.client import Client


def usync(*users: Node, protocols: tuple[str, ...] = ("devices", "lid")) -> Node:
    query = Node("query", {}, tuple(Node(name) for name in protocols))
    return Node("usync", {"sid": "1", "mode": "query"}, (query, Node("list", {}, users)))


async def test_devices_and_lid_of_a_number(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    own = f"{client.me.phone}@s.whatsapp.net"
    reply = await client.iq("usync", "get", usync(Node("user", {"jid": own})))
    (user,) = reply.need("usync").need("list").children
    devices = user.need("devices").need("device-list").children
    assert [device.attr("id") for device in devices] == ["0", "1"]
    assert devices[1].attr("key-index") == "1"
    assert user.need("lid").attr("val") == client.me.lid.replace(":1@", "@")


async def test_a_number_that_nobody_has(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = Node("user", {}, (Node("contact", {}, b"+15557654321"),))
    reply = await client.iq("usync", "get", usync(contact, protocols=("contact",)))
    (user,) = reply.need("usync").need("list").children
    assert user.attr("jid") == "15557654321@s.whatsapp.net"
    assert user.need("contact").attr("type") == "out"


async def test_unknown_numbers_become_contacts_when_asked_for() -> None:
    simulator = Simulator(settings=Settings(initial_sync=False, auto_contacts=True))
    client = await Client.online(simulator)
    contact = Node("user", {}, (Node("contact", {}, b"+15557654321"),))
    reply = await client.iq("usync", "get", usync(contact, protocols=("contact",)))
    (user,) = reply.need("usync").need("list").children
    assert user.need("contact").attr("type") == "in"
    assert simulator.person("15557654321")


async def test_every_collection_that_is_asked_for_is_answered(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    names = ["critical_block", "critical_unblock_low", "regular_high", "regular_low", "regular"]
    asked = tuple(Node("collection", {"name": name, "version": "0"}) for name in names)
    reply = await client.iq("w:sync:app:state", "set", Node("sync", {}, asked))
    answered = reply.need("sync").children
    assert [one.attr("name") for one in answered] == names
    assert {one.attr("version") for one in answered} == {"0"}


async def test_a_patch_reaches_the_other_companions_and_a_stale_one_is_refused(
    simulator: Simulator,
) -> None:
    from perene.wire.proto import wa_pb2

    first = await Client.online(simulator)
    second = await Client.online(simulator, await Client.paired(simulator, first.me.phone))
    patch = wa_pb2.SyncdPatch(snapshotMac=b"mac").SerializeToString()

    def offer(version: str) -> Node:
        child = Node("patch", {}, patch)
        collection = Node("collection", {"name": "regular", "version": version}, (child,))
        return Node("sync", {}, (collection,))

    reply = await first.iq("w:sync:app:state", "set", offer("0"))
    assert reply.need("sync").need("collection").attr("version") == "1"
    await second.read()
    (notice,) = second.take("notification", type="server_sync")
    assert notice.need("collection").attr("version") == "1"
    ask = Node("sync", {}, (Node("collection", {"name": "regular", "version": "0"}),))
    reply = await second.iq("w:sync:app:state", "set", ask)
    (stored,) = reply.need("sync").need("collection").need("patches").children
    assert wa_pb2.SyncdPatch.FromString(stored.data).version.version == 1
    reply = await second.iq("w:sync:app:state", "set", offer("0"))
    refused = reply.need("sync").need("collection")
    assert refused.need("error").attr("code") == "409"
    assert refused.child("patches") is not None


async def test_small_queries_are_answered(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    for xmlns, kind, child in [
        ("w:p", "get", Node("ping")),
        ("abt", "get", Node("props", {"protocol": "1"})),
        ("blocklist", "get", Node("list")),
        ("privacy", "set", Node("tokens")),
        ("urn:xmpp:whatsapp:dirty", "set", Node("clean")),
    ]:
        assert (await client.iq(xmlns, kind, child)).attr("type") == "result"
    reply = await client.iq("privacy", "get", Node("privacy"))
    assert reply.children[0].tag == "privacy"
    reply = await client.iq("w:m", "set", Node("media_conn"))
    assert reply.need("media_conn").need("host").attr("hostname")


async def test_blocking_somebody_shows_in_the_list(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    item = Node("item", {"action": "block", "jid": "1@lid"})
    await client.iq("blocklist", "set", item)
    reply = await client.iq("blocklist", "get", Node("list"))
    assert [one.attr("jid") for one in reply.need("list").children] == ["1@lid"]


async def test_an_unknown_namespace_gets_an_empty_answer_and_is_counted(
    simulator: Simulator,
) -> None:
    client = await Client.online(simulator)
    reply = await client.iq("w:nothing", "get", Node("what"))
    assert reply.attr("type") == "result"
    assert simulator.evidence.unknown_iqs == {"w:nothing what": 1}


async def test_an_ill_formed_query_is_refused_and_the_connection_goes_on(
    simulator: Simulator,
) -> None:
    client = await Client.online(simulator)
    reply = await client.iq("usync", "get", Node("nonsense"))
    assert reply.need("error").attr("code") == "400"
    assert (await client.iq("w:p", "get", Node("ping"))).attr("from") == SERVER_JID
