"""A companion is linked by QR, and only with the right keys, in time, and with a good signature."""

from datetime import timedelta

import pytest

from perene.sim import Simulator
from perene.sim.candidate import PairingRefused
from perene.wire.jid import Jid
from tests.unit.sim.client import Client, Clock, Identity


@pytest.mark.requirement("F8")
async def test_a_scanned_companion_is_linked_and_told_to_restart(simulator: Simulator) -> None:
    client = Client(simulator)
    texts = await client.register()
    assert len(texts) == 6
    device = simulator.scan_qr(texts[0])
    await client.answer_pairing()
    assert client.take("stream:error", code="515")
    assert client.is_closed
    assert Jid.parse(client.me.jid) == device.jid("pn")
    assert Jid.parse(client.me.lid) == device.jid("lid")
    assert device.account.companions == [device]


async def test_a_push_name_leads_to_the_same_account(simulator: Simulator) -> None:
    devices = []
    for _ in range(2):
        client = Client(simulator)
        texts = await client.register(name="alice")
        devices.append(simulator.scan_qr(texts[0]))
        await client.answer_pairing()
    assert devices[0].account is devices[1].account
    assert [device.id for device in devices] == [1, 2]
    assert devices[0].account.name == "alice"


async def test_clients_without_a_name_get_accounts_of_their_own(simulator: Simulator) -> None:
    first, second = await Client.paired(simulator), await Client.paired(simulator)
    assert first.phone != second.phone


async def test_a_client_of_an_old_version_is_shown_codes_and_no_phone_links_it(
    simulator: Simulator,
) -> None:
    simulator.require_version((2, 3000, 1035194822), to_link=True)
    client = Client(simulator)
    texts = await client.register()
    with pytest.raises(PairingRefused, match="too old"):
        simulator.scan_qr(texts[0])
    assert not client.is_closed
    assert simulator.evidence.events["outdated_not_linked"] == 1

    simulator.require_version((2, 3000, 1035194821), to_link=True)
    assert simulator.scan_qr(texts[0])


async def test_a_number_can_be_chosen(simulator: Simulator) -> None:
    assert (await Client.paired(simulator, "15551234567")).phone == "15551234567"


@pytest.mark.parametrize(
    ("index", "seconds", "good"),
    [(0, 59, True), (0, 60, False), (1, 79, True), (1, 80, False), (5, 159, True), (5, 160, False)],
)
async def test_a_ref_expires_when_the_client_no_longer_shows_it(
    simulator: Simulator, clock: Clock, index: int, seconds: int, good: bool
) -> None:
    client = Client(simulator)
    texts = await client.register()
    clock.advance(timedelta(seconds=seconds))
    if good:
        assert simulator.scan_qr(texts[index])
    else:
        with pytest.raises(PairingRefused) as caught:
            simulator.scan_qr(texts[index])
        assert caught.value.gone


async def test_the_refs_of_a_client_that_left_are_gone(simulator: Simulator) -> None:
    client = Client(simulator)
    texts = await client.register()
    await client.close()
    with pytest.raises(PairingRefused, match="nobody"):
        simulator.scan_qr(texts[0])


async def test_a_qr_with_the_keys_of_another_client_is_refused(simulator: Simulator) -> None:
    mine, other = Client(simulator), Client(simulator)
    texts, theirs = await mine.register(), await other.register()
    mixed = texts[0].split(",")[0] + "," + theirs[0].split(",", 1)[1]
    with pytest.raises(PairingRefused, match="keys"):
        simulator.scan_qr(mixed)


@pytest.mark.parametrize("text", ["", "nonsense", "ref,a,b", "ref,!,!,!,1"])
async def test_a_text_that_is_no_qr_is_refused(simulator: Simulator, text: str) -> None:
    with pytest.raises(PairingRefused):
        simulator.scan_qr(text)


async def test_a_forged_countersignature_links_nothing(simulator: Simulator) -> None:
    client = Client(simulator)
    device = simulator.scan_qr((await client.register())[0])
    await client.answer_pairing(forge=True)
    assert client.take("stream:error", code="401")
    assert device.account.companions == []
    assert simulator.evidence.events["pairings_failed"] == 1


async def test_other_companions_hear_of_a_new_one(simulator: Simulator) -> None:
    first = await Client.online(simulator)
    second = await Client.paired(simulator, first.me.phone)
    await first.read()
    (notice,) = first.take("notification", type="devices")
    assert notice.need("add").need("device").attr("jid") == second.jid
    assert first.take("notification", type="account_sync")


async def test_contacts_that_looked_the_account_up_hear_of_a_new_companion(
    simulator: Simulator,
) -> None:
    alice, bob = await Client.online(simulator), await Client.online(simulator)
    stranger = await Client.online(simulator)
    await alice.devices(f"{bob.me.phone}@s.whatsapp.net")
    await Client.paired(simulator, bob.me.phone)
    await alice.read()
    await stranger.read()
    assert alice.take("notification", type="devices")
    assert not stranger.take("notification", type="devices")


async def test_an_identity_of_the_same_keys_survives_two_connections(simulator: Simulator) -> None:
    me = Identity()
    client = Client(simulator, me)
    simulator.scan_qr((await client.register())[0])
    await client.answer_pairing()
    again = Client(simulator, me)
    await again.log_in()
    (success,) = again.take("success")
    assert success.attr("lid") == me.lid
