"""A companion is linked by a code that is typed on the phone."""

import secrets
from datetime import timedelta

import pytest

from perene.crypto import KeyPair, ctr_crypt, gcm_encrypt, hkdf, pbkdf2
from perene.sim import Simulator
from perene.sim.candidate import PairingRefused
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from tests.unit.sim.client import Client, Clock

PHONE = "15551112222"
CODE = "ABCD1234"


class ByCode:
    """The companion's half of docs/reference/protocol.md §3.3."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ephemeral = KeyPair.generate()
        self.ref = b""

    def _key(self, salt: bytes) -> bytes:
        return pbkdf2(CODE.encode(), salt=salt, rounds=131_072, length=32)

    async def hello(self) -> None:
        salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
        wrapped = salt + iv + ctr_crypt(self._key(salt), iv, self.ephemeral.public)
        children = (Node("link_code_pairing_wrapped_companion_ephemeral_pub", {}, wrapped),)
        attrs = {"jid": f"{PHONE}@s.whatsapp.net", "stage": "companion_hello"}
        reply = await self.client.iq("md", "set", Node("link_code_companion_reg", attrs, children))
        self.ref = reply.need("link_code_companion_reg").need("link_code_pairing_ref").data

    async def finish(self) -> None:
        await self.client.read()
        (notice,) = self.client.take("notification", type="link_code_companion_reg")
        step = notice.need("link_code_companion_reg")
        wrapped = step.need("link_code_pairing_wrapped_primary_ephemeral_pub").data
        primary = step.need("primary_identity_pub").data
        assert step.need("link_code_pairing_ref").data == self.ref
        theirs = ctr_crypt(self._key(wrapped[:32]), wrapped[32:48], wrapped[48:])
        shared = self.ephemeral.agree(theirs)
        salt, nonce, rand = (secrets.token_bytes(size) for size in (32, 12, 32))
        info = b"link_code_pairing_key_bundle_encryption_key"
        own = self.client.me.local.key_pair
        sealed = gcm_encrypt(
            hkdf(shared, salt=salt, info=info, length=32), nonce, own.public + primary + rand
        )
        secret = shared + own.agree(primary) + rand
        self.client.me.adv_secret = hkdf(secret, info=b"adv_secret", length=32)
        children = (
            Node("link_code_pairing_wrapped_key_bundle", {}, salt + nonce + sealed),
            Node("companion_identity_public", {}, own.public),
            Node("link_code_pairing_ref", {}, self.ref),
        )
        attrs = {"jid": f"{PHONE}@s.whatsapp.net", "stage": "companion_finish"}
        step = Node("link_code_companion_reg", attrs, children)
        await self.client.send(
            Node("iq", {"id": "f", "xmlns": "md", "type": "set", "to": SERVER_JID}, (step,))
        )


async def test_the_right_code_links_the_companion(simulator: Simulator) -> None:
    client = Client(simulator)
    await client.register()
    by_code = ByCode(client)
    await by_code.hello()
    assert simulator.service.pairing.codes.state(PHONE) == "waiting"
    simulator.enter_code(PHONE, "abcd-1234")
    await by_code.finish()
    await client.answer_pairing()
    assert client.take("stream:error", code="515")
    assert client.me.phone == PHONE


async def test_a_wrong_code_links_nothing_and_can_be_typed_again(simulator: Simulator) -> None:
    client = Client(simulator)
    await client.register()
    by_code = ByCode(client)
    await by_code.hello()
    simulator.enter_code(PHONE, "WRONG999")
    await by_code.finish()
    assert simulator.service.pairing.codes.state(PHONE) == "wrong"
    assert not [n for n in client.nodes if n.child("pair-success")]
    simulator.enter_code(PHONE, CODE)
    await by_code.finish()
    await client.answer_pairing()
    assert simulator.person(PHONE).account.companions


async def test_the_code_of_a_client_of_an_old_version_links_nothing(simulator: Simulator) -> None:
    simulator.require_version((2, 3000, 1035194822), to_link=True)
    client = Client(simulator)
    await client.register()
    await ByCode(client).hello()
    with pytest.raises(PairingRefused, match="too old"):
        simulator.enter_code(PHONE, CODE)
    await client.read()
    assert client.take("notification") == []


async def test_a_code_expires_and_is_tried_three_times_at_most(
    simulator: Simulator, clock: Clock
) -> None:
    client = Client(simulator)
    await client.register()
    with pytest.raises(PairingRefused, match="nobody"):
        simulator.enter_code(PHONE, CODE)
    await ByCode(client).hello()
    for _ in range(3):
        simulator.enter_code(PHONE, "WRONG999")
    with pytest.raises(PairingRefused, match="often"):
        simulator.enter_code(PHONE, CODE)
    await ByCode(client).hello()
    clock.advance(timedelta(seconds=180))
    with pytest.raises(PairingRefused, match="expired"):
        simulator.enter_code(PHONE, CODE)
