"""A start sees that its database is an older one than before, and only then."""

import asyncio
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from perene.app.history import FreshKeys, History
from perene.core.errors import NotFound, StorageUnavailable, UnreadableState
from perene.core.events import Event, EventType
from perene.core.ids import Epoch, SessionId
from perene.core.sessions import Desired, SessionRecord
from perene.core.unit import Profile
from perene.process.high_water import read_mark
from perene.process.threads import Threads
from perene.signal.ratchet import Ratchet
from perene.store.errors import CannotConnect
from perene.store.renewal import Renewal
from tests.support.full_disk import no_file_beyond
from tests.support.virtual_clock import START, VirtualClock

pytestmark = pytest.mark.requirement("F4")


class Shelf:
    """Has so many events, and keeps who was renewed."""

    def __init__(self, events: int) -> None:
        self.events = events
        self.renewed: list[SessionId] = []
        self.told: list[Event] = []
        self.unrenewed: dict[SessionId, Exception] = {}
        self.failing = False
        self.reached = 0
        self.used_at: datetime | None = START

    async def last_life(self) -> datetime | None:
        self._ask()
        return self.used_at

    async def loss(self) -> tuple[int, int] | None:
        self._ask()
        return (self.events, self.reached) if self.events < self.reached else None

    async def last_seq(self) -> int:
        self._ask()
        return self.events

    async def list_sessions(self) -> list[SessionRecord]:
        return [
            SessionRecord(
                id=SessionId(name),
                name=None,
                desired=Desired.RUNNING,
                epoch=Epoch(0),
                created_at=START,
                has_credentials=True,
            )
            for name in ("ana", "rui")
        ]

    async def renew_keys(self, session: SessionId, renewal: Renewal) -> None:
        assert isinstance(renewal, FreshKeys)
        if session in self.unrenewed:
            raise self.unrenewed[session]
        self.renewed.append(session)

    async def skip_events(self, seq: int, event: Event) -> None:
        self._ask()
        self.events = seq + 1
        self.told.append(event)

    def _ask(self) -> None:
        if self.failing:
            raise StorageUnavailable("gone")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.noted"


def noted(file: Path) -> int | None:
    mark = read_mark(file)
    return None if mark is None else mark.reached


def history(shelf: Shelf, file: Path, clock: VirtualClock | None = None) -> History:
    return History(shelf, file, clock or VirtualClock(), Threads(1, "note"))


async def start(shelf: Shelf, file: Path) -> None:
    """Look at the database as a service does that starts."""
    starting = history(shelf, file)
    await starting.compare()
    await starting.check()


async def test_a_database_that_has_gone_back_is_made_safe_once(file: Path) -> None:
    await history(Shelf(1000), file).save()
    restored = Shelf(400)
    restored.unrenewed[SessionId("ana")] = UnreadableState("no data key")

    with capture_logs() as lines:
        await start(restored, file)

    assert restored.renewed == ["rui"]
    [event] = restored.told
    assert event.type is EventType.DATABASE_WENT_BACK
    assert event.payload == {"kept": 400, "noted": 1000}
    assert [line["event"] for line in lines] == ["database_went_back", "keys_not_renewed"]
    assert restored.events > 1_000_000
    await start(restored, file)
    assert restored.renewed == ["rui"]


@pytest.mark.parametrize("events", [1000, 1001])
async def test_a_database_that_has_not_is_left_alone(file: Path, events: int) -> None:
    await history(Shelf(1000), file).save()
    shelf = Shelf(events)
    await start(shelf, file)
    assert (shelf.renewed, shelf.told) == ([], [])


@pytest.fixture(params=[None, "", "half a num", "12ä"])
def unreadable(request: pytest.FixtureRequest, file: Path) -> Path:
    if request.param is not None:
        file.write_text(request.param)
    return file


async def test_without_a_note_nobody_can_tell(unreadable: Path) -> None:
    file = unreadable
    shelf = Shelf(0)
    await start(shelf, file)
    assert (shelf.renewed, shelf.told) == ([], [])
    shelf.events = 5
    await history(shelf, file).save()
    assert noted(file) == 5


def restore(file: Path) -> None:
    """Put a copy of the note in its place, as the restore of a whole directory does."""
    backup = file.with_name("backup")
    shutil.copy2(file, backup)
    file.unlink()
    file.with_name("another that takes its place").touch()
    shutil.copy2(backup, file)


LONG_AGO = [timedelta(minutes=15), timedelta(days=1), timedelta(days=-1)]
LATELY = [timedelta(), timedelta(minutes=14), timedelta(minutes=-14)]


