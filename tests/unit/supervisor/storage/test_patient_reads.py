"""What sessions there are is asked of a database until it answers."""

import asyncio

import pytest

from perene.core.errors import NotFound, StorageUnavailable
from perene.core.ids import SessionId
from perene.supervisor.storage.patient_reads import PatientReads
from tests.support.virtual_clock import VirtualClock
from tests.unit.supervisor.fakes import MemoryStore

ANA, NOBODY = SessionId("ana"), SessionId("nobody")


class Asking:
    """A store with one session, and who asks it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.add("ana")
        self.clock = VirtualClock()
        self.closing = asyncio.Event()
        self.reads = PatientReads(self.store, self.clock, self.closing)


@pytest.fixture
def asking() -> Asking:
    return Asking()


@pytest.mark.requirement("E8")
async def test_a_database_that_is_away_is_asked_again(asking: Asking) -> None:
    asking.store.failing = StorageUnavailable("down")
    answer = asyncio.create_task(asking.reads.sessions())
    await asking.clock.until_asleep(2)
    asking.store.failing = None
    await asking.clock.advance(2)
    assert [record.id for record in await answer] == [ANA]


async def test_nobody_waits_for_the_database_once_the_service_closes(asking: Asking) -> None:
    asking.store.failing = StorageUnavailable("down")
    asking.closing.set()
    with pytest.raises(StorageUnavailable):
        await asking.reads.sessions()


async def test_that_there_is_no_such_session_is_an_answer(asking: Asking) -> None:
    assert (await asking.reads.session(ANA)).id == ANA
    with pytest.raises(NotFound):
        await asking.reads.session(NOBODY)
