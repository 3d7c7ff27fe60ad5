"""A transaction that was committed and not heard of, and what is tried in its place."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from perene.core.ids import CommitId
from perene.core.unit import Outcome, Unit
from perene.supervisor.storage.saver import Commit, Recall, Tried
from tests.support.world import World

FRIENDS = 20


class Unheard:
    """Lets units gather, commits them together, and says nothing of it.

    After that so many transactions are heard of as `heard` says, and then none is begun any more.
    """

    def __init__(self, world: World, heard: int) -> None:
        self._world = world
        self._commit: Commit = world.perene.store.commit
        self._recall: Recall = world.perene.store.recall
        self._heard = heard
        self.sizes: list[int] = []
        """How many units the transactions were to have."""
        self.again = 0
        """How many units were to be committed a second time."""
        self._unheard: list[Unit] = []

    async def commit(self, units: Sequence[Unit], commit_id: CommitId) -> Sequence[Outcome]:
        self.sizes.append(len(units))
        self.again += sum(one is unit for one in units for unit in self._unheard)
        count = len(self.sizes)
        if count == 1:
            await self._world.clock.sleep(1)  # here the others gather
            return await self._commit(units, commit_id)
        if count == 2:
            self._unheard.extend(units)
            await self._commit(units, commit_id)
            await self._silence()
        await self._hear()
        return await self._commit(units, commit_id)

    async def recall(self, tried: Tried) -> Sequence[Outcome] | None:
        await self._hear()
        return await self._recall(tried)

    async def _hear(self) -> None:
        if not self._heard:
            await self._silence()
        self._heard -= 1

    async def _silence(self) -> None:
        await self._world.clock.sleep(10)
        raise TimeoutError


@pytest.mark.parametrize("forgetful", [False, True])
@pytest.mark.parametrize("greeted", [False, True])
@pytest.mark.parametrize("heard", range(6))
@pytest.mark.requirement("C13", "D9", "E1", "E8", "F1")
async def test_a_crash_after_an_unheard_commit_costs_no_message_no_key_and_no_session(
    world: World, monkeypatch: pytest.MonkeyPatch, heard: int, greeted: bool, forgetful: bool
) -> None:
    """To commit a part of it again would undo what the rest brought: sessions that were begun."""
    phone = await world.user.pair()
    await world.pass_time(60)
    friends = [world.simulator.add_contact(name=f"F{n}").account.phone for n in range(FRIENDS)]
    texts: list[str] = []
    sent: list[str] = []

    def write(*lines: str) -> None:
        for friend in friends:
            for line in lines:
                texts.append(f"{line} from {friend}")
                world.simulator.send_text(friend, phone, texts[-1])

    if greeted:
        for friend in friends[:10]:
            sent.append(f"hello {friend}")
            await world.user.send(f"{friend}@s.whatsapp.net", sent[-1])
        write("greeting")
        await world.server.answered(phone)
        await world.pass_time(60)
    unheard = Unheard(world, heard)
    monkeypatch.setattr(world.perene.store, "commit", unheard.commit)
    monkeypatch.setattr(world.perene.store, "recall", unheard.recall)
    write("first", "second")
    if forgetful:
        for friend in friends:
            world.simulator.lose_ratchets(friend)
    sending = {
        f"to {friend}": asyncio.create_task(
            world.user.send(f"{friend}@s.whatsapp.net", f"to {friend}")
        )
        for friend in friends[:5]
    }
    write("third", "fourth")
    await world.pass_time(25)
    print(unheard.sizes)
    assert (unheard.sizes[1] > 2 * FRIENDS, unheard.again) == (True, 0)
    await world.perene.kill()
    await asyncio.gather(*sending.values())
    monkeypatch.undo()
    await world.perene.start()

    await world.pass_time(60)
    write("after the crash")
    await world.pass_time(60)
    await world.server.answered(phone)
    got = [text for friend in friends for text in world.server.inbox(friend)]
    assert Counter(await world.stored.texts()) == Counter([*texts, *got])
    assert Counter(got) == Counter([*sent, *sending])
    assert (world.simulator.evidence.reused_keys, world.resends) == ([], 0)