@pytest.mark.parametrize("ago", LONG_AGO)
async def test_a_database_that_was_restored_with_its_note_is_made_safe_once(
    file: Path, ago: timedelta
) -> None:
    await history(Shelf(1000), file).save()
    restore(file)
    restored = Shelf(1000)
    restored.used_at = START - ago
    with capture_logs() as lines:
        await start(restored, file)
    assert restored.renewed == ["ana", "rui"]
    [event] = restored.told
    assert event.type is EventType.DATABASE_WENT_BACK
    assert event.payload == {"kept": 1000, "noted": None}
    assert [(line["event"], line["note"]) for line in lines] == [
        ("database_may_have_gone_back", "copied")
    ]
    assert restored.events > 1_000_000
    await start(restored, file)
    assert len(restored.told) == 1


@pytest.mark.parametrize("ago", LONG_AGO)
async def test_so_is_one_whose_note_is_missing(unreadable: Path, ago: timedelta) -> None:
    shelf = Shelf(1000)
    shelf.used_at = START - ago
    with capture_logs() as lines:
        await start(shelf, unreadable)
    assert shelf.renewed == ["ana", "rui"]
    assert [line["note"] for line in lines] == ["missing"]


@pytest.mark.parametrize("ago", [None, *LATELY])
async def test_a_database_that_was_in_use_just_now_is_left_alone(
    file: Path, ago: timedelta | None
) -> None:
    """Its service was moved to another machine, or lost its directory."""
    await history(Shelf(1000), file).save()
    restore(file)
    shelf = Shelf(1000)
    shelf.used_at = None if ago is None else START - ago
    await start(shelf, file)
    assert (shelf.renewed, shelf.told) == ([], [])


@pytest.mark.parametrize("ago", [None, *LATELY])
async def test_so_is_one_that_was_in_use_just_now_and_has_no_note(
    unreadable: Path, ago: timedelta | None
) -> None:
    shelf = Shelf(1000)
    shelf.used_at = None if ago is None else START - ago
    await start(shelf, unreadable)
    assert (shelf.renewed, shelf.told) == ([], [])


async def test_a_service_that_stood_still_for_long_is_left_alone(file: Path) -> None:
    await history(Shelf(1000), file).save()
    shelf = Shelf(1000)
    shelf.used_at = START - timedelta(days=400)
    await start(shelf, file)
    assert (shelf.renewed, shelf.told) == ([], [])


async def test_a_copy_that_knows_of_more_events_tells_how_many_there_were(file: Path) -> None:
    await history(Shelf(1000), file).save()
    restore(file)
    shelf = Shelf(400)
    with capture_logs():
        await start(shelf, file)
    [event] = shelf.told
    assert event.payload == {"kept": 400, "noted": 1000}


async def test_a_doubt_outlives_a_start_that_fails(file: Path) -> None:
    """Which has written to the database, so that it was in use just now."""
    await history(Shelf(1000), file).save()
    restore(file)
    shelf = Shelf(1000)
    shelf.used_at = START - timedelta(days=1)
    with capture_logs():
        await history(shelf, file).compare()
        shelf.used_at = START
        shelf.events += 3
        await start(shelf, file)
    assert len(shelf.told) == 1
    await start(shelf, file)
    assert len(shelf.told) == 1


async def test_a_doubt_is_followed_where_it_cannot_be_noted(file: Path) -> None:
    shelf = Shelf(1000)
    shelf.used_at = START - timedelta(days=1)
    with no_file_beyond(0), capture_logs():
        await start(shelf, file)
    assert shelf.renewed == ["ana", "rui"]


async def test_no_session_starts_before_it_is_made_safe(file: Path) -> None:
    await history(Shelf(1000), file).save()
    shelf = Shelf(400)
    shelf.failing = True
    with pytest.raises(CannotConnect, match="gone"):
        await start(shelf, file)


async def test_a_loss_that_was_not_made_safe_is_seen_by_the_next_start(file: Path) -> None:
    await history(Shelf(1000), file).save()
    shelf = Shelf(400)
    starting = history(shelf, file)
    await starting.compare()
    shelf.failing = True
    with capture_logs(), pytest.raises(CannotConnect, match="gone"):
        await starting.check()
    shelf.failing = False
    with capture_logs():
        await start(shelf, file)
    assert len(shelf.told) == 1


async def test_what_comes_while_the_service_starts_does_not_hide_what_was_lost(file: Path) -> None:
    await history(Shelf(1000), file).save()
    shelf = Shelf(999)
    starting = history(shelf, file)
    await starting.compare()
    shelf.events = 1001  # somebody made a session by the API, which serves by now
    with capture_logs():
        await starting.check()
    assert shelf.renewed == ["ana", "rui"]
    [event] = shelf.told
    assert event.payload == {"kept": 999, "noted": 1000}


