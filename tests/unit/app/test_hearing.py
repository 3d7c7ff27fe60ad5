"""What sessions learned of their traffic outlives the service."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from perene.app.hearing import Hearings
from perene.core import hearing
from perene.core.errors import StorageUnavailable
from perene.core.hearing import StanzaKind
from perene.core.ids import SessionId
from perene.engine.listening import HearingMemory
from tests.support.virtual_clock import START, VirtualClock

ANA = SessionId("ana")
pytestmark = pytest.mark.requirement("F3")


class Shelf:
    """Keeps what it is given, unless it fails."""

    def __init__(self) -> None:
        self.kept: dict[SessionId, bytes] = {}
        self.saves: list[int] = []
        self.failing = False

    async def learned_hearing(self) -> dict[SessionId, bytes]:
        self._ask()
        return dict(self.kept)

    async def save_hearing(self, learned: dict[SessionId, bytes]) -> None:
        self._ask()
        self.saves.append(len(learned))
        self.kept |= learned

    def _ask(self) -> None:
        if self.failing:
            raise StorageUnavailable("gone")


def learn(memory: HearingMemory, *, hours: int = 5) -> None:
    """Let a session hear a message every five minutes."""
    now = START
    memory.state, _ = hearing.step(memory.state, hearing.Opened(), now)
    for _ in range(12 * hours):
        now += timedelta(minutes=5)
        memory.state, _ = hearing.step(memory.state, hearing.Heard(kind=StanzaKind.MESSAGE), now)


async def test_what_was_learned_is_stored_every_quarter_of_an_hour_and_taken_up_again() -> None:
    clock, shelf = VirtualClock(), Shelf()
    hearings = Hearings(shelf, clock)
    await hearings.load()
    learn(hearings.of(ANA))
    life = asyncio.create_task(hearings.run())
    await clock.until_asleep(900)
    await clock.advance(900)
    life.cancel()
    again = Hearings(shelf, clock)
    await again.load()
    assert again.of(ANA).serialize() == hearings.of(ANA).serialize()
    assert again.of(ANA).serialize() != HearingMemory().serialize()


async def test_what_did_not_change_is_not_stored_again_and_much_is_stored_bit_by_bit() -> None:
    shelf = Shelf()
    hearings = Hearings(shelf, VirtualClock())
    for number in range(120):
        hearings.of(SessionId(f"s{number}"))
    await hearings.save()
    assert shelf.saves == [50, 50, 20]
    await hearings.save()
    assert shelf.saves == [50, 50, 20]
    learn(hearings.of(SessionId("s7")), hours=1)
    await hearings.save()
    assert shelf.saves[3:] == [1]


async def test_a_database_that_is_away_costs_nothing_but_time() -> None:
    shelf = Shelf()
    shelf.failing = True
    hearings = Hearings(shelf, VirtualClock())
    with capture_logs() as lines:
        await hearings.load()
        learn(hearings.of(ANA), hours=1)
        await hearings.save()
    assert [line["event"] for line in lines] == ["hearing_not_loaded", "hearing_not_saved"]
    shelf.failing = False
    await hearings.save()
    assert set(shelf.kept) == {ANA}


async def test_a_forgotten_session_is_not_stored_again() -> None:
    shelf = Shelf()
    hearings = Hearings(shelf, VirtualClock())
    hearings.of(ANA)
    hearings.forget(ANA)
    await hearings.save()
    assert shelf.kept == {}


async def test_new_and_known_sessions_live_by_the_numbers_that_were_set() -> None:
    clock, shelf = VirtualClock(), Shelf()
    learn((before := Hearings(shelf, clock)).of(ANA))
    await before.save()
    policy = hearing.hearing_with({"questions": "0"})
    hearings = Hearings(shelf, clock, policy)
    await hearings.load()
    assert hearings.of(ANA).state.policy == policy
    assert hearings.of(SessionId("ben")).state.policy == policy
    assert hearings.of(ANA).state.habit == before.of(ANA).state.habit
