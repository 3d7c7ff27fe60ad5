"""The database is looked at also while nobody writes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from perene.core.errors import StorageUnavailable
from perene.core.ids import CommitId, Epoch, SessionId
from perene.core.unit import Committed, Unit
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.saver import SavePolicy, Saver
from perene.supervisor.watches.database import DatabaseWatch
from tests.support.commits import nothing_unheard
from tests.support.virtual_clock import VirtualClock


class Rig:
    """A database that is there or not, with a committer and the watch."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.down = False
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.probes = 0
        self.committer = Committer(
            Saver(
                commit=self._commit,
                recall=nothing_unheard,
                clock=self.clock,
                policy=SavePolicy(attempts=1),
            ),
            on_commit=lambda: None,
        )
        self.watch = DatabaseWatch(self._probe, self.committer, self.clock)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> "AsyncGenerator[Rig]":
        rig = cls()
        life = asyncio.create_task(rig.committer.run())
        try:
            yield rig
        finally:
            life.cancel()

    async def write(self) -> None:
        unit = Unit(session=SessionId("ana"), epoch=Epoch(1))
        await self.committer.lane().submit(unit)

    async def _commit(self, units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Committed]:
        await self.go_on.wait()
        self._ask()
        return [Committed(new_messages=0) for _ in units]

    async def _probe(self) -> None:
        self.probes += 1
        self._ask()

    def _ask(self) -> None:
        if self.down:
            raise StorageUnavailable("the disk is gone")


async def test_a_database_that_dies_without_traffic_is_noticed_and_so_is_its_return() -> None:
    async with Rig.running() as rig:
        await rig.watch.look()
        assert rig.watch.health().ok
        last = f"Last written at {rig.clock.now().isoformat(timespec='seconds')}."
        assert rig.watch.health().detail == last
        await rig.clock.advance(15)
        rig.down = True
        await rig.watch.look()
        assert rig.watch.failing
        assert not rig.watch.health().ok
        assert "the disk is gone" in (rig.watch.health().detail or "")
        assert (rig.watch.health().detail or "").endswith(last)
        rig.down = False
        await rig.watch.look()
        assert rig.watch.health().ok


async def test_traffic_proves_as_much_as_a_probe() -> None:
    async with Rig.running() as rig:
        for _ in range(3):
            await rig.clock.advance(11)
            await rig.write()
            await rig.clock.advance(4)
            await rig.watch.look()
        assert rig.probes == 0
        await rig.clock.advance(1)
        await rig.watch.look()
        assert rig.probes == 1, "what was proved 5 s ago may have changed since"


async def test_what_failed_before_traffic_came_back_is_not_remembered_after_it() -> None:
    async with Rig.running() as rig:
        rig.down = True
        with capture_logs() as lines:
            await rig.watch.look()
            rig.down = False
            for _ in range(3):
                await rig.clock.advance(14)
                await rig.write()
                await rig.clock.advance(1)
                await rig.watch.look()
                assert not rig.watch.failing
        assert rig.probes == 1, "traffic proves it"
        said = [line["event"] for line in lines]
        assert said == ["database_not_writable", "database_writable"], "each trouble has its end"


async def test_a_database_is_not_probed_while_it_saves() -> None:
    async with Rig.running() as rig:
        rig.go_on.clear()
        writing = asyncio.create_task(rig.write())
        await rig.clock.advance(15)
        await rig.watch.look()
        assert rig.probes == 0
        rig.go_on.set()
        await writing


async def test_a_clock_that_was_set_back_makes_no_save_a_fresh_one() -> None:
    async with Rig.running() as rig:
        await rig.write()
        rig.clock.jump(-3600)
        await rig.watch.look()
        assert rig.probes == 1


async def test_a_save_after_a_failed_probe_says_that_the_database_is_back() -> None:
    async with Rig.running() as rig:
        rig.down = True
        await rig.watch.look()
        rig.down = False
        await rig.write()
        assert not rig.watch.failing
        assert rig.watch.health().ok


async def test_a_failed_save_that_nobody_repeats_is_forgotten_when_the_database_answers() -> None:
    async with Rig.running() as rig:
        rig.down = True
        with pytest.raises(StorageUnavailable):
            await rig.write()
        await rig.committer.drained()
        assert rig.watch.failing
        await rig.watch.look()
        assert rig.watch.failing
        rig.down = False
        await rig.watch.look()
        assert not rig.watch.failing
        assert not rig.committer.failing


async def test_a_probe_that_is_never_answered_is_a_failure() -> None:
    clock = VirtualClock()
    never = asyncio.Event()
    committer = Rig().committer

    async def hang() -> None:
        await never.wait()

    watch = DatabaseWatch(hang, committer, clock, patience_s=0.001)
    await watch.look()
    assert watch.failing
    assert "no answer" in (watch.health().detail or "")


async def test_the_database_is_looked_at_every_fifteen_seconds() -> None:
    async with Rig.running() as rig:
        life = asyncio.create_task(rig.watch.run())
        await rig.clock.until_asleep(15)
        assert rig.probes == 1
        await rig.clock.advance(15)
        assert rig.probes == 2
        life.cancel()