async def test_a_session_that_is_deleted_meanwhile_keeps_no_other_from_being_made_safe(
    file: Path,
) -> None:
    await history(Shelf(1000), file).save()
    shelf = Shelf(400)
    shelf.unrenewed[SessionId("ana")] = NotFound("there is no such session")
    with capture_logs():
        await start(shelf, file)
    assert shelf.renewed == ["rui"]
    assert len(shelf.told) == 1


async def test_a_bug_in_one_look_does_not_end_the_looking(file: Path) -> None:
    clock, shelf = VirtualClock(), Shelf(400)
    shelf.reached = 1000
    shelf.unrenewed[SessionId("ana")] = ValueError("a bug")
    with capture_logs() as lines:
        life = asyncio.create_task(history(shelf, file, clock).run())
        await clock.until_asleep(2)
        shelf.unrenewed.clear()
        await clock.advance(2)
        await clock.until_asleep(2)
    life.cancel()
    assert "history_not_looked_at" in [line["event"] for line in lines]
    assert len(shelf.told) == 1


async def test_it_is_noted_every_two_seconds(file: Path) -> None:
    clock, shelf = VirtualClock(), Shelf(3)
    life = asyncio.create_task(history(shelf, file, clock).run())
    await clock.until_asleep(2)
    assert noted(file) == 3
    life.cancel()


async def test_a_database_that_goes_back_under_the_service_is_made_safe_too(file: Path) -> None:
    shelf = Shelf(400)
    looking = history(shelf, file)
    await looking.look()
    assert (shelf.renewed, shelf.told) == ([], [])

    shelf.reached = 1000
    with capture_logs():
        await looking.look()
        await looking.look()
    assert shelf.renewed == ["ana", "rui"]
    [event] = shelf.told
    assert event.payload == {"kept": 400, "noted": 1000}


async def test_an_outage_of_the_database_is_no_loss(file: Path) -> None:
    shelf = Shelf(400)
    shelf.failing = True
    with capture_logs() as lines:
        await history(shelf, file).look()
    assert [line["log_level"] for line in lines] == ["debug"], "others tell of the outage"


async def test_what_keeps_the_sessions_from_being_made_safe_is_told_once(file: Path) -> None:
    shelf = Shelf(400)
    shelf.reached = 1000
    shelf.unrenewed[SessionId("rui")] = StorageUnavailable("gone")
    looking = history(shelf, file)

    def told() -> list[str]:
        return [line["event"] for line in lines if line["log_level"] == "warning"]

    with capture_logs() as lines:
        for _ in range(3):
            await looking.look()
    assert told() == ["database_went_back", "keys_not_renewed"]

    shelf.unrenewed[SessionId("rui")] = StorageUnavailable("full")
    with capture_logs() as lines:
        await looking.look()
    assert told() == ["keys_not_renewed"], "the reason is another"

    del shelf.unrenewed[SessionId("rui")]
    await looking.look()
    assert shelf.told


async def test_a_loss_is_told_again_after_the_newer_database_was_back(file: Path) -> None:
    shelf = Shelf(400)
    looking = history(shelf, file)
    shelf.unrenewed[SessionId("rui")] = StorageUnavailable("gone")
    with capture_logs() as lines:
        for reached in (1000, 0, 1000):
            shelf.reached = reached
            await looking.look()
    assert [line["event"] for line in lines] == ["database_went_back", "keys_not_renewed"] * 2


async def test_what_cannot_be_noted_is_noted_the_next_time(file: Path) -> None:
    shelf = Shelf(3)
    noting = history(shelf, file)
    await noting.save()
    shelf.events, shelf.failing = 4, True
    await noting.save()
    shelf.failing = False
    with no_file_beyond(0), capture_logs():
        await noting.save()
    assert noted(file) == 3
    await noting.save()
    assert noted(file) == 4


async def test_what_an_older_database_would_note_is_not_believed(file: Path) -> None:
    shelf = Shelf(1000)
    noting = history(shelf, file)
    await noting.save()
    shelf.events = 400  # and the service ends before it has seen it: the next start has to
    await noting.save()
    assert noted(file) == 1000


def test_own_sender_keys_are_kept_under_the_lid_with_the_number_of_the_device() -> None:
    profile = Profile(pn="5511999990000:7@s.whatsapp.net", lid="123456:7@lid")
    assert FreshKeys().own_sender(profile) == ("123456_1", 7)
    assert FreshKeys().own_sender(Profile(pn=None, lid=None)) is None


def test_a_ratchet_that_cannot_send_needs_no_change() -> None:
    assert FreshKeys().retired(Ratchet.empty.serialize()) is None
    assert FreshKeys().retired(b"\xff") is None
