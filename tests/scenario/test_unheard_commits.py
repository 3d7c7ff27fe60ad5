"""A transaction that was committed and not heard of, and less that is tried in its place."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from perene.core.unit import Unit
from perene.supervisor.storage.committer import Commit, Outcome
from tests.support.world import World

FRIENDS = 20


class Unheard:
    """Lets units gather, commits them together, and says nothing of it.

    After that so many transactions are heard of as `heard` says, and then none is begun any more.
    """

    def __init__(self, world: World, commit: Commit, heard: int) -> None:
        self._world = world
        self._commit = commit
        self._heard = heard
        self.sizes: list[int] = []

    async def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        self.sizes.append(len(units))
        count = len(self.sizes)
        if count == 1:
            await self._world.clock.sleep(1)  # here the others gather
            return await self._commit(units)
        if count == 2:
            await self._commit(units)
        if count > 2 and self._heard > 0:
            self._heard -= 1
            return await self._commit(units)
        await self._world.clock.sleep(10)
        raise TimeoutError


@pytest.mark.parametrize("greeted", [False, True])
@pytest.mark.parametrize("heard", range(6))
@pytest.mark.requirement("C13", "D9", "E1", "E8", "F1")
async def test_a_crash_after_the_first_part_of_an_unheard_commit_costs_no_message_and_no_key(
    world: World, monkeypatch: pytest.MonkeyPatch, heard: int, greeted: bool
) -> None:
    """What is committed again is older than what is stored; nothing of the younger had left."""
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
    unheard = Unheard(world, world.perene.store.commit, heard)
    monkeypatch.setattr(world.perene.store, "commit", unheard.commit)
    write("first", "second")
    sending = {
        f"to {friend}": asyncio.create_task(
            world.user.send(f"{friend}@s.whatsapp.net", f"to {friend}")
        )
        for friend in friends[:5]
    }
    write("third", "fourth")
    await world.pass_time(25)
    print(unheard.sizes)
    assert unheard.sizes[1] > 4 * unheard.sizes[2], "less is tried"
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
