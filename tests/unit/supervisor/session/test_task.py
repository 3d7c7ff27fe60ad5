"""The task that owns a session: one right reaction to every way a connection can end."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from perene.core.account import Ban
from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import Epoch, SessionId
from perene.core.machines.inputs import Start
from perene.core.machines.outlook import Outlook
from perene.core.notices import Observer, Opened, PhoneLinked, QrShown
from perene.core.policy import POLICIES
from perene.core.sessions import Connection, Desired, SessionOptions, SessionRecord
from perene.core.unit import Committed, Unit
from perene.engine.ports import SessionStore
from perene.supervisor.gate.start_gate import HOLD_S, StartGate
from perene.supervisor.gate.turns import Priority, Turn
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.task import SessionTask
from tests.support.units import ANA
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.supervisor.fakes import FakeEngine


def failure(reason: str, **attributes: str) -> Ending:
    return Ending(kind=Kind.FAILURE, code=reason, attributes=attributes)


def stream_error(code: str = "", conflict: str = "") -> Ending:
    return Ending(kind=Kind.STREAM_ERROR, code=code, conflict=conflict)


def local(code: Local) -> Ending:
    return Ending(kind=Kind.LOCAL, code=code)


class FakeStore:
    """Commits at once, or when it is told to, or refuses."""

    session = ANA

    def __init__(self, owner: "Fixture", epoch: Epoch) -> None:
        self.epoch = epoch
        self._owner = owner

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        if self._owner.storage_down:
            future.set_exception(StorageUnavailable("down"))
        else:
            self._owner.submitted(unit, future)
        return future


class Fixture:
    """A session task and everything around it."""

    def __init__(self, standing: str | None = None, *, at_once: int = 10) -> None:
        self.clock = VirtualClock()
        self.gate = StartGate(self.clock, at_once=at_once, per_second=1000)
        self.engines: list[FakeEngine] = []
        self.units: list[Unit] = []
        self.archived: list[str] = []
        self.epochs = 0
        self.acquisitions_to_fail = 0
        self.acquiring = asyncio.Event()
        self.acquiring.set()
        self.storage_down = False
        self.storage_hangs = False
        self.unsaved: list[tuple[Unit, asyncio.Future[Committed]]] = []
        self._submitted = asyncio.Event()
        self.broken_connect = False
        self.broken_acquire = False
        self._made = asyncio.Event()
        self.destroyed = 0
        self.versions: list[bool] = []
        """What each look for a newer client version finds; nothing when it is empty."""
        record = SessionRecord(
            id=ANA,
            name=None,
            desired=Desired.RUNNING,
            epoch=Epoch(0),
            created_at=START,
            has_credentials=True,
            pn="5511900000001:7@s.whatsapp.net",
            standing=standing,
        )
        self.task = SessionTask(
            record=record,
            ownership=self,
            connect=self.connect,
            clock=self.clock,
            rng=random.Random(1),
            gate=self.gate,
            tally=Metrics(),
        )
        self.running: asyncio.Task[None] | None = None

    # What the task needs

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch:
        assert session == ANA
        assert held in (None, self.epochs)
        await self.acquiring.wait()
        if self.broken_acquire:
            raise ZeroDivisionError
        if self.acquisitions_to_fail:
            self.acquisitions_to_fail -= 1
            raise StorageUnavailable("down")
        self.epochs += 1
        return Epoch(self.epochs)

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore:
        assert session == ANA
        return FakeStore(self, epoch)  # pyright: ignore[reportReturnType]  # all that the task uses

    async def archive_credentials(self, session: SessionId, epoch: Epoch, reason: Cause) -> None:
        assert (session, epoch) == (ANA, self.epochs)
        self.archived.append(reason.value)

    async def destroy_credentials(self, session: SessionId, epoch: Epoch) -> None:
        assert (session, epoch) == (ANA, self.epochs)
        self.destroyed += 1

    def presented_version(self) -> tuple[int, int, int]:
        return (2, 3000, 1)

    async def find_version(self, refused: tuple[int, int, int] | None) -> bool:
        assert refused == (2, 3000, 1)
        return self.versions.pop(0) if self.versions else False

    def connect(
        self, store: SessionStore, options: SessionOptions, observer: Observer
    ) -> FakeEngine:
        assert (store.session, options) == (ANA, SessionOptions())
        if self.broken_connect:
            self.broken_connect = False
            raise ZeroDivisionError
        engine = FakeEngine(observer)
        self.engines.append(engine)
        self._made.set()
        return engine

    # What a test does

    async def engine(self, number: int) -> FakeEngine:
        """Return the n-th connection (from 1) once it is made."""
        while len(self.engines) < number:
            self._made.clear()
            await self._made.wait()
        return self.engines[number - 1]

    async def end(self, number: int, ending: Ending) -> None:
        """End the n-th connection."""
        (await self.engine(number)).ending.set_result(ending)

    async def end_while_storage_hangs(self, number: int, ending: Ending) -> None:
        """End the n-th connection; return when what follows from it waits to be saved."""
        self.storage_hangs = True
        await self.end(number, ending)
        await self.until_unsaved()

    async def until_unsaved(self) -> None:
        """Wait until something waits to be saved."""
        async with asyncio.timeout(10):
            while not self.unsaved:
                self._submitted.clear()
                await self._submitted.wait()

    def submitted(self, unit: Unit, future: "asyncio.Future[Committed]") -> None:
        """Commit a unit, or let it wait."""
        self.unsaved.append((unit, future))
        self._submitted.set()
        if not self.storage_hangs:
            self.save()

    def save(self) -> None:
        """Commit what waits."""
        self.storage_hangs = False
        unsaved, self.unsaved = self.unsaved, []
        for unit, future in unsaved:
            self.units.append(unit)
            future.set_result(Committed(new_messages=0))

    @property
    def state(self) -> Connection:
        return self.task.live.connection

    def events(self, kind: EventType) -> Sequence[dict[str, object]]:
        return [
            dict(event.payload)
            for unit in self.units
            for event in unit.events
            if event.type is kind
        ]


@pytest.fixture
async def one() -> AsyncIterator[Fixture]:
    fixture = Fixture()
    fixture.running = asyncio.create_task(fixture.task.run(first=Start(by_person=False)))
    yield fixture
    fixture.running.cancel()
    await asyncio.gather(fixture.running, return_exceptions=True)


async def ended(one: Fixture) -> None:
    """Wait until the task has ended by itself."""
    assert one.running is not None
    await one.running


@pytest.mark.requirement("D1", "D2", "D4")
async def test_515_restarts_at_once_and_then_by_its_schedule(one: Fixture) -> None:
    await one.end(1, stream_error("515"))
    await one.end(2, stream_error("515"))
    for number, minutes in ((3, 5), (4, 10), (5, 15)):
        await one.clock.until_asleep(minutes * 60)
        assert len(one.engines) == number - 1
        assert one.state is Connection.WAITING
        await one.clock.advance(minutes * 60)
        await one.end(number, stream_error("515"))
    await one.clock.until_asleep(20 * 60)
    assert one.archived == []
    assert [told["attempt"] for told in one.events(EventType.SESSION_ERROR_515)] == [1, 2, 3, 4, 5]


@pytest.mark.requirement("D6")
async def test_a_connection_that_was_stable_begins_a_new_count(one: Fixture) -> None:
    await one.end(1, stream_error("515"))
    engine = await one.engine(2)
    engine.observer.notice(Opened(at=one.clock.now()))
    assert one.state is Connection.OPEN
    await one.clock.advance(31)
    engine.ending.set_result(stream_error("515"))
    await one.engine(3)
    assert one.clock.monotonic() == 31


async def test_a_connection_that_was_open_for_a_moment_does_not(one: Fixture) -> None:
    await one.end(1, stream_error("515"))
    engine = await one.engine(2)
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.clock.advance(29)
    engine.ending.set_result(stream_error("515"))
    await one.clock.until_asleep(300)


async def test_the_network_is_tried_again_with_growing_delays(one: Fixture) -> None:
    for number, seconds in enumerate((1, 1, 2, 3, 5, 8, 13), start=1):
        await one.end(number, local(Local.UNREACHABLE))
        await one.clock.until_asleep(seconds, within=seconds / 10)
        await one.clock.advance(seconds * 1.1)
    await one.engine(8)


@pytest.mark.parametrize(
    "ending",
    [failure("401"), stream_error("401", "device_removed"), stream_error("516")],
)
async def test_an_unlinked_device_is_archived_and_pairing_begins_again(
    one: Fixture, ending: Ending
) -> None:
    await one.end(1, ending)
    await one.clock.until_asleep(1, within=0.1)
    assert one.archived == ["unlinked"]
    assert not one.task.live.paired
    await one.clock.advance(1.1)
    await one.engine(2)


@pytest.mark.requirement("D7")
async def test_after_ten_restarts_in_vain_the_credentials_are_set_aside(one: Fixture) -> None:
    await one.end(1, stream_error("515"))
    for attempt in range(2, 11):
        await one.end(attempt, stream_error("515"))
        await one.clock.until_asleep(300 * (attempt - 1))
        await one.clock.advance(300 * (attempt - 1))
    assert one.archived == []
    await one.end(11, stream_error("515"))
    await one.engine(12)
    assert one.archived == ["restart_required"]


async def test_a_ban_is_waited_out_to_the_end_of_its_last_second(one: Fixture) -> None:
    await one.end(1, failure("402", code="101", expire="3600"))
    await one.clock.until_asleep(3601)
    await one.clock.advance(3600)
    assert len(one.engines) == 1
    await one.clock.advance(1)
    await one.engine(2)
    assert one.archived == []


async def test_a_ban_that_is_not_over_after_its_time_is_not_asked_after_every_second(
    one: Fixture,
) -> None:
    await one.end(1, failure("402", code="101", expire="5"))
    await one.clock.until_asleep(6)
    await one.clock.advance(6)
    await one.end(2, failure("402", code="101", expire="1"))
    await one.clock.until_asleep(60)
    await one.clock.advance(59)
    assert len(one.engines) == 2
    await one.clock.advance(1)
    await one.engine(3)


async def settled(one: Fixture, state: Connection) -> None:
    """Wait until the session is in a state."""
    async with asyncio.timeout(10):
        while one.state is not state:
            await one.task.live.changed()


@pytest.mark.parametrize(
    "ending",
    [
        failure("406"),
        failure("409"),
        stream_error("", "replaced"),
        local(Local.UNREADABLE_STATE),
    ],
)
async def test_what_needs_a_person_waits_and_keeps_the_credentials(
    one: Fixture, ending: Ending
) -> None:
    await one.end(1, ending)
    await settled(one, Connection.NEEDS_ATTENTION)
    assert one.task.live.last_error
    assert one.archived == []
    assert len(one.events(EventType.SESSION_NEEDS_ATTENTION)) == 1
    await one.clock.advance(86_400)
    assert len(one.engines) == 1

    one.task.start()
    await one.engine(2)


async def test_a_session_of_another_owner_waits_for_a_person_and_is_not_written_to(
    one: Fixture,
) -> None:
    await one.end(1, local(Local.STALE_EPOCH))
    await settled(one, Connection.NEEDS_ATTENTION)
    assert one.task.live.last_error == POLICIES[Cause.OWNERSHIP_LOST].sentence
    assert (one.archived, one.units) == ([], [])


async def test_a_locked_account_waits_with_its_credentials_set_aside(one: Fixture) -> None:
    await one.end(1, failure("403"))
    await settled(one, Connection.NEEDS_ATTENTION)
    assert one.archived == ["locked"]
    await one.clock.advance(86_400)
    assert len(one.engines) == 1


async def test_an_outdated_client_looks_for_a_newer_version_and_tries_it_once(
    one: Fixture,
) -> None:
    one.versions = [False, True]
    await one.end(1, failure("405"))
    await one.clock.until_asleep(3600, within=360)
    assert len(one.engines) == 1
    await one.clock.advance(3960)
    await one.end(2, failure("405"))
    await settled(one, Connection.NEEDS_ATTENTION)
    assert len(one.engines) == 2
    assert one.archived == []


async def test_a_logout_is_the_only_thing_that_destroys_credentials(one: Fixture) -> None:
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now()))
    one.task.log_out()
    await ended(one)
    assert (engine.logged_out, one.destroyed, one.archived) == (True, 1, [])
    assert one.state is Connection.STOPPED


async def test_a_logout_during_a_login_waits_for_it_to_unlink_the_device(one: Fixture) -> None:
    engine = await one.engine(1)
    one.task.log_out()
    await asyncio.sleep(0)
    assert not engine.ending.done()
    engine.observer.notice(Opened(at=one.clock.now()))
    await ended(one)
    assert (engine.logged_out, one.destroyed) == (True, 1)


@pytest.mark.parametrize("why", [local(Local.DNS), failure("401"), failure("402"), failure("403")])
async def test_a_logout_that_whatsapp_cannot_be_told_of_is_done_all_the_same(
    one: Fixture, why: Ending
) -> None:
    await one.end(1, local(Local.UNREACHABLE))
    await one.clock.until_asleep(1, within=0.1)
    one.task.log_out()
    await one.end(2, why)
    await ended(one)
    assert (len(one.engines), one.destroyed, one.archived) == (2, 1, [])


async def next_attempt(one: Fixture) -> None:
    """Wait until the next attempt is planned, and out the delay before it."""
    async with asyncio.timeout(10):
        while one.task.live.outlook.retry_at is None:
            await one.task.live.changed()
    assert one.state is Connection.WAITING
    delay = one.events(EventType.SESSION_DISCONNECTED)[-1]["retry_in_s"]
    assert isinstance(delay, float)
    await one.clock.until_asleep(delay, within=0.01)
    await one.clock.advance(delay)


@pytest.mark.requirement("D3")
async def test_an_unknown_code_gets_five_attempts(one: Fixture) -> None:
    for number in range(1, 6):
        await one.end(number, stream_error("777"))
        await next_attempt(one)
    await one.end(6, stream_error("777"))
    await settled(one, Connection.NEEDS_ATTENTION)
    assert len(one.engines) == 6
    assert one.archived == []


@pytest.mark.requirement("C5")
async def test_the_network_gets_thirty_attempts_before_a_person_is_asked(one: Fixture) -> None:
    for number in range(1, 33):
        await one.end(number, local(Local.DNS))
        await next_attempt(one)
        told = one.events(EventType.SESSION_NEEDS_ATTENTION)
        assert len(told) == (0 if number <= 30 else 1)
    assert one.archived == []


async def test_a_ban_survives_a_restart_of_the_service(one: Fixture) -> None:
    await one.end(1, failure("402", code="101", expire="3600"))
    await one.clock.until_asleep(3601)
    standing = [unit.standing for unit in one.units if unit.standing][-1]
    again = Fixture(standing)
    running = asyncio.create_task(again.task.run(first=Start(by_person=False)))
    await again.clock.until_asleep(3601)
    again.task.restart()
    again.task.start()
    await again.clock.advance(3600)
    assert again.engines == []
    outlook = again.task.live.outlook
    assert outlook.ban == Ban(code="101", until=outlook.retry_at)
    await again.clock.advance(1)
    await again.engine(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_an_outage_is_a_row_from_the_loss_to_the_next_stable_connection(
    one: Fixture,
) -> None:
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.clock.advance(31)
    engine.ending.set_result(stream_error("503"))
    await one.clock.until_asleep(1, within=0.1)
    await one.clock.advance(1.1)
    await one.end(2, local(Local.DNS))
    await one.clock.until_asleep(1, within=0.1)
    await one.clock.advance(1.1)
    (await one.engine(3)).observer.notice(Opened(at=one.clock.now()))
    await one.clock.until_asleep(30)
    await one.clock.advance(30)
    rows = [unit.outage for unit in one.units if unit.outage]
    assert len({row.id for row in rows}) == 1
    last = rows[-1]
    assert (last.cause, last.last_cause, last.attempts) == ("server_unavailable", "dns", 2)
    assert (last.end, last.code) == ("recovered", "503")
    assert len(one.events(EventType.SESSION_RECOVERED)) == 1


@pytest.mark.parametrize("when", ["connected", "waiting"])
async def test_a_stop_ends_the_task_in_whatever_state(one: Fixture, when: str) -> None:
    await one.engine(1)
    if when == "waiting":
        await one.end(1, local(Local.SOCKET_CLOSED))
        await one.clock.until_asleep(1, within=0.1)
    one.task.stop()
    await ended(one)
    assert one.state is Connection.STOPPED
    assert len(one.engines) == 1


async def test_a_bug_beside_the_connection_ends_the_task_that_would_wait_for_ever(
    one: Fixture,
) -> None:
    await one.end(1, local(Local.DNS))
    await one.clock.until_asleep(1, within=0.1)
    one.broken_acquire = True
    await one.clock.advance(1.1)
    with pytest.raises(ZeroDivisionError):
        await ended(one)


async def test_a_bug_in_a_connection_ends_that_connection_only(one: Fixture) -> None:
    (await one.engine(1)).ending.set_exception(ZeroDivisionError())
    await one.clock.until_asleep(5, within=0.5)
    one.broken_connect = True
    await one.clock.advance(5.5)
    await one.clock.until_asleep(5, within=0.5)
    await one.clock.advance(5.5)
    await one.engine(2)
    causes = [told["cause"] for told in one.events(EventType.SESSION_DISCONNECTED)]
    assert causes == ["internal", "internal"]


@pytest.mark.requirement("E8")
async def test_a_database_that_is_away_delays_and_loses_nothing(one: Fixture) -> None:
    one.storage_down = True
    before = len(one.units)
    await one.end(1, local(Local.STORAGE))
    await one.clock.until_asleep(2, within=0.2)
    assert len(one.units) == before
    one.storage_down = False
    one.acquisitions_to_fail = 2
    await one.clock.advance(2.2)
    for seconds in (2, 2):
        await one.clock.until_asleep(seconds, within=seconds / 10)
        await one.clock.advance(seconds * 1.1)
    await one.engine(2)
    assert one.archived == []
    [told] = one.events(EventType.SESSION_DISCONNECTED)
    assert told["cause"] == "storage"
    assert [unit.epoch for unit in one.units[before:]] == [one.epochs] * 2


@pytest.mark.requirement("E8", "D9")
async def test_what_befell_a_session_that_rests_is_saved_when_the_database_is_back(
    one: Fixture,
) -> None:
    before = len(one.units)
    one.storage_down = True
    await one.end(1, stream_error("", "replaced"))
    for wait in (10, 10, 20, 30, 50, 60, 60):  # ever more seldom, at last once a minute
        await one.clock.until_asleep(wait)
        await one.clock.advance(wait)
    assert len(one.units) == before
    one.storage_down = False
    await one.clock.until_asleep(60)
    await one.clock.advance(60)
    [told] = one.events(EventType.SESSION_REPLACED)
    assert told["retry_in_s"] is None
    saved = len(one.units)
    await one.clock.advance(86_400)
    assert (len(one.units), one.clock.asleep) == (saved, [])


@pytest.mark.requirement("C16", "E8")
async def test_an_end_is_shown_before_it_is_saved_and_what_follows_from_it_afterwards(
    one: Fixture,
) -> None:
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.clock.until_asleep(30)
    await one.end_while_storage_hangs(1, failure("402", code="101", expire="3600"))
    live = one.task.live
    assert (live.connection, live.connected_at) == (Connection.WAITING, None)
    assert live.outlook == Outlook()
    one.save()
    await one.clock.until_asleep(3601)
    over_at = START + timedelta(seconds=3601)
    assert live.connection is Connection.WAITING
    assert live.outlook == Outlook(
        cause=Cause.TEMPORARY_BAN,
        retry_at=over_at,
        outage_began_at=START,
        ban=Ban(code="101", until=over_at),
    )


@pytest.mark.requirement("E8")
async def test_that_a_person_is_needed_is_not_shown_before_it_is_saved(one: Fixture) -> None:
    await one.end_while_storage_hangs(1, stream_error("", "replaced"))
    assert (one.state, one.task.live.last_error) == (Connection.WAITING, None)
    one.save()
    await settled(one, Connection.NEEDS_ATTENTION)
    assert one.task.live.last_error is not None


async def test_a_qr_code_of_a_connection_that_has_ended_is_not_shown_any_more(
    one: Fixture,
) -> None:
    engine = await one.engine(1)
    engine.observer.notice(QrShown(text="qr", expires_at=START + timedelta(seconds=60)))
    assert one.task.live.qr is not None
    await one.end_while_storage_hangs(1, local(Local.SOCKET_CLOSED))
    assert one.task.live.qr is None
    one.save()


@pytest.mark.requirement("E8")
async def test_an_end_is_shown_also_while_an_earlier_step_still_waits_to_be_saved(
    one: Fixture,
) -> None:
    await one.end(1, local(Local.SOCKET_CLOSED))
    await next_attempt(one)
    engine = await one.engine(2)
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.clock.until_asleep(30)
    one.storage_hangs = True
    await one.clock.advance(30)  # it counts as stable, and the outage as over
    await one.until_unsaved()
    assert one.state is Connection.OPEN
    engine.ending.set_result(local(Local.SOCKET_CLOSED))
    await settled(one, Connection.WAITING)
    assert len(one.unsaved) == 1
    assert one.task.live.outlook.retry_at is None
    one.save()
    await next_attempt(one)
    await one.engine(3)


@pytest.mark.parametrize("open_before", [True, False])
async def test_a_stop_is_shown_once_the_connection_is_closed(
    one: Fixture, open_before: bool
) -> None:
    engine = await one.engine(1)
    if open_before:
        engine.observer.notice(Opened(at=one.clock.now()))
        await one.clock.until_asleep(30)
    one.storage_hangs = True
    one.task.stop()
    await one.until_unsaved()
    assert one.state is Connection.STOPPED
    one.save()
    await ended(one)
    assert one.state is Connection.STOPPED


async def test_a_restart_and_a_logout_are_not_shown_as_a_stop(one: Fixture) -> None:
    engine = await one.engine(1)
    engine.observer.notice(Opened(at=one.clock.now()))
    await one.clock.until_asleep(30)
    one.storage_hangs = True
    one.task.restart()
    await one.until_unsaved()
    assert one.state is Connection.WAITING
    one.save()
    (await one.engine(2)).observer.notice(Opened(at=one.clock.now()))
    one.storage_hangs = True
    one.task.log_out()
    await one.until_unsaved()
    assert one.state is Connection.WAITING
    one.save()
    await ended(one)
    assert one.state is Connection.STOPPED


@pytest.mark.requirement("E8")
async def test_a_stop_right_after_the_database_came_back_ends_the_outage(one: Fixture) -> None:
    (await one.engine(1)).observer.notice(Opened(at=one.clock.now()))
    await one.clock.until_asleep(30)
    one.storage_down = True
    one.acquisitions_to_fail = 2
    await one.end(1, local(Local.STORAGE))
    await one.clock.until_asleep(2, within=0.2)
    await one.clock.advance(2.2)
    await one.clock.until_asleep(2, within=0.2)
    one.storage_down = False
    one.task.stop()
    await ended(one)
    last = [unit for unit in one.units if unit.outage][-1]
    assert last.outage is not None
    assert (last.outage.end, last.epoch) == ("stopped", one.epochs)
    assert len(one.events(EventType.SESSION_STOPPED)) == 1


@pytest.mark.parametrize("answered", [True, False])
async def test_a_stop_while_an_epoch_is_asked_for_is_written_under_the_one_that_comes(
    one: Fixture, answered: bool
) -> None:
    (await one.engine(1)).observer.notice(Opened(at=one.clock.now()))
    await one.clock.until_asleep(30)
    await one.end(1, local(Local.SOCKET_CLOSED))
    await one.clock.until_asleep(1, within=0.1)
    one.acquiring.clear()
    await one.clock.advance(1.1)
    one.task.stop()
    for _ in range(20):
        await asyncio.sleep(0)
    one.acquisitions_to_fail = 0 if answered else 1
    one.acquiring.set()
    await ended(one)
    last = [unit for unit in one.units if unit.outage][-1]
    assert last.outage is not None
    assert (last.outage.end, last.epoch) == ("stopped", 2 if answered else 1)
    assert len(one.events(EventType.SESSION_STOPPED)) == 1


async def test_notices_show_in_the_live_state(one: Fixture) -> None:
    engine = await one.engine(1)
    expires = one.clock.now() + timedelta(seconds=60)
    engine.observer.notice(QrShown(text="qr", expires_at=expires))
    live = one.task.live
    assert (live.connection, live.qr is not None) == (Connection.PAIRING, True)
    engine.observer.notice(PhoneLinked())
    assert live.qr is None
    engine.observer.notice(Opened(at=one.clock.now()))
    assert (live.connection, live.connected_at) == (Connection.OPEN, one.clock.now())
    engine.ending.set_result(local(Local.SOCKET_CLOSED))
    await one.clock.until_asleep(1, within=0.1)
    assert (live.connection, live.connected_at) == (Connection.WAITING, None)


async def test_the_log_tells_of_a_link_and_of_each_connection_that_opens(one: Fixture) -> None:
    engine = await one.engine(1)
    with capture_logs() as lines:
        engine.observer.notice(PhoneLinked())
        engine.observer.notice(Opened(at=one.clock.now()))
    assert [line["event"] for line in lines] == ["paired", "connected"]


async def test_a_wake_reaches_the_connection_of_this_moment(one: Fixture) -> None:
    engine = await one.engine(1)
    one.task.wake_sender()
    assert engine.woken == 1
    await one.end(1, local(Local.SOCKET_CLOSED))
    await one.clock.until_asleep(1, within=0.1)
    one.task.wake_sender()
    assert engine.woken == 1


async def test_a_cancelled_task_ends_even_when_its_connection_fails_then(one: Fixture) -> None:
    engine = await one.engine(1)
    assert one.running is not None
    engine.ending.set_result(local(Local.SOCKET_CLOSED))
    one.running.cancel()
    await asyncio.wait([one.running])
    assert one.running.cancelled()


class Others:
    """Other sessions at the same gate, which stay inside until they are told to end."""

    def __init__(self, gate: StartGate) -> None:
        self._gate = gate
        self._end = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.turns: list[Turn] = []

    async def come(self, priority: int = 0) -> None:
        self._tasks.append(asyncio.create_task(self._stay(Priority(priority))))
        await asyncio.sleep(0)

    async def go(self) -> None:
        self._end.set()
        await asyncio.gather(*self._tasks)

    async def _stay(self, priority: Priority) -> None:
        async with self._gate.turn(priority) as turn:
            self.turns.append(turn)
            await self._end.wait()


async def test_a_session_whose_first_attempt_failed_lets_ready_ones_go_first(one: Fixture) -> None:
    await one.end(1, local(Local.UNREACHABLE))
    await one.clock.until_asleep(1, within=0.1)
    failing = Others(one.gate)
    for _ in range(8):
        await failing.come(5)
    await one.clock.advance(1.1)
    assert (len(one.engines), one.gate.waiting) == (1, 1), "it waits for the places of the failing"
    await failing.go()
    await one.engine(2)


async def test_a_session_that_lost_its_connection_is_ready(one: Fixture) -> None:
    (await one.engine(1)).observer.notice(Opened(at=one.clock.now()))
    failing = Others(one.gate)
    for _ in range(8):
        await failing.come(5)
    await one.end(1, local(Local.SOCKET_CLOSED))
    await one.clock.until_asleep(1, within=0.1)
    await one.clock.advance(1.1)
    assert (len(one.engines), one.gate.waiting) == (2, 0)
    await failing.go()


async def test_a_session_that_is_stuck_gives_way_once_and_comes_back() -> None:
    one = Fixture(at_once=1)
    others = Others(one.gate)
    one.running = asyncio.create_task(one.task.run(first=Start(by_person=False)))
    stuck = await one.engine(1)
    for _ in range(3):
        await others.come()
        await one.clock.advance(HOLD_S)
    others.turns[0].leave()
    await others.come()
    await one.clock.advance(HOLD_S)
    assert not stuck.ending.cancelled(), "there is room beside it"
    await others.come()
    await one.clock.advance(HOLD_S)
    await one.clock.until_asleep(1, within=0.1)
    assert stuck.ending.cancelled()
    (ended,) = one.events(EventType.SESSION_DISCONNECTED)
    assert ended["cause"] == "handshake_timeout"
    await one.clock.advance(10)
    assert (len(one.engines), one.gate.waiting) == (1, 1), "those that are ready stay inside"
    await others.go()
    (await one.engine(2)).observer.notice(Opened(at=one.clock.now()))
    assert one.state is Connection.OPEN
    one.task.stop()
    await one.running
