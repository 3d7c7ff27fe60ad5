"""What the API shows of a session that was lost, and what it can be told to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self, cast

import pytest

from perene.core.causes import Cause, Kind
from perene.core.errors import InvalidRequest, NotFound
from perene.core.ids import Epoch, SessionId
from perene.core.machines.outlook import Outlook
from perene.core.outages import Outage, OutageId
from perene.core.sessions import Connection, Desired, SessionRecord
from perene.supervisor.desks.sessions import SessionDesk
from perene.supervisor.fleet.supervisor import Supervisor
from perene.supervisor.session.live import LiveState
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy
from perene.supervisor.storage.store import Sessions
from tests.support.virtual_clock import START, VirtualClock

ANA = SessionId("ana")
LATER = START + timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Row:
    row: int
    outage: Outage


@dataclass
class Around:
    """The store and the supervisor around one session, as far as these requests go."""

    rows: list[Row] = field(default_factory=list[Row])
    done: list[str] = field(default_factory=list[str])
    state: LiveState = field(default_factory=LiveState)

    async def twins(self, session: SessionId) -> list[SessionId]:
        return []

    async def get_session(self, session: SessionId) -> SessionRecord:
        if session != ANA:
            raise NotFound(f"no session {session}")
        return SessionRecord(
            id=session,
            name=None,
            desired=Desired.RUNNING,
            epoch=Epoch(1),
            created_at=START,
            has_credentials=True,
        )

    async def outages(self, session: SessionId, *, before: int | None, limit: int) -> Sequence[Row]:
        await self.get_session(session)
        newest_first = sorted(self.rows, key=lambda row: -row.row)
        return [row for row in newest_first if before is None or row.row < before][:limit]

    @property
    def roster(self) -> Self:
        return self

    def live(self, session: SessionId) -> LiveState:
        return self.state

    @property
    def remembered(self) -> None:
        return None

    def remember(self, record: SessionRecord, at: datetime) -> None:
        pass

    async def restart(self, session: SessionId) -> None:
        self.done.append(f"restart {session}")

    async def logout(self, session: SessionId) -> None:
        self.done.append(f"logout {session}")


def desk(around: Around) -> SessionDesk:
    store, clock = cast("Sessions", around), VirtualClock()
    return SessionDesk(
        store,
        cast("Supervisor", around),
        clock,
        Retries(clock, SavePolicy()),
        at_once=store,
        ring=lambda: None,
    )


def outage(number: int) -> Outage:
    return Outage(
        id=OutageId(f"o{number}"),
        session=ANA,
        began_at=START,
        cause=Cause.DNS,
        kind=Kind.LOCAL,
        last_cause=Cause.DNS,
    )


async def test_a_view_shows_how_the_session_goes_on() -> None:
    around = Around()
    around.state.moved(Connection.WAITING, error="Lost.")
    around.state.outlook = Outlook(cause=Cause.DNS, attempt=3, limit=30, retry_at=LATER)
    around.state.alive_at = START
    view = await desk(around).session(ANA)
    assert (view.outlook, view.alive_at) == (around.state.outlook, START)


async def test_restart_and_logout_reach_the_supervisor_and_answer_with_the_session() -> None:
    around = Around()
    assert (await desk(around).restart(ANA)).record.id == ANA
    assert (await desk(around).logout(ANA)).record.id == ANA
    assert around.done == ["restart ana", "logout ana"]


async def test_what_does_not_exist_can_neither_be_restarted_nor_logged_out_nor_have_outages() -> (
    None
):
    around = Around()
    nobody = SessionId("nobody")
    for asked in (
        desk(around).restart(nobody),
        desk(around).logout(nobody),
        desk(around).outages(nobody, cursor=None, limit=1),
    ):
        with pytest.raises(NotFound):
            await asked
    assert around.done == []


@pytest.mark.parametrize("count", [5, 6])
async def test_outages_are_read_page_by_page_newest_first(count: int) -> None:
    around = Around(rows=[Row(number, outage(number)) for number in range(1, count + 1)])
    found: list[str] = []
    cursor = None
    for _ in range(3):
        page = await desk(around).outages(ANA, cursor=cursor, limit=2)
        found += [one.id for one in page.items]
        cursor = page.next_cursor
    assert found == [f"o{number}" for number in range(count, 0, -1)]
    assert cursor is None


async def test_a_cursor_that_was_not_made_here_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        await desk(Around()).outages(ANA, cursor="x", limit=1)
    assert refused.value.field == "cursor"
