"""The numbers that rules watch, as they come out of live states."""

import math
from datetime import timedelta
from typing import Self

import pytest

from perene.core.alert_signals import SIGNALS
from perene.core.alerts import SERVICE, Scope
from perene.core.causes import Cause
from perene.core.clock import instant
from perene.core.ids import SessionId
from perene.core.machines.outlook import Outlook
from perene.core.notices import Alive, HearingDoubted, Opened, TimeTold, VersionExpires
from perene.core.sessions import Connection
from perene.process.room import DATA, DATABASE, Room
from perene.supervisor.alerts.measures import Recent
from perene.supervisor.alerts.signals import SignalSource
from perene.supervisor.session.live import LiveState
from tests.support.virtual_clock import VirtualClock

ONE = SessionId("one")
_OF_CAUSE = {
    "banned": {Cause.TEMPORARY_BAN, Cause.BANNED},
    "locked": {Cause.LOCKED},
    "replaced": {Cause.REPLACED},
    "outdated": {Cause.OUTDATED},
    "restarts_515": {Cause.RESTART_REQUIRED},
}


class Service:
    """A supervisor of one session, and every part that can fail."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.clock_jump_s = 0.0
        self.task_failures = 0
        self.failing = False
        self.live = LiveState()
        self.live.moved(Connection.CONNECTING)
        self.is_limited = False
        self.lag_s = 8.5
        self.awake_s = math.inf
        self.open_files_share: float | None = 0.25
        self.rooms = {
            DATA: Room(free_bytes=7, free_files=1, most_files=2),
            DATABASE: Room(free_bytes=8, free_files=1, most_files=4),
        }
        self.key_missing = False
        self.lines_lost = 0
        self.version: tuple[int, int, int] = (2, 3000, 7)
        self.source = SignalSource(
            self,
            self,
            self.clock,
            removers=(self,),
            machine=self,
            log_lines_lost=lambda: self.lines_lost,
            limits=self,
            presented=lambda: self.version,
        )

    @property
    def roster(self) -> Self:
        return self

    @property
    def lives(self) -> dict[SessionId, LiveState]:
        return {ONE: self.live}

    def limited(self, session: SessionId) -> bool:
        return self.is_limited and session == ONE

    def open(self) -> None:
        self.live.notice(Opened(at=self.clock.now()))


def test_every_signal_of_the_catalogue_is_supplied_and_none_besides() -> None:
    service = Service()
    assert "clock_off_s" not in service.source()[SERVICE], "nobody has told the time"
    service.live.notice(TimeTold(said=service.clock.now(), at=instant(service.clock)))
    signals = service.source()
    assert set(signals[ONE]) == set(SIGNALS[Scope.SESSION])
    assert set(signals[SERVICE]) == set(SIGNALS[Scope.SERVICE])


def test_what_concerns_the_process_is_told_as_it_is() -> None:
    service = Service()
    service.lines_lost = 40
    assert service.source()[SERVICE]["log_lines_lost_last_hour"] == 40
    room = {"disk_free_bytes": 7, "inodes_share": 0.5}
    room |= {"database_disk_free_bytes": 8, "database_inodes_share": 0.75}
    assert room.items() <= service.source()[SERVICE].items()
    service.lines_lost, service.open_files_share = 45, None
    service.rooms = {DATA: Room(free_bytes=9)}
    numbers = service.source()[SERVICE]
    assert (numbers["log_lines_lost_last_hour"], numbers["event_loop_lag_s"]) == (45, 8.5)
    assert numbers["disk_free_bytes"] == 9
    unknown = {"open_files_share", *room} - {"disk_free_bytes"}
    assert not unknown & numbers.keys(), "nobody knows"


@pytest.mark.parametrize(("left", "days"), [(14.0, 14), (3.5, 3.5), (0.2, 1), (-2.0, 1), (15.0, 0)])
def test_a_version_that_whatsapp_will_refuse_is_told_two_weeks_before(
    left: float, days: float
) -> None:
    service = Service()
    at = service.clock.now() + timedelta(days=left)
    service.live.notice(VersionExpires(at=at, version=service.version))
    assert service.source()[SERVICE]["version_refused_in_days"] == days
    newer, service.version = service.version, (2, 3000, 8)
    assert service.source()[SERVICE]["version_refused_in_days"] == 0, "the next login shows another"
    service.version = newer
    service.live.moved(Connection.STOPPED)
    assert service.source()[SERVICE]["version_refused_in_days"] == 0


@pytest.mark.parametrize("off_s", [-3600.0, 0.0, 0.5, 86_400.0])
async def test_how_wrong_the_clock_is_is_measured_by_what_whatsapp_said(off_s: float) -> None:
    service = Service()
    service.live.notice(TimeTold(said=service.clock.now(), at=instant(service.clock)))
    await service.clock.advance(1000)
    service.clock.jump(off_s)
    assert service.source()[SERVICE]["clock_off_s"] == pytest.approx(abs(off_s))


def test_a_stopped_session_has_no_numbers() -> None:
    service = Service()
    service.live.moved(Connection.STOPPED)
    assert set(service.source()) == {SERVICE}


def test_a_session_that_is_down_says_for_how_long_and_why() -> None:
    service = Service()
    service.live.moved(Connection.WAITING)
    began_at = service.clock.now() - timedelta(minutes=7)
    service.live.outlook = Outlook(
        cause=Cause.RESTART_REQUIRED, attempt=4, limit=10, outage_began_at=began_at
    )
    signals = service.source()
    assert signals[ONE]["down_s"] == 420
    assert signals[ONE]["restarts_515"] == 4
    assert signals[ONE]["attempts_share"] == 0.3, "the fourth is yet to come"
    assert signals[SERVICE]["sessions_down"] == signals[SERVICE]["sessions_down_share"] == 1


@pytest.mark.parametrize("cause", Cause)
def test_only_the_cause_that_a_rule_is_about_moves_its_number(cause: Cause) -> None:
    service = Service()
    service.live.moved(Connection.WAITING)
    service.live.outlook = Outlook(cause=cause, attempt=1)
    numbers = service.source()[ONE]
    assert {name for name in _OF_CAUSE if numbers[name]} == {
        name for name, causes in _OF_CAUSE.items() if cause in causes
    }
    service.open()
    numbers = service.source()[ONE]
    assert not any(numbers[name] for name in _OF_CAUSE), "it is over"


@pytest.mark.parametrize(
    ("attempt", "limit", "share"), [(1, 1, 0), (9, 10, 0.8), (31, 30, 1), (77, 30, 1), (9, None, 0)]
)
def test_only_attempts_that_were_made_are_used_up(
    attempt: int, limit: int | None, share: float
) -> None:
    service = Service()
    service.live.moved(Connection.WAITING)
    service.live.outlook = Outlook(cause=Cause.OUTDATED, attempt=attempt, limit=limit)
    assert service.source()[ONE]["attempts_share"] == share


def test_a_session_whose_outage_is_over_is_not_down() -> None:
    service = Service()
    service.live.moved(Connection.WAITING)
    service.live.outlook = Outlook(outage_began_at=service.clock.now())
    service.source()
    service.open()
    service.live.outlook = Outlook()
    assert service.source()[ONE]["down_s"] == 0


async def test_a_session_whose_code_nobody_scans_is_not_down() -> None:
    service = Service()
    for _ in range(3):
        service.live.moved(Connection.WAITING)
        service.live.outlook = Outlook(cause=Cause.PAIRING_EXPIRED)
        service.source()
        await service.clock.advance(1800)
        signals = service.source()
        assert (signals[ONE]["down_s"], signals[SERVICE]["sessions_down"]) == (0, 0)
        service.live.moved(Connection.PAIRING)
        service.source()


async def test_a_session_that_was_up_between_two_looks_is_down_since_then() -> None:
    service = Service()
    service.open()
    service.live.moved(Connection.WAITING)
    service.source()
    await service.clock.advance(400)
    service.open()
    await service.clock.advance(100)
    service.live.moved(Connection.WAITING)
    service.live.outlook = Outlook(outage_began_at=service.clock.now())
    await service.clock.advance(30)
    assert service.source()[ONE]["down_s"] == 30


async def test_a_session_that_cannot_get_a_code_is_down() -> None:
    service = Service()
    service.live.moved(Connection.WAITING)
    service.live.outlook = Outlook(cause=Cause.DNS)
    service.source()
    await service.clock.advance(1800)
    assert service.source()[ONE]["down_s"] == 1800


@pytest.mark.parametrize(
    ("cause", "banned", "locked"),
    [(Cause.TEMPORARY_BAN, 1, 0), (Cause.BANNED, 1, 0), (Cause.LOCKED, 0, 1)],
)
def test_an_account_that_is_locked_is_not_called_banned(
    cause: Cause, banned: int, locked: int
) -> None:
    service = Service()
    service.live.moved(Connection.NEEDS_ATTENTION)
    service.live.outlook = Outlook(cause=cause)
    signals = service.source()[ONE]
    assert (signals["banned"], signals["locked"]) == (banned, locked)


@pytest.mark.parametrize(
    ("connection", "cause", "counts"),
    [
        (Connection.WAITING, Cause.UNREACHABLE, True),
        (Connection.CONNECTING, Cause.DNS, True),
        (Connection.WAITING, Cause.RESTART_REQUIRED, True),
        (Connection.WAITING, Cause.TEMPORARY_BAN, False),
        (Connection.LOGGING_IN, Cause.TEMPORARY_BAN, False),
        (Connection.WAITING, Cause.OUTDATED, False),
        (Connection.NEEDS_ATTENTION, Cause.LOCKED, False),
        (Connection.NEEDS_ATTENTION, Cause.UNKNOWN, False),
    ],
)
def test_a_session_that_is_down_for_its_own_reason_says_nothing_of_the_others(
    connection: Connection, cause: Cause, counts: bool
) -> None:
    service = Service()
    service.live.moved(connection)
    service.live.outlook = Outlook(cause=cause, outage_began_at=service.clock.now())
    numbers = service.source()[SERVICE]
    assert (numbers["sessions_down"], numbers["sessions_down_share"]) == (counts, counts)


def test_the_share_of_those_that_are_down_is_of_those_that_could_be_up() -> None:
    class Two(Service):
        other = LiveState()

        @property
        def lives(self) -> dict[SessionId, LiveState]:
            return {ONE: self.live, SessionId("two"): self.other}

    service = Two()
    service.live.moved(Connection.WAITING)
    service.other.moved(Connection.NEEDS_ATTENTION)
    numbers = service.source()[SERVICE]
    assert (numbers["sessions_down"], numbers["sessions_down_share"]) == (1, 1)


async def test_an_open_session_tells_its_last_heartbeat_and_its_reconnections() -> None:
    service = Service()
    for _ in range(3):
        service.open()
        assert service.source()[ONE]["heartbeat_age_s"] == 0
        await service.clock.advance(20)
    signals = service.source()[ONE]
    assert (signals["heartbeat_age_s"], signals["reconnects_last_hour"]) == (20, 2)
    service.live.moved(Connection.WAITING)
    assert service.source()[ONE]["heartbeat_age_s"] == 0, "its end was told of"
    await service.clock.advance(3600)
    assert service.source()[ONE]["reconnects_last_hour"] == 0


async def test_nobody_is_held_silent_for_a_time_in_which_everything_stood_still() -> None:
    service = Service()
    service.open()
    service.source()
    await service.clock.advance(1200)
    service.awake_s = 0.5
    assert service.source()[ONE]["heartbeat_age_s"] == 0.5
    service.awake_s = 130
    assert service.source()[ONE]["heartbeat_age_s"] == 130, "it is asked again since"


@pytest.mark.parametrize("jump_s", [-3600, 3600])
async def test_a_clock_that_is_set_makes_no_session_older_or_younger(jump_s: int) -> None:
    service = Service()
    service.open()
    service.source()
    await service.clock.advance(5)
    service.live.notice(Alive(at=service.clock.now()))
    await service.clock.advance(3)
    service.clock.jump(jump_s)
    assert service.source()[ONE]["heartbeat_age_s"] <= 8
    await service.clock.advance(120)
    assert 120 <= service.source()[ONE]["heartbeat_age_s"] <= 128
    service.live.outlook = Outlook(outage_began_at=service.clock.now())
    service.live.moved(Connection.WAITING)
    await service.clock.advance(7)
    service.clock.jump(jump_s)
    assert service.source()[ONE]["down_s"] <= 7
    service.clock.jump(-jump_s)
    await service.clock.advance(600)
    assert 600 <= service.source()[ONE]["down_s"] <= 607


async def test_a_clock_that_is_set_before_the_first_look_makes_no_session_older() -> None:
    service = Service()
    service.open()
    service.clock.jump(3600)
    await service.clock.advance(5)
    assert service.source()[ONE]["heartbeat_age_s"] <= 5


async def test_a_session_that_was_down_before_the_service_started_is_down_since_then() -> None:
    service = Service()
    service.live.moved(Connection.STOPPED)
    service.source()
    service.live.outlook = Outlook(outage_began_at=service.clock.now() - timedelta(hours=2))
    service.live.moved(Connection.CONNECTING)
    await service.clock.advance(10)
    assert service.source()[ONE]["down_s"] == 7210


async def test_every_connection_that_was_opened_again_is_counted_though_nobody_looked() -> None:
    service = Service()
    service.open()
    service.source()
    for _ in range(3):
        service.live.moved(Connection.WAITING)
        service.open()
    service.live.moved(Connection.WAITING)
    assert service.source()[ONE]["reconnects_last_hour"] == 3


async def test_a_start_after_a_stop_is_no_reconnection_and_brings_back_no_old_suspicion() -> None:
    service = Service()
    service.open()
    for _ in range(3):
        service.live.notice(HearingDoubted())
    assert service.source()[ONE]["deaf"] == 3
    service.live.moved(Connection.STOPPED)
    assert ONE not in service.source()
    await service.clock.advance(3600)
    service.live.moved(Connection.CONNECTING)
    service.open()
    signals = service.source()[ONE]
    assert (signals["deaf"], signals["reconnects_last_hour"]) == (0, 0)


async def test_a_jump_of_the_clock_is_told_for_an_hour() -> None:
    service = Service()
    service.clock_jump_s = -90.0
    assert service.source()[SERVICE]["clock_jump_s"] == 90
    await service.clock.advance(3600)
    assert service.source()[SERVICE]["clock_jump_s"] == 0


async def test_a_small_jump_of_the_clock_hides_no_larger_one() -> None:
    service = Service()
    for jump_s in (3600.0, -6.0):
        service.clock_jump_s = jump_s
        assert service.source()[SERVICE]["clock_jump_s"] == 3600
        await service.clock.advance(1800)
    assert service.source()[SERVICE]["clock_jump_s"] == 6


async def test_a_session_whose_task_dies_again_and_again_is_down() -> None:
    service = Service()
    service.open()
    service.source()
    for _ in range(6):
        service.live.moved(Connection.WAITING, error="Perene made a mistake; see the log.")
        service.source()
        await service.clock.advance(50)
        service.live.moved(Connection.CONNECTING)
        service.source()
        await service.clock.advance(10)
    signals = service.source()
    assert signals[ONE]["down_s"] == 360
    assert signals[SERVICE]["sessions_down"] == 1
    service.open()
    signals = service.source()
    assert (signals[ONE]["down_s"], signals[SERVICE]["sessions_down"]) == (0, 0)


def test_a_session_that_connects_for_the_first_time_is_not_down() -> None:
    signals = Service().source()
    assert (signals[ONE]["down_s"], signals[SERVICE]["sessions_down"]) == (0, 0)


def test_a_count_that_began_anew_is_counted_from_nothing() -> None:
    recent = Recent()
    assert [recent.of(count, 0) for count in (2, 5, 1)] == [2, 5, 6]


def test_parts_that_fail_are_told() -> None:
    service = Service()
    before = service.source()[SERVICE]
    assert (before["database_failing"], before["retention_failing"]) == (0, 0)
    service.failing = True
    after = service.source()[SERVICE]
    assert (after["database_failing"], after["retention_failing"]) == (1, 1)


@pytest.mark.requirement("F10")
def test_a_limited_account_is_told() -> None:
    service = Service()
    assert service.source()[ONE]["limited"] == 0
    service.is_limited = True
    assert service.source()[ONE]["limited"] == 1


@pytest.mark.requirement("D7")
def test_a_device_whose_credentials_were_archived_needs_pairing_whatever_it_does_now() -> None:
    service = Service()
    service.live.paired = True
    service.live.paired = False
    for connection in (Connection.WAITING, Connection.CONNECTING, Connection.PAIRING):
        service.live.moved(connection)
        assert service.source()[ONE]["needs_pairing"] == 1


@pytest.mark.requirement("F3")
async def test_suspicions_of_deafness_are_told_for_an_hour() -> None:
    service = Service()
    service.open()
    await service.clock.advance(86_400)
    service.live.notice(HearingDoubted())
    service.live.notice(HearingDoubted())
    assert service.source()[ONE]["deaf"] == 2
    await service.clock.advance(3599)
    assert service.source()[ONE]["deaf"] == 2
    await service.clock.advance(1)
    assert service.source()[ONE]["deaf"] == 0
