"""The pre-key store: uploads, counts, digests, and one-time keys that are handed out once."""

from perene.sim import Simulator
from perene.sim.stanzas import read_bundle
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.unit.sim.client import Client


async def count(client: Client) -> int:
    reply = await client.iq("encrypt", "get", Node("count"))
    assert reply.attr("from") == SERVER_JID
    return int(reply.need("count").attr("value"))


async def fetch(client: Client, *jids: str) -> tuple[Node, ...]:
    users = tuple(Node("user", {"jid": jid}) for jid in jids)
    return (await client.iq("encrypt", "get", Node("key", {}, users))).need("list").children


async def test_uploaded_keys_are_counted_and_each_is_handed_out_once(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    assert await count(alice) == 30
    seen = set()
    for _ in range(3):
        (user,) = await fetch(bob, alice.me.lid)
        assert user.attr("jid") == alice.me.lid
        bundle = read_bundle(user, 1)
        assert bundle.identity == alice.me.local.key_pair.public
        seen.add(bundle.pre_key_id)
        shown = wa_pb2.ADVSignedDeviceIdentity.FromString(user.need("device-identity").data)
        # Who asks has that key from the phone (whatsapp-rust pull request 790, 2026-06-09).
        assert not shown.HasField("accountSignatureKey")
        whole = wa_pb2.ADVSignedDeviceIdentity.FromString(alice.me.device_identity)
        shown.accountSignatureKey = whole.accountSignatureKey
        assert shown == whole
    assert len(seen) == 3
    assert await count(alice) == 27


async def test_a_device_without_one_time_keys_is_still_reachable(simulator: Simulator) -> None:
    alice, bob = await Client.paired(simulator), await Client.online(simulator)
    (user,) = await fetch(bob, alice.lid)
    assert user.child("key") is None
    assert read_bundle(user, 1).pre_key is None


async def test_an_unknown_user_fails_alone(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    contact = simulator.add_contact()
    unknown, known = await fetch(client, "123@lid", str(contact.account.jid()))
    assert unknown.need("error").attr("code") == "404"
    assert known.child("key") is not None


async def test_a_device_that_runs_low_is_told_once_until_it_uploads(simulator: Simulator) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    for _ in range(28):
        await fetch(bob, alice.me.lid)
    await alice.read()
    (notice,) = alice.take("notification", type="encrypt")
    assert notice.attr("from") == SERVER_JID
    assert notice.need("count").attr("value") == "4"
    await alice.upload(range(31, 61))
    for _ in range(28):
        await fetch(bob, alice.me.lid)
    await alice.read()
    assert len(alice.take("notification", type="encrypt")) == 1


async def test_the_digest_tells_what_is_stored(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    digest = (await client.iq("encrypt", "get", Node("digest"))).need("digest")
    assert digest.need("identity").data == client.me.local.key_pair.public
    assert len(digest.need("list").children) == 30


async def test_an_upload_of_another_identity_is_refused(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    other = Client(simulator)
    client.me.local = other.me.local
    reply = await client.upload(range(40, 41))
    assert reply.attr("type") == "error"


async def test_the_signed_key_can_be_rotated(simulator: Simulator) -> None:
    from perene.signal import SignedPreKey
    from perene.sim.stanzas import key_node

    alice, bob = await Client.online(simulator), await Client.online(simulator)
    new = SignedPreKey.generate(2, alice.me.local.key_pair)
    skey = key_node("skey", 2, new.key_pair.public, new.signature)
    assert (await alice.iq("encrypt", "set", Node("rotate", {}, (skey,)))).attr("type") == "result"
    (user,) = await fetch(bob, alice.me.lid)
    assert read_bundle(user, 1).signed_pre_key == new.key_pair.public
