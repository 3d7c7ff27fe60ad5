"""A prepared load decrypts in order, and is answered stanza by stanza."""

import pytest

from perene.sim import Simulator, TrafficPlan
from tests.unit.sim.client import Client


@pytest.mark.parametrize("mode", ["chain", "fresh"])
async def test_every_message_of_a_load_decrypts_once(simulator: Simulator, mode: str) -> None:
    client = await Client.online(simulator)
    plan = TrafficPlan(to=client.me.phone, contacts=3, messages=4, size=40, mode=mode)  # pyright: ignore[reportArgumentType]
    load = simulator.prepare_traffic(plan)
    await load.fire(simulator.service)
    await client.read()
    stanzas = client.take("message")
    texts = [client.decrypt(stanza)[0].conversation for stanza in stanzas]
    assert len(set(texts)) == 12
    assert {len(text) for text in texts} == {40}
    assert load.answered == 0
    for stanza in stanzas:
        await client.confirm(stanza)
    assert load.answered == 12
    assert load.answers == {"receipt": 12}


async def test_a_load_for_a_device_that_is_away_waits_in_its_queue(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    load = simulator.prepare_traffic(TrafficPlan(to=client.me.phone, messages=10))
    await client.close()
    await load.fire(simulator.service)
    assert len(simulator.device(client.me.phone).mailbox) == 10
