"""A prepared load decrypts in order, and is answered stanza by stanza."""

import asyncio

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


async def test_a_load_goes_no_faster_than_the_client_reads(simulator: Simulator) -> None:
    client = await Client.online(simulator)
    load = simulator.prepare_traffic(TrafficPlan(to=client.me.phone, messages=1500, size=10))
    firing = asyncio.create_task(load.fire(simulator.service))
    while client.pending < 1024:  # noqa: ASYNC110  # the load pauses by itself, nothing tells so
        await asyncio.sleep(0)
    assert not firing.done()
    assert load.next < 1500
    while not firing.done():
        await client.read()
        await asyncio.sleep(0)
    await client.read()
    assert len(client.take("message")) == 1500
