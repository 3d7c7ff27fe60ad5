"""Whatever a client does, the simulator loses nothing, keeps order, and counts right.

The yardstick must be straight before anything is measured with it: these walks show that every
message reaches a client that comes and goes at random, and only as often as it left it unanswered.
"""

import random

import pytest

from perene.signal import DuplicateMessage
from perene.sim import Settings, Simulator
from perene.wire.node import Node
from tests.unit.sim.client import Client

STEPS = 150


class Companion:
    """A client that reads, answers or forgets to, leaves and comes back; its keys are kept."""

    def __init__(self, simulator: Simulator, client: Client) -> None:
        self.simulator = simulator
        self.client: Client | None = client
        self.me = client.me
        self.texts: dict[str, str] = {}
        self.order: list[str] = []
        self.seen = 0

    async def come(self) -> None:
        if self.client is None or self.client.is_closed:
            self.client = Client(self.simulator, self.me)
            await self.client.log_in()
            await self.client.go_active()

    async def leave(self) -> None:
        if self.client is not None and not self.client.is_closed:
            await self.client.close()
        self.client = None

    async def read(self, chance: random.Random, answer: float) -> None:
        """Read everything there is; answer each stanza with this probability."""
        if self.client is None or self.client.is_closed:
            return
        await self.client.read()
        for stanza in self.client.take("message"):
            self._keep(stanza)
            if chance.random() < answer and not self.client.is_closed:
                await self.client.confirm(stanza)
        for stanza in [*self.client.take("notification"), *self.client.take("receipt")]:
            if not self.client.is_closed:
                await self.client.nack(stanza)

    def _keep(self, stanza: Node) -> None:
        assert self.client is not None
        self.seen += 1
        try:
            text = self.client.decrypt(stanza)[-1].conversation
        except DuplicateMessage:
            assert stanza.attr("id") in self.texts
            return
        assert stanza.attr("id") not in self.texts
        self.texts[stanza.attr("id")] = text
        self.order.append(text)


@pytest.mark.parametrize("seed", range(5))
async def test_a_random_walk_loses_nothing(seed: int) -> None:
    chance = random.Random(seed)
    simulator = Simulator(seed=seed, settings=Settings(initial_sync=False))
    companion = Companion(simulator, await Client.online(simulator))
    contacts = [simulator.add_contact().account.phone for _ in range(3)]
    group = simulator.create_group("g", contacts[0], [companion.me.phone, *contacts[1:]])
    sent: dict[str, str] = {}
    for step in range(STEPS):
        match chance.choice(["send", "send", "send", "group", "read", "come", "leave", "fault"]):
            case "send" | "group" as what:
                to = group.jid if what == "group" else companion.me.phone
                text = f"{step}"
                sent[simulator.send_text(chance.choice(contacts), to, text)] = text
            case "read":
                await companion.read(chance, answer=0.6)
            case "come":
                await companion.come()
            case "leave":
                await companion.leave()
            case _:
                # One occasion at the most: these must not pile up until the end.
                kind = chance.choice(["duplicate", "close_after", "half_frames"])
                simulator.faults.clear()
                simulator.add_fault(kind, phone=companion.me.phone)  # pyright: ignore[reportArgumentType]
    simulator.faults.clear()
    await companion.leave()
    device = simulator.device(companion.me.phone)
    for _ in range(STEPS):
        if not len(device.mailbox):
            break
        await companion.come()
        await companion.read(chance, answer=1.0)
    assert companion.texts == sent
    counters = simulator.evidence.of(device)
    assert [d.id for d in simulator.evidence.deliveries[device.name]] == list(sent)
    assert counters.answered["receipt"] == len(sent)
    assert counters.answers_for_nothing <= companion.seen - len(sent)
    assert simulator.evidence.reused_keys == []
    # Group and direct messages of one contact each keep their order; so does the whole.
    assert companion.order == sorted(companion.order, key=int)
