"""What sessions learned of their traffic outlives the service."""

import asyncio
from collections.abc import Callable
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

ANA, BEN, CAIO = SessionId("ana"), SessionId("ben"), SessionId("caio")
pytestmark = pytest.mark.requirement("F3")


class Shelf:
    """Keeps what it is given, unless it fails."""

    def __init__(self) -> None:
        self.kept: dict[SessionId, bytes] = {}
        self.saves: list[int] = []
        self.failing = False
        self.damaged: set[SessionId] = set()
        self.meanwhile: Callable[[], object] | None = None
        """What happens while a single memory is read."""

    async def learned_hearing(self) -> dict[SessionId, bytes]:
        self._ask()
        if self.damaged:
            raise StorageUnavailable("damaged")
        return dict(self.kept)

    async def learned_hearing_of(self, session: SessionId) -> bytes | None:
        self._ask()
        if session in self.damaged:
            raise StorageUnavailable("damaged")
        found = self.kept.get(session)
        if self.meanwhile is not None:
            self.meanwhile()
        return found

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


async def learned_by(shelf: Shelf, *sessions: SessionId) -> dict[SessionId, bytes]:
    """Have an earlier run store what sessions learned; return it."""
    earlier = Hearings(shelf, VirtualClock())
    await earlier.load()
    for hours, session in enumerate(sessions, 5):
        learn(earlier.of(session), hours=hours)
    await earlier.save()
    return dict(shelf.kept)


async def live(hearings: Hearings, clock: VirtualClock, *, rounds: int = 1) -> None:
    """Let quarters of an hour pass."""
    life = asyncio.create_task(hearings.run())
    for _ in range(rounds):
        await clock.until_asleep(900)
        await clock.advance(900)
    life.cancel()


async def test_what_was_learned_is_stored_every_quarter_of_an_hour_and_taken_up_again() -> None:
    clock, shelf = VirtualClock(), Shelf()
    hearings = Hearings(shelf, clock)
    await hearings.load()
    learn(hearings.of(ANA))
    await live(hearings, clock)
    again = Hearings(shelf, clock)
    await again.load()
    assert again.of(ANA).serialize() == hearings.of(ANA).serialize()
    assert again.of(ANA).serialize() != HearingMemory().serialize()
    shelf.saves.clear()
    await again.save()
    assert shelf.saves == [], "what was read is not stored again"


async def test_what_did_not_change_is_not_stored_again_and_much_is_stored_bit_by_bit() -> None:
    shelf = Shelf()
    hearings = Hearings(shelf, VirtualClock())
    await hearings.load()
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
    clock, shelf = VirtualClock(), Shelf()
    hearings = Hearings(shelf, clock)
    await hearings.load()
    learn(hearings.of(ANA), hours=1)
    shelf.failing = True
    with capture_logs() as lines:
        await live(hearings, clock)
    assert [line["event"] for line in lines] == ["hearing_not_saved"]
    shelf.failing = False
    await hearings.save()
    assert set(shelf.kept) == {ANA}


async def test_what_could_not_be_read_at_the_start_is_read_later_and_never_overwritten() -> None:
    clock, shelf = VirtualClock(), Shelf()
    kept = await learned_by(shelf, ANA, BEN)
    shelf.failing = True
    hearings = Hearings(shelf, clock)
    with capture_logs() as lines:
        await hearings.load()
        learn(hearings.of(ANA), hours=1)
        learn(hearings.of(BEN), hours=1)
        await live(hearings, clock, rounds=3)
    told = {line["event"] for line in lines}
    assert told == {"hearing_not_loaded", "hearing_not_read"}
    assert len(lines) == 3, "each session is told once"
    shelf.failing = False
    await hearings.save()
    assert shelf.kept == kept
    await live(hearings, clock)
    assert {one: hearings.of(one).serialize() for one in kept} == kept
    learn(hearings.of(ANA), hours=1)
    await hearings.save()
    assert shelf.kept[ANA] == hearings.of(ANA).serialize() != kept[ANA]


async def test_a_memory_that_cannot_be_fetched_costs_the_others_no_more_than_time() -> None:
    clock, shelf = VirtualClock(), Shelf()
    kept = await learned_by(shelf, BEN, ANA)
    shelf.damaged = {BEN}
    hearings = Hearings(shelf, clock)
    await hearings.load()
    for session in (BEN, ANA, CAIO):
        learn(hearings.of(session), hours=1)
    await live(hearings, clock, rounds=2)
    assert hearings.of(ANA).serialize() == kept[ANA]
    assert shelf.kept == kept | {CAIO: hearings.of(CAIO).serialize()}
    shelf.damaged = set()
    await live(hearings, clock)
    assert hearings.of(BEN).serialize() == kept[BEN]


async def test_what_makes_no_sense_is_told_once_and_learned_anew() -> None:
    shelf = Shelf()
    shelf.kept[ANA] = b"garbled"
    for told in (["hearing_unreadable"], []):
        hearings = Hearings(shelf, VirtualClock())
        with capture_logs() as lines:
            await hearings.load()
            learn(hearings.of(ANA))
            await hearings.save()
        assert [line["event"] for line in lines] == told
        assert shelf.kept[ANA] == hearings.of(ANA).serialize()


@pytest.mark.parametrize("anew", [False, True])
async def test_who_is_deleted_while_memories_are_read_leaves_nothing_behind(anew: bool) -> None:
    clock, shelf = VirtualClock(), Shelf()
    kept = await learned_by(shelf, ANA, BEN, CAIO)
    shelf.failing = True
    hearings = Hearings(shelf, clock)
    await hearings.load()
    shelf.failing = False
    for session in kept:
        hearings.of(session)

    def delete() -> None:
        for session in (ANA, BEN):
            shelf.kept.pop(session, None)
            hearings.forget(session)
            if anew:
                hearings.of(session)
        shelf.meanwhile = None

    shelf.meanwhile = delete
    await live(hearings, clock, rounds=2)
    assert hearings.of(CAIO).serialize() == kept[CAIO]
    assert (set(shelf.kept) == set(kept)) is anew
    for session in (ANA, BEN):
        assert hearings.of(session).serialize() == HearingMemory().serialize()


async def test_a_forgotten_session_is_not_stored_again() -> None:
    shelf = Shelf()
    hearings = Hearings(shelf, VirtualClock())
    await hearings.load()
    hearings.of(ANA)
    hearings.forget(ANA)
    await hearings.save()
    assert shelf.kept == {}


async def test_new_and_known_sessions_live_by_the_numbers_that_were_set() -> None:
    clock, shelf = VirtualClock(), Shelf()
    before = await learned_by(shelf, ANA)
    policy = hearing.hearing_with({"questions": "0"})
    hearings = Hearings(shelf, clock, policy)
    await hearings.load()
    assert hearings.of(ANA).state.policy == policy
    assert hearings.of(BEN).state.policy == policy
    assert hearings.of(ANA).serialize() == before[ANA]
